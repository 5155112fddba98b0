"""A study's trainings on a cluster of two nodes on this machine, one of whose workers is killed in the middle."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from synreid.data.scan import open_data
from synreid.data.table import pick
from synreid.generate.options import GanOptions
from synreid.reid.options import ReidOptions
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.study import ray_engine
from synreid.study.engine import PROGRAM, choose_engine
from synreid.study.jobs import Job
from synreid.study.ray_engine import (
    QUIET,
    Need,
    Node,
    Site,
    check_cluster,
    check_seen,
    check_versions,
    need_of,
    places,
)
from synreid.study.run import run_study

os.environ.update(QUIET)  # which Ray reads when it is imported
cluster_utils = pytest.importorskip("ray.cluster_utils")

GIB = 2**30
RECIPE: dict[str, Any] = {
    "name": "tiny",
    "persons": {"persons": 6, "images": 5},
    "select": {"detector": "none", "identity": False, "duplicates": None, "least_pictures": 1},
    "reid": {
        "backbone": "test_resnet",
        "embedding": 16,
        "height": 32,
        "width": 16,
        "epochs": 20,
        "batch": 16,
        "precision": "fp32",
    },
    "amounts": [4],
    "keep": 3,
    "extra": [],
    "labels": ["slsr"],  # whose teacher is the real arm's model
    "full_resolution": False,
    "seeds": [0],
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two nodes with a core each."""
    settings = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=settings)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many as a training has on the cluster: sums in floating point depend on how they are split."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def job(tiny_street: Path, tmp_path: Path) -> Job:
    """A training that is there, with the user's command."""
    data = open_data(tiny_street)
    real, test = pick(data, split="train"), pick(data, split=("query", "gallery"))
    options = ReidOptions(height=32, width=16)
    return Job("real", "Real", 0, tmp_path / "real", real, None, test, options, "lsro", command="true")


def kill_one(study: Path, arm: str, killed: list[int]) -> None:
    """Kill the process that says that it trains `arm`, once that has taken some steps."""
    folder, title = study / "reid" / arm / "0", "real pictures"
    while not killed:
        time.sleep(0.01)
        metrics = folder / "metrics.jsonl"
        if metrics.exists() and len(metrics.read_text().splitlines()) > 5:
            assert read_json(folder / "run.json")["finished"] is None
            said = "".join(path.read_text() for path in study.glob("workers-*.log"))
            killed.append(int(re.findall(rf"{title}, seed 0: process (\d+)", said)[0]))
            os.kill(killed[0], signal.SIGKILL)


def without_seconds(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if not name.endswith("seconds")} for row in results]


@pytest.mark.slow
def test_two_nodes_and_a_killed_worker_give_what_one_process_gives(
    tiny_street: Path,
    tiny_gan: Path,
    tiny_options: GanOptions,
    tmp_path: Path,
    address: str,
    one_thread: None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({**RECIPE, "gan": dataclasses.asdict(tiny_options)}))
    here = run_study(str(recipe), tiny_street, tmp_path / "here", tiny_gan)
    killed: list[int] = []
    capfd.readouterr()
    threading.Thread(target=kill_one, args=(tmp_path / "there", "real", killed), daemon=True).start()
    engine = choose_engine("ray", address=address)
    there = run_study(str(recipe), tiny_street, tmp_path / "there", tiny_gan, engine=engine)
    said = capfd.readouterr()
    assert killed
    assert said.out == "", "what Ray says is not among our results"
    assert len(re.findall("a worker was killed at .*, seed 0; another takes the training up again", said.err)) == 1
    results = [read_json(study / "results.json") for study in (here, there)]
    assert len(results[0]) == 4
    assert without_seconds(results[0]) == without_seconds(results[1])
    for model in here.glob("reid/*/0/model.safetensors"):
        assert model.read_bytes() == (there / model.relative_to(here)).read_bytes()
    assert not list(there.glob(".ray-*"))


@pytest.mark.slow
def test_what_a_job_raises_on_a_node_is_the_same_sentence(job: Job, address: str, tmp_path: Path) -> None:
    bad = dataclasses.replace(job, command=f"{sys.executable} -c 'raise SystemExit(3)'")
    engine = choose_engine("ray", address=address)
    with pytest.raises(UserError, match="the training command ended with 3 "):
        engine([bad], log=tmp_path / "log", started=lambda place: None, finished=lambda place, result: None)


