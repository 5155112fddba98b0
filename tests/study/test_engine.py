"""Trainings side by side: as one after the other, each on its share of the cores, and ended as one."""

from __future__ import annotations

import dataclasses
import json
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
from synreid.study.engine import PROGRAM, Share, check_memory, check_workers, run_jobs, shares
from synreid.study.jobs import Job

needs_cores = pytest.mark.skipif(cores() < 2, reason="two workers need two cores")
# what a trained model would leave: features, here one-hot; and whether its teacher was there, on which cores
SCRIPT = """
import csv, json, os, sys
from pathlib import Path
import numpy as np
query, gallery, out, teacher = sys.argv[1:]
assert teacher == "none" or (Path(teacher) / "summary.txt").exists(), "the teacher is not ready"
names = sorted({row["pid"] for row in csv.DictReader(open(gallery))})
for name, path in (("query", query), ("gallery", gallery)):
    rows = list(csv.DictReader(open(path)))
    np.save(f"{out}/{name}.npy", np.array([[row["pid"] == name for name in names] for row in rows], float))
bound = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
(Path(out) / "summary.txt").write_text(json.dumps([os.environ.get("OMP_NUM_THREADS"), bound]))
"""
# kills its worker the first time, and goes on by itself
ONCE = """
import os, sys, time
from pathlib import Path
if not Path(__file__).with_suffix(".done").exists():
    Path(__file__).with_suffix(".done").touch()
    os.kill(os.getppid(), 9)
    time.sleep(600)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
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
    told = [json.loads((tmp_path / name / "summary.txt").read_text()) for name in ("real", "other")]
    assert [threads for threads, _ in told] == [str(cores() // 2)] * 2
    if hasattr(os, "sched_getaffinity"):
        assert sorted(told[0][1] + told[1][1]) == sorted(os.sched_getaffinity(0)), "each core is one worker's"
    assert "running" in (tmp_path / "log").read_text()
    before = os.environ.get("OMP_NUM_THREADS")
    assert run(jobs, 1, tmp_path / "log") == ([0, 1, 2], results), "all are done, so nothing is trained again"
    assert os.environ.get("OMP_NUM_THREADS") == before


@needs_cores
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("{python} -c 'import os; os.kill(os.getppid(), 9)'", "a worker was killed 2 times at bad, seed 0, perhaps"),
        ("{python} -c 'raise SystemExit(3)'", "the training command ended with 3"),
    ],
)
def test_a_job_that_fails_ends_all(job: Callable[..., Job], tmp_path: Path, command: str, said: str) -> None:
    alive = tmp_path / "alive"
    slow = job("slow", command=f"{sys.executable} -c 'import time; time.sleep(600)' {alive}")
    bad = job("bad", command=command.replace("{python}", sys.executable))
    with pytest.raises(UserError, match=said):
        run([slow, bad], 2, tmp_path / "log")
    assert not running(alive), "what the other worker had started has ended too"


@needs_cores
def test_a_worker_that_is_killed_is_replaced(
    job: Callable[..., Job], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    once = tmp_path / "once.py"
    once.write_text(ONCE)
    plain = job("hit")
    hit = dataclasses.replace(plain, command=plain.command.replace(sys.executable, f"{sys.executable} {once}"))
    order, results = run([hit, job("other")], 2, tmp_path / "log")
    assert sorted(order) == [0, 0, 1]
    assert [results[place]["map"] for place in (0, 1)] == [1.0, 1.0]
    assert "a worker was killed at hit, seed 0; another takes the training up again." in capfd.readouterr().err
    assert not running(once), "what the killed one had started has ended"


def running(word: Path) -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(word).encode() in _read(path)]


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


def test_cores_are_shared_out_and_gpus_go_round() -> None:
    assert shares(2, [0, 1, 4, 5, 6], []) == [Share((0, 1, 4), None), Share((5, 6), None)]
    assert [share.gpu for share in shares(3, [0, 1, 2], ["0", "3"])] == ["0", "3", "0"]
    assert [share.gpu for share in shares(2, [0, 1], ["0"])] == [None, None], "it is everybody's"
    assert shares(2, [], []) == [Share((), None)] * 2, "where processes cannot be bound to cores"


def test_more_trainings_than_memory_holds_are_refused(job: Callable[..., Job]) -> None:
    command = job("command")
    ours = dataclasses.replace(command, command=None, options=ReidOptions(height=64, width=32))
    pictures = len(ours.real) * 64 * 32 * 3
    check_memory([command, ours], 2, 2 * PROGRAM + pictures)
    check_memory([command, ours, ours], 1, PROGRAM + pictures)
    with pytest.raises(UserError, match=r"2 trainings at a time need 1\.0 GiB of memory at the least, but there are"):
        check_memory([command, ours], 2, 2 * PROGRAM + pictures - 1)
