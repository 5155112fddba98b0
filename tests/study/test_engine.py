"""Trainings side by side: as one after the other, each on its share of the cores, and ended as one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from synreid.data.scan import open_data
from synreid.data.table import pick
from synreid.reid.options import ReidOptions
from synreid.stage.errors import UserError
from synreid.stage.machine import cores
from synreid.study.engine import check_workers, run_jobs
from synreid.study.jobs import Job

needs_cores = pytest.mark.skipif(cores() < 2, reason="two workers need two cores")
# what a trained model would leave: features, here one-hot; and whether its teacher was there, on which cores' share
SCRIPT = """
import csv, os, sys
from pathlib import Path
import numpy as np
query, gallery, out, teacher = sys.argv[1:]
assert teacher == "none" or (Path(teacher) / "summary.txt").exists(), "the teacher is not ready"
names = sorted({row["pid"] for row in csv.DictReader(open(gallery))})
for name, path in (("query", query), ("gallery", gallery)):
    rows = list(csv.DictReader(open(path)))
    np.save(f"{out}/{name}.npy", np.array([[row["pid"] == name for name in names] for row in rows], float))
(Path(out) / "summary.txt").write_text(os.environ.get("OMP_NUM_THREADS", ""))
"""


@pytest.fixture
def job(tiny_street: Path, tmp_path: Path) -> Callable[..., Job]:
    data = open_data(tiny_street)
    script = tmp_path / "their.py"
    script.write_text(SCRIPT)

    def make(name: str, teacher: Path | None = None, command: str = "") -> Job:
        words = f"{sys.executable} {script} {{query}} {{gallery}} {{out}} {teacher or 'none'}"
        real, test = pick(data, split="train"), pick(data, split=("query", "gallery"))
        place = tmp_path / name
        return Job(name, name, 0, place, real, None, test, ReidOptions(), "lsro", teacher, command or words)

    return make


def run(jobs: list[Job], workers: int, log: Path) -> tuple[list[int], dict[int, dict]]:
    order: list[int] = []
    results: dict[int, dict] = {}
    run_jobs(jobs, workers, log, order.append, results.__setitem__)
    return order, results


@needs_cores
def test_two_at_a_time_give_what_one_gives(job: Callable[..., Job], tmp_path: Path) -> None:
    jobs = [job("taught", teacher=tmp_path / "real"), job("real"), job("other")]
    order, results = run(jobs, 2, tmp_path / "log")
    assert order == [1, 2, 0], "the one with a teacher waits for it"
    assert [results[place]["arm"] for place in range(3)] == ["taught", "real", "other"]
    assert all(result["map"] == 1.0 for result in results.values())
    share = (tmp_path / "real" / "summary.txt").read_text()
    assert share == str(max(1, cores() // 2))
    assert "running" in (tmp_path / "log").read_text()
    before = os.environ.get("OMP_NUM_THREADS")
    assert run(jobs, 1, tmp_path / "log") == ([0, 1, 2], results), "all are done, so nothing is trained again"
    assert os.environ.get("OMP_NUM_THREADS") == before


@needs_cores
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("{python} -c 'import os; os.kill(os.getppid(), 9)'", "a worker was killed"),
        ("{python} -c 'raise SystemExit(3)'", "the training command ended with 3"),
    ],
)
def test_a_job_that_fails_ends_all(job: Callable[..., Job], tmp_path: Path, command: str, said: str) -> None:
    alive = tmp_path / "alive"
    slow = job("slow", command=f"{sys.executable} -c 'import time; time.sleep(600)' {alive}")
    bad = job("bad", command=command.replace("{python}", sys.executable))
    with pytest.raises(UserError, match=said):
        run([slow, bad], 2, tmp_path / "log")
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(alive).encode() in _read(path)]
    assert not left, "what the other worker had started has ended too"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process is gone
        return b""


def test_more_workers_than_cores_are_refused() -> None:
    check_workers(1)
    for workers in (0, cores() + 1):
        with pytest.raises(UserError, match=f"workers is {workers}, but must lie in 1 to {cores()}"):
            check_workers(workers)
