"""Runs a study's trainings on a Ray cluster: each is a task with its cores, its memory and a GPU if there are any."""

from __future__ import annotations

import logging
import os
import platform
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from synreid.data.table import paths
from synreid.stage.errors import UserError
from synreid.stage.folder import LOCK
from synreid.stage.log import console, say
from synreid.stage.machine import machine
from synreid.study.engine import THREADS, Finished, JobQueue, Started, memory_needed
from synreid.study.jobs import Job, run_job

RETRIES = 3  # of a training whose worker died: on a cluster, nodes are taken away for other reasons than memory
LOOK = 10.0  # seconds between looks at which nodes there are
LEASE = 180.0  # seconds for which network storage may keep the lock of a node that is gone; NFS has 90
ANSWER = 10.0  # seconds for a cluster to answer; Ray itself would try for minutes
OURS = "SYNREID_"  # what the environment's variables for us begin with
# no statistics to Ray's makers; none of its lines about workers that died among our results, since we say that
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}


@dataclass(frozen=True)
class Node:
    """What a node of the cluster has: cores, GPUs, bytes of memory for tasks."""

    cores: float
    gpus: float
    memory: float


@dataclass(frozen=True)
class Need:
    """What a training asks for."""

    cores: int
    gpus: int
    memory: int


@dataclass(frozen=True)
class Site:
    """Where and how the study runs, for a worker on another node to run the same: `mark` is a file in its folder."""

    folder: Path
    mark: Path
    log: Path
    environment: dict[str, str]
    versions: dict[str, str]
    cores: int


def check_cluster(address: str, workers: int | None) -> None:
    """Raise UserError where `workers` is below one, Ray is not installed, or no cluster answers at `address`."""
    if workers is not None and workers < 1:
        raise UserError(f"workers is {workers}, but must be at least 1; correct it, or leave it out.")
    with _connected(address):
        pass


def run_jobs_on_ray(
    jobs: Sequence[Job], log: Path, started: Started, finished: Finished, workers: int | None, address: str
) -> None:
    """Run all `jobs` on the cluster at `address`, `workers` at a time or as many as fit; else as `engine.run_jobs`.

    Each training has the cores of `need_of`, and one GPU where the cluster has any: never one training on a GPU and
    another without. `log`'s folder is the study's, which all nodes must see under the same name, as the folder
    that the study was started in and the pictures. What a worker says goes to `log`, with its node's name in it.
    A training whose worker or node dies is taken up again on another, from its checkpoint. Raises UserError also where
    the cluster has no node that is large enough, is lost, or a worker cannot see the study.
    """
    with _connected(address) as ray, _marked(log.parent.absolute()) as mark:
        queue = JobQueue(jobs)
        running: dict[Any, int] = {}
        need = need_of(jobs, _nodes(ray), workers)
        environment = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
        site = Site(Path.cwd(), mark, log.absolute(), environment, machine()["versions"], need.cores)
        # Ray's own retries have no end where memory is short
        task = ray.remote(num_cpus=need.cores, num_gpus=need.gpus, memory=need.memory, max_retries=0)(_work)
        while queue:
            slots = min(workers or len(jobs), places(_nodes(ray), need))
            if not slots and not running:
                raise UserError(_too_small(need))
            while len(running) < slots and (ready := queue.take()) is not None:
                named = task.options(name=f"{jobs[ready].arm} {jobs[ready].seed}")
                running[named.remote(jobs[ready], site)] = ready
                started(ready)
            for answer in ray.wait(list(running), timeout=LOOK)[0]:
                place = running.pop(answer)
                result = _result(ray, answer)
                if result is None:
                    queue.died(place, RETRIES, f"with fewer workers, or a larger node ({_own_log(log, '*')} say more)")
                else:
                    queue.finish(place)
                    finished(place, result)


def need_of(jobs: Sequence[Job], nodes: Sequence[Node], workers: int | None) -> Need:
    """Return what each of `jobs` gets: a GPU if there are any, and the most cores with which `workers` run at a time.

    Left out, `workers` are as many as there are GPUs; without any GPU each has one core, so that the numbers, which
    depend on it, are those of every cluster.
    """
    gpus = int(any(node.gpus >= 1 for node in nodes))
    most = max(map(memory_needed, jobs))
    one = Need(1, gpus, most)
    if workers is None and not gpus:
        return one
    wanted = min(workers or places(nodes, one), places(nodes, one))
    largest = max([1, *(int(node.cores) for node in nodes)])
    enough = (count for count in range(largest, 1, -1) if places(nodes, Need(count, gpus, most)) >= wanted)
    return Need(next(enough, 1), gpus, most)