@pytest.mark.slow
def test_a_job_that_kills_each_worker_stops_the_study(job: Job, address: str, tmp_path: Path) -> None:
    bad = dataclasses.replace(job, command=f"{sys.executable} -c 'import os; os.kill(os.getppid(), 9)'")
    started: list[int] = []
    engine = choose_engine("ray", address=address)
    with pytest.raises(UserError, match="a worker was killed 4 times at Real, seed 0, perhaps for want of memory; run"):
        engine([bad], log=tmp_path / "log", started=started.append, finished=lambda place, result: None)
    assert started == [0] * 4


@pytest.mark.slow
def test_nodes_that_cannot_do_it_are_named(
    job: Job, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = choose_engine("ray", address=address)
    absent = types.ModuleType("absent")  # as synreid is where it is not installed
    exec("def work(job, site): ...", absent.__dict__)
    monkeypatch.setitem(sys.modules, "absent", absent)
    with monkeypatch.context() as patch, pytest.raises(UserError, match="a node of the cluster cannot load synreid"):
        patch.setattr(ray_engine, "_work", absent.work)
        engine([job], log=tmp_path / "log", started=lambda place: None, finished=lambda place, result: None)
    monkeypatch.setattr(ray_engine, "memory_needed", lambda job: 2**50)
    with pytest.raises(
        UserError, match=r"the cluster has no node with 1 cores and 1048576\.0 GiB for a training; give"
    ):
        engine([job], log=tmp_path / "log", started=lambda place: None, finished=lambda place, result: None)


def test_a_cluster_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"the Ray cluster at 127.0.0.1:1 cannot be joined .*; start one"):
        check_cluster("127.0.0.1:1", None)
    with pytest.raises(UserError, match="workers is 0, but must be at least 1"):
        check_cluster("127.0.0.1:1", 0)
    with pytest.raises(UserError, match="is a Ray cluster's; add --engine ray"):
        choose_engine(address="127.0.0.1:1")


def test_a_node_that_does_not_see_the_study_says_so(job: Job, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    site = Site(tmp_path, mark, tmp_path / "log", {}, {}, 1)
    check_seen(job, site, "n2")
    moved = job.real.set_column(0, job.real.schema.field(0), [["/elsewhere"] * len(job.real)])
    for bad_job, bad_site, path in (
        (job, dataclasses.replace(site, mark=tmp_path / "study" / "mark"), tmp_path / "study"),
        (job, dataclasses.replace(site, folder=tmp_path / "home"), tmp_path / "home"),
        (dataclasses.replace(job, real=moved), site, "/elsewhere/.*"),
    ):
        with pytest.raises(UserError, match=f"node n2 does not see {path} as the study does; put"):
            check_seen(bad_job, bad_site, "n2")


def test_a_node_of_other_versions_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path, tmp_path / "mark", tmp_path / "log", {}, {"synreid": "0.1.0", "torch": "2.11.0"}, 1)
    check_versions(site, {"torch": "2.11.0", "synreid": "0.1.0"}, "n2")
    with pytest.raises(UserError, match=r"node n2 has torch 2.10.1, but the study runs with 2.11.0; install the same"):
        check_versions(site, {"torch": "2.10.1", "synreid": "0.1.0"}, "n2")


def test_trainings_get_the_most_cores_that_let_enough_run(job: Job) -> None:
    nodes = [Node(16, 0, 64 * GIB), Node(8, 0, 64 * GIB), Node(0, 0, 64 * GIB)]
    most = PROGRAM + 3 * len(job.real) * 32 * 16
    ours = [dataclasses.replace(job, command=None)]
    assert need_of(ours, nodes, None) == Need(1, 0, most), "so that no cluster gives other numbers"
    assert need_of(ours, nodes, 1) == Need(16, 0, most)
    assert need_of(ours, nodes, 3) == Need(8, 0, most)
    assert need_of(ours, nodes, 4) == Need(5, 0, most), "three on the first node, one on the second"
    assert need_of(ours, nodes, 100) == Need(1, 0, most)
    with_gpus = [Node(16, 2, 64 * GIB), Node(8, 0, 64 * GIB)]
    assert need_of(ours, with_gpus, None) == Need(8, 1, most)
    assert places(with_gpus, Need(8, 1, most)) == 2
    assert places([Node(16, 0, 2.5 * GIB)], Need(1, 0, GIB)) == 2
    assert places([], Need(1, 0, GIB)) == 0
