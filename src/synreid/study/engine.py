"""Runs a study's trainings on this machine: one after the other, or several at a time on cores of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synreid.stage.errors import UserError
from synreid.stage.log import console
from synreid.stage.machine import cores
from synreid.study.jobs import Job, run_job

Started = Callable[[int], None]
Finished = Callable[[int, dict[str, Any]], None]
GROUPS = hasattr(os, "setpgrp")  # not on Windows
THREADS = "OMP_NUM_THREADS"  # which PyTorch reads once, when it is loaded


def check_workers(workers: int) -> None:
    """Raise UserError for fewer than one worker, or more than there are cores to work on."""
    if not 1 <= workers <= cores():
        raise UserError(f"workers is {workers}, but must lie in 1 to {cores()}, the cores of this machine; correct it.")


def run_jobs(jobs: Sequence[Job], workers: int, log: Path, started: Started, finished: Finished) -> None:
    """Run all `jobs`, `workers` at a time, in their order as far as a teacher is ready; `log` takes what workers say.

    `started` and `finished` are called with a job's place in `jobs`, the latter with its result too. With one worker
    they run in this process. Each of several has its share of the cores, and ends with this process. Raises what the
    first job that fails raises, and ends the others, which go on from their checkpoints the next time; UserError
    where a worker was killed.
    """
    if workers == 1:
        for place, job in enumerate(jobs):
            started(place)
            finished(place, run_job(job))
        return
    others = set(multiprocessing.active_children())
    with _shared_cores(workers):
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _enter, (log,))
        try:
            # all start now: CPython 3.11 would not notice that one is killed which started while the pool waited
            wait([pool.submit(os.getpid) for _ in range(workers)])
            _run_side_by_side(pool, jobs, workers, started, finished)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            left = set(multiprocessing.active_children()) - others
            for process in left:
                process.terminate()
            for process in left:
                process.join()
            if isinstance(error, BrokenProcessPool):
                raise UserError(
                    f"a worker was killed, perhaps for want of memory; run the same command again with fewer than "
                    f"{workers} workers ({log} has what they said)."
                ) from error
            raise
        pool.shutdown()


def _run_side_by_side(
    pool: ProcessPoolExecutor, jobs: Sequence[Job], workers: int, started: Started, finished: Finished
) -> None:
    waiting = list(range(len(jobs)))
    running: dict[Future[dict[str, Any]], int] = {}
    unready = {job.folder for job in jobs}
    while waiting or running:
        ready = [place for place in waiting if jobs[place].teacher not in unready]
        for place in ready[: workers - len(running)]:
            waiting.remove(place)
            running[pool.submit(run_job, jobs[place])] = place
            started(place)
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            place = running.pop(future)
            finished(place, future.result())
            unready.discard(jobs[place].folder)


@contextmanager
def _shared_cores(workers: int) -> Iterator[None]:
    """Let processes that are started here compute with their share of the cores."""
    before = os.environ.get(THREADS)
    os.environ[THREADS] = str(max(1, cores() // workers))
    try:
        yield
    finally:
        if before is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = before


def _enter(log: Path) -> None:
    """Prepare a worker: its lines go to the log, and it is a group of its own with the commands that it runs.

    So ctrl-C is for the parent to see, and the group ends as one: when the worker is asked to, or the parent is gone.
    """
    console().file = open(log, "a", encoding="utf-8", buffering=1)  # noqa: SIM115, open as long as the worker lives
    if GROUPS:
        os.setpgrp()
        signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
    if GROUPS:
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
