from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from synreid.stage import machine


def test_memory_is_the_least_that_a_group_above_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    files = {"/proc/self/cgroup": ["4:memory:/old", "0::/user/job"], "/sys/fs/cgroup/user/job/memory.max": ["max"]}

    def lines(path: Path) -> list[str]:
        return files.get(str(path), [])

    monkeypatch.setattr(machine, "_lines", lines)
    assert machine.memory() == whole
    files["/sys/fs/cgroup/user/memory.max"] = ["4096"]
    assert machine.memory() == 4096


def test_a_system_that_does_not_tell_its_memory_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    assert machine.memory() is None
    assert machine.machine.__wrapped__()["memory_gib"] is None


def test_the_commit_is_that_of_our_own_repository_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, package in (("own", "src/synreid"), ("stranger", ".venv/lib/synreid")):
        repository = tmp_path / name
        module = repository / package / "stage" / "machine.py"
        module.parent.mkdir(parents=True)
        module.touch()
        author = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        for words in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "x")):
            subprocess.run(["git", *words], cwd=repository, check=True)
        monkeypatch.setattr(machine, "__file__", str(module))
        found = machine._commit()
        assert (found is not None) == (name == "own")