def places(nodes: Sequence[Node], need: Need) -> int:
    """Return how many trainings fit at a time, none of which spans two nodes."""
    return sum(
        min(
            int(node.cores // need.cores),
            int(node.memory // need.memory),
            *([int(node.gpus // need.gpus)] if need.gpus else []),
        )
        for node in nodes
    )


def _too_small(need: Need) -> str:
    gpu = ", a GPU" if need.gpus else ""
    return (
        f"the cluster has no node with {need.cores} cores{gpu} and {need.memory / 2**30:.1f} GiB for a training; "
        "give it larger ones, then run the same command again."
    )


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Be connected to the cluster at `address`, and yield the module of Ray."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UserError("engine ray needs Ray: pip install 'synreid[ray]', or take --engine local.") from error
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"the Ray cluster at {address} cannot be joined ({_first_line(error)}); start one by `ray start "
            "--head`, correct the address, or take the versions of Python and Ray that it has."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nothing answers at an address of the form HOST:PORT."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER).close()


@contextmanager
def _marked(study: Path) -> Iterator[Path]:
    """Put a file of a new name into the study's folder, by which a worker knows that it sees the same folder."""
    mark = study / f".ray-{uuid.uuid4().hex}"
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _nodes(ray: Any) -> list[Node]:
    found = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [Node(has.get("CPU", 0), has.get("GPU", 0), has.get("memory", 0)) for has in found]


def _result(ray: Any, answer: Any) -> dict[str, Any] | None:
    """Return what a training gave, or None where its worker died; raises what it raised."""
    errors = ray.exceptions
    try:
        result: dict[str, Any] = ray.get(answer)
    except errors.RayTaskError as error:
        if isinstance(error.cause, RuntimeError) and "failed to import" in str(error.cause):
            raise UserError(
                "a node of the cluster cannot load synreid; install it on all nodes, in the version that runs here."
            ) from error
        raise error.cause from error
    except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError):
        return None
    except errors.RayError as error:
        raise UserError(
            f"the Ray cluster is lost ({_first_line(error)}); run the same command again to go on."
        ) from error
    return result


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _work(job: Job, site: Site) -> dict[str, Any]:
    """Run a job on a node of the cluster as it would run where the study was started."""
    check_seen(job, site, platform.node())
    check_versions(site, machine()["versions"], platform.node())
    os.chdir(site.folder)
    os.environ.update(site.environment, **{THREADS: str(site.cores)})
    torch.set_num_threads(site.cores)
    with open(_own_log(site.log, platform.node()), "a", encoding="utf-8", buffering=1) as file:
        console().file = file
        say(f"{job.title}, seed {job.seed}: process {os.getpid()} on {platform.node()}")
        if job.folder.is_dir():
            with suppress(Timeout), FileLock(job.folder / LOCK, timeout=LEASE):
                pass  # whoever held it is gone
        return run_job(job)


def _own_log(log: Path, node: str) -> Path:
    """Return a node's own log, since several cannot append to one file on network storage."""
    return log.with_stem(f"{log.stem}-{node}")


def check_seen(job: Job, site: Site, node: str) -> None:
    """Raise UserError where this machine, `node`, does not see the study, where it was started, or the pictures."""
    unseen = None
    if not site.mark.exists():
        unseen = site.mark.parent
    elif not site.folder.is_dir():
        unseen = site.folder
    else:
        tables = [table for table in (job.real, job.made, job.test) if table is not None and len(table)]
        firsts = [site.folder / paths(table.slice(0, 1))[0] for table in tables]
        unseen = next((path for path in firsts if not path.exists()), None)
    if unseen is not None:
        raise UserError(
            f"node {node} does not see {unseen} as the study does; put the study, its pictures and the folder that it "
            "is started in on storage that all nodes share."
        )


def check_versions(site: Site, versions: dict[str, str], node: str) -> None:
    """Raise UserError where `node` has other `versions` of what computes than the study, so that results would differ.

    Both map a package to its version.
    """
    for name in site.versions | versions:
        theirs, ours = versions.get(name), site.versions.get(name)
        if theirs != ours:
            raise UserError(f"node {node} has {name} {theirs}, but the study runs with {ours}; install the same there.")
