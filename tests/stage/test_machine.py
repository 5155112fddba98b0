from __future__ import annotations

import os
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
