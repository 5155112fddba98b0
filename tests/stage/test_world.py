from __future__ import annotations

import os
import sys
import time

import pytest
import torch

from synreid.stage import log, world
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


@pytest.fixture
def one_task(monkeypatch):
    """The environment of SLURM's only task, in which nothing is started: what Fabric would start with is returned."""
    fabric = pytest.importorskip("lightning_fabric")
    for name, value in (("NTASKS", "1"), ("NTASKS_PER_NODE", "1"), ("JOB_NAME", "train"), ("LOCALID", "0")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SYNREID_PARENT", "")  # so that it is put back
    started = []

    def launch(self):
        environment = self.strategy.cluster_environment
        environment.validate_settings(num_devices=2, num_nodes=1)
        started.append((environment.creates_processes_externally, os.environ["SYNREID_PARENT"]))

    monkeypatch.setattr(fabric.Fabric, "launch", launch)
    return started


def test_the_only_task_of_slurm_starts_the_other_processes_and_tells_them_its_number(one_task):
    assert join_world("cpu", 2).size == 2
    assert one_task == [(False, str(os.getpid()))]


@pytest.mark.parametrize("slurm", [False, True])
def test_another_number_of_processes_than_asked_for(slurm, monkeypatch):
    pytest.importorskip("lightning_fabric")
    outside = {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "3", "SLURM_NTASKS": "1"}
    tasks = {"NTASKS": "3", "NTASKS_PER_NODE": "3", "JOB_NAME": "train", "LOCALID": "0", "PROCID": "0", "NODEID": "0"}
    for name, value in ({f"SLURM_{name}": value for name, value in tasks.items()} if slurm else outside).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SYNREID_PARENT", "")
    with pytest.raises(UserError, match=r"--gpus 2 does not fit how the processes were started \(You set .*match"):
        join_world("cpu", 2)


def test_further_processes_are_silent_once_they_have_joined(monkeypatch):
    fabric = pytest.importorskip("lightning_fabric")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(world, "_end_with_parent", lambda: None)
    monkeypatch.setattr(fabric.Fabric, "launch", lambda self: None)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(log.console(), "quiet", False)
    assert join_world("cpu", 2).rank == 1
    assert log.console().quiet and sys.stdout.name == os.devnull
    sys.stdout.close()


def test_only_processes_that_another_has_started_are_silent_from_the_beginning(monkeypatch):
    monkeypatch.delenv("SYNREID_PARENT", raising=False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    new = log.console.__wrapped__
    assert not new().quiet
    monkeypatch.setenv("SYNREID_PARENT", str(os.getppid()))
    assert new().quiet
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert not new().quiet


@pytest.mark.parametrize("gone", [False, True])
def test_process_ends_when_the_one_that_started_it_has_even_before_it_looks(gone, monkeypatch):
    def leave(code):
        raise SystemExit(code)

    def wait(seconds):
        raise TimeoutError

    monkeypatch.setenv("SYNREID_PARENT", str(os.getpid() if gone else os.getppid()))  # which is no parent of itself
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(time, "sleep", wait)
    with pytest.raises(SystemExit if gone else TimeoutError):
        world._end_with_parent()
