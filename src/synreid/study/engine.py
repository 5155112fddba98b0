"""Runs a study's trainings on this machine: one after the other, or several at a time on cores of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from synreid.stage.errors import UserError
from synreid.stage.log import console, say
from synreid.stage.machine import cores, memory
from synreid.study.jobs import Job, run_job

EngineName = Literal["local", "ray"]
Started = Callable[[int], None]
Finished = Callable[[int, dict[str, Any]], None]
GROUPS = hasattr(os, "setpgrp")  # not on Windows
THREADS = "OMP_NUM_THREADS"  # which PyTorch reads once, when it is loaded
GPUS = "CUDA_VISIBLE_DEVICES"
PROGRAM = 2**29  # bytes that a training has for itself before it has a picture; 0.47 GiB, measured
RETRIES = 1  # of a training whose worker was killed; a second time it was no accident


class Engine(Protocol):
    """Runs all jobs, each once its teacher is ready; see `run_jobs`."""

    def __call__(self, jobs: Sequence[Job], *, log: Path, started: Started, finished: Finished) -> None: ...


def choose_engine(name: EngineName = "local", workers: int | None = None, address: str | None = None) -> Engine:
    """Return what runs jobs: `local`, this machine, or `ray`, the cluster at `address` (auto where left out).

    `workers` trainings run at a time: here by default one, on a cluster as many as fit.
    Raises UserError for workers that do not fit, an address without a cluster, and a cluster that does not answer.
    """
    if name == "ray":
        from synreid.study import ray_engine  # Ray is an extra, and slow to import

        address = address or "auto"
        ray_engine.check_cluster(address, workers)
        return partial(ray_engine.run_jobs_on_ray, workers=workers, address=address)
    if address is not None:
        raise UserError(f"the address {address} is a Ray cluster's; add --engine ray, or leave it out.")
    workers = 1 if workers is None else workers
    check_workers(workers)
    return partial(run_jobs, workers=workers)


def check_workers(workers: int) -> None:
    """Raise UserError for fewer than one worker, or more than there are cores to work on."""
    if not 1 <= workers <= cores():
        raise UserError(f"workers is {workers}, but must lie in 1 to {cores()}, the cores of this machine; correct it.")


def memory_needed(job: Job) -> int:
    """Return how many bytes a training takes at the least: the program and its pictures, not the network's work."""
    count = sum(len(part) for part in (job.real, job.made) if part is not None) if job.command is None else 0
    return PROGRAM + 3 * count * job.options.height * job.options.width


