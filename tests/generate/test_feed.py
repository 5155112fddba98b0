from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from synreid.generate.feed import Feed
from synreid.generate.options import GanOptions
from synreid.stage.errors import UserError


def feed(options: GanOptions) -> Feed:
    pictures = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 3, 16, 8)
    return Feed(pictures, torch.arange(20), options, num_ws=6, noise_length=3, device=torch.device("cpu"))


def test_every_picture_is_shown_once_a_pass(tiny_options: GanOptions) -> None:
    source = feed(dataclasses.replace(tiny_options, mirror=False, batch_gpu=4))
    seen, labels = [], []
    for step in range(5):  # 40 pictures of 20: two passes
        for number in range(2):
            one = source.round(step, number)
            seen += ((one.real[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
            labels += one.real_classes.tolist()
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(20))
    assert seen[:20] != seen[20:]
    assert labels == seen


def test_a_round_is_the_same_whatever_came_before(tiny_options: GanOptions) -> None:
    source = feed(dataclasses.replace(tiny_options, batch_gpu=4))
    first = source.round(3, 1)
    source.round(0, 0)
    again, other = source.round(3, 1), source.round(3, 0)
    for name in ("real", "z", "noise", "classes", "cut"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.z, other.z)


def test_a_seed_that_random_numbers_cannot_be_drawn_by_is_refused(tiny_options: GanOptions) -> None:
    feed(dataclasses.replace(tiny_options, seed=2**32 - 1, batch_gpu=1)).round(10**7, 7)
    for seed in (-1, 2**32):
        with pytest.raises(UserError, match=rf"seed is {seed}, but must lie in 0 to 4294967295"):
            dataclasses.replace(tiny_options, seed=seed)


def test_styles_are_mixed_as_often_as_asked(tiny_options: GanOptions) -> None:
    source = feed(dataclasses.replace(tiny_options, mixing=0.5, batch=400))
    cut = source.round(0, 0).cut
    assert 150 < int((cut < 6).sum()) < 250
    assert set(cut.tolist()) == {1, 2, 3, 4, 5, 6}


def test_copies_to_a_gpu_are_not_waited_for(tiny_options: GanOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []
    waits: list[bool] = []

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            where = (kwargs or {}).get("device")
            if func is torch.ops.aten._to_copy.default and where is not None and where.type == "cuda":
                known = any(args[0] is one for one in pinned)
                waits.append(not (known and (kwargs or {}).get("non_blocking")))
            return func(*args, **(kwargs or {}))

    monkeypatch.setattr(Tensor, "pin_memory", lambda x: (pinned.append(x), x)[1])  # cannot be had without a GPU
    source = feed(dataclasses.replace(tiny_options, batch_gpu=4))
    source.device = torch.device("cuda")
    with FakeTensorMode(allow_non_fake_inputs=True), Copies():
        one = source.round(3, 1)
    assert waits == [False] * 7
    for name in ("real", "real_classes", "z", "noise", "classes", "cut"):
        assert getattr(one, name).device.type == "cuda"
