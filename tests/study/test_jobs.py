"""A training of a study with its evaluation, and how long each took."""

from __future__ import annotations

from pathlib import Path

import pytest

from synreid.data.scan import open_data
from synreid.data.table import pick
from synreid.reid import evaluate
from synreid.reid.options import ReidOptions
from synreid.stage.errors import UserError
from synreid.stage.files import read_json, write_json
from synreid.study.jobs import EVALUATED, Job, run_job

TINY = ReidOptions(backbone="test_resnet", height=32, width=16, embedding=16, batch=8, steps=2, precision="fp32")


@pytest.fixture
def job(tiny_street: Path, tmp_path: Path) -> Job:
    data = open_data(tiny_street)
    real, test = pick(data, split="train"), pick(data, split=("query", "gallery"))
    return Job("real", "Real", 0, tmp_path / "real", real, None, test, TINY, "new-identity")


def test_evaluation_is_timed_once_and_said_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_job(job)
    assert first["seconds"] == read_json(job.folder / "run.json")["seconds"]
    assert first["evaluation_seconds"] == read_json(job.folder / EVALUATED)["seconds"]
    write_json(job.folder / EVALUATED, {"seconds": 61.5})
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "embed_table", None)
        assert run_job(job) == {**first, "evaluation_seconds": 61.5}
        (job.folder / EVALUATED).unlink()  # as of an older study
        assert run_job(job)["evaluation_seconds"] is None
    (job.folder / evaluate.SUMMARY).unlink()
    assert run_job(job)["evaluation_seconds"] == read_json(job.folder / EVALUATED)["seconds"]


@pytest.mark.parametrize("text", ["[]", '{"seconds": "long"}', "{"])
def test_damaged_time_is_named(job: Job, text: str) -> None:
    run_job(job)
    (job.folder / EVALUATED).write_text(text)
    with pytest.raises(UserError, match=r"evaluated\.json"):
        run_job(job)