class JobQueue:
    """Places in `jobs`, handed out in their order as far as a teacher is ready; true while any is not finished."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self._waiting = list(range(len(jobs)))
        self._unfinished = {place: job.folder for place, job in enumerate(jobs)}
        self._deaths: Counter[int] = Counter()

    def __bool__(self) -> bool:
        return bool(self._unfinished)

    def take(self) -> int | None:
        """Hand out the first place that is ready, or None."""
        unready = set(self._unfinished.values())
        place = next((place for place in self._waiting if self.jobs[place].teacher not in unready), None)
        if place is not None:
            self._waiting.remove(place)
        return place

    def finish(self, place: int) -> None:
        """Let those whose teacher this was be ready."""
        del self._unfinished[place]

    def died(self, place: int, retries: int, hint: str) -> None:
        """Take back a place whose worker was killed, which is said; the time after `retries` raises UserError."""
        self._deaths[place] += 1
        job = self.jobs[place]
        if self._deaths[place] > retries:
            raise UserError(
                f"a worker was killed {self._deaths[place]} times at {job.title}, seed {job.seed}, perhaps for want of "
                f"memory; run the same command again to go on, {hint}."
            )
        say(f"a worker was killed at {job.title}, seed {job.seed}; another takes the training up again.")
        insort(self._waiting, place)


def run_jobs(jobs: Sequence[Job], workers: int, log: Path, started: Started, finished: Finished) -> None:
    """Run all `jobs`, `workers` at a time, in their order as far as a teacher is ready; `log` takes what workers say.

    `started` and `finished` are called with a job's place in `jobs`, the latter with its result too. With one worker
    they run in this process. Each of several is bound to its share of the cores, and to one of the GPUs where there are
    several, and ends with this process. A worker that is killed is started anew, and its training goes on from its
    checkpoint. A job's numbers depend on how many cores it has, as on a seed, since sums in floating point depend on
    how they are split: the same cores, the same numbers.

    Raises what the first job that fails raises, and ends the others, which go on from their checkpoints the next time;
    UserError where a job's worker was killed twice, and, before any starts, where they need more memory than there is.
    """
    if workers == 1:
        for place, job in enumerate(jobs):
            started(place)
            finished(place, run_job(job))
        return
    check_memory(jobs, workers, memory())
    hint = f"with fewer than {workers} workers ({log} has what they said)"
    with _shared_cores(workers), _team(workers, log) as team:
        queue, idle = JobQueue(jobs), list(reversed(team))
        running: dict[Future[dict[str, Any]], tuple[int, _Worker]] = {}
        while queue:
            while idle and (ready := queue.take()) is not None:
                worker = idle.pop()
                running[worker.submit(jobs[ready])] = ready, worker
                started(ready)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                place, worker = running.pop(future)
                idle.append(worker)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    worker.end()  # what it had started may live on
                    queue.died(place, RETRIES, hint)
                else:
                    queue.finish(place)
                    finished(place, result)


def check_memory(jobs: Sequence[Job], workers: int, available: int | None) -> None:
    """Raise UserError where the `workers` largest of `jobs` need more than `available` bytes at the least."""
    needed = sum(sorted(map(memory_needed, jobs))[-workers:])
    if available is not None and needed > available:
        raise UserError(
            f"{workers} trainings at a time need {needed / 2**30:.1f} GiB of memory at the least, but there are "
            f"{available / 2**30:.1f} GiB; take fewer workers."
        )


@dataclass(frozen=True)
class Share:
    """What one worker computes on: numbers of cores, and the name of a GPU where there are several."""

    cores: tuple[int, ...]
    gpu: str | None


def shares(workers: int, numbers: Sequence[int], gpus: Sequence[str]) -> list[Share]:
    """Split cores into neighbours, none left over; GPUs go round, and a single one is everybody's anyway."""
    parts = np.array_split(np.array(numbers, dtype=int), workers)
    return [
        Share(tuple(part.tolist()), gpus[place % len(gpus)] if len(gpus) > 1 else None)
        for place, part in enumerate(parts)
    ]


class _Worker:
    """A process of its own on its share of the machine, started anew where it was killed."""

    def __init__(self, share: Share, log: Path) -> None:
        self._share, self._log = share, log
        self._start()

    def _start(self) -> None:
        # a pool for each worker, since a pool does not outlive the death of one
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _enter, (self._log, self._share))
        others = set(multiprocessing.active_children())
        self._pool.submit(os.getpid)
        (self._process,) = set(multiprocessing.active_children()) - others

    def submit(self, job: Job) -> Future[dict[str, Any]]:
        try:
            return self._pool.submit(run_job, job)
        except BrokenProcessPool:
            self.end()
            self._start()
            return self._pool.submit(run_job, job)

    def finish(self) -> None:
        self._pool.shutdown()

    def end(self) -> None:
        if GROUPS and self._process.pid is not None:
            with suppress(ProcessLookupError, PermissionError):  # not yet a group, or all of it is gone
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def _team(workers: int, log: Path) -> Iterator[list[_Worker]]:
    """Start `workers`, which end at once where an error comes."""
    numbers = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    team: list[_Worker] = []
    try:
        for share in shares(workers, numbers, _gpus()):
            team.append(_Worker(share, log))
        yield team
    except BaseException:
        for worker in team:
            worker.end()
        raise
    for worker in team:
        worker.finish()


def _gpus() -> list[str]:
    import torch

    if (visible := os.environ.get(GPUS)) is not None:
        return [name for name in visible.split(",") if name]
    return [str(number) for number in range(torch.cuda.device_count())]


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


def _enter(log: Path, share: Share) -> None:
    """Prepare a worker: it keeps to its share, its lines go to the log, and it is a group with the commands it runs.

    So ctrl-C is for the parent to see, and the group ends as one: when the worker is asked to, or the parent is gone.
    """
    console().file = open(log, "a", encoding="utf-8", buffering=1)  # noqa: SIM115, open as long as the worker lives
    if share.cores:
        os.sched_setaffinity(0, share.cores)
    if share.gpu is not None:
        os.environ[GPUS] = share.gpu  # which PyTorch reads with the first use of a GPU
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
