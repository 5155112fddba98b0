from __future__ import annotations

import sys

import pytest
import torch

from synreid.stage.errors import UserError
from synreid.stage.world import join_world


def test_one_device_is_the_whole_world(tmp_path):
    world = join_world("cpu", 1)
    values = torch.arange(3.0)
    world.average([values])
    assert (world.rank, world.size, world.turn(5), world.first(lambda: 7)) == (0, 1, 5, 7)
    assert world.mean(values).tolist() == [0, 1, 2] and world.agree(False) is False
    assert world.keeping(tmp_path) is tmp_path


def test_devices_that_cannot_share_a_stage(monkeypatch):
    pytest.importorskip("lightning_fabric")
    with pytest.raises(UserError, match="--gpus 2 works with --device cpu or cuda, not with meta"):
        join_world("meta", 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="--gpus 2 is more than the 1 GPUs of this machine"):
        join_world("auto", 2)


def test_several_devices_without_fabric_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(UserError, match=r"pip install 'synreid\[devices\]'"):
        join_world("cpu", 2)
