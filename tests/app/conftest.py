"""A study's folder with all that the page shows, of drawn persons, as small as it can be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from synreid.data.table import TABLE, read_table, write_table
from synreid.generate.options import PersonOptions
from synreid.generate.persons import make_persons
from synreid.reid.options import ReidOptions
from synreid.reid.train import train
from synreid.select.options import SelectOptions
from synreid.select.run import select
from synreid.stage.folder import CONFIG, StageFolder

PHOTOGRAPH = "data:image/jpeg;base64,/9j/4AAQSkZJRg=="
ANSWER = "Adding 4 <b>persons</b> changed mAP by nothing."
QUICK = ReidOptions(
    backbone="test_resnet", height=32, width=16, embedding=16, batch=8, steps=3, crop_pad=2, precision="fp32"
)


class Colours:
    """The mean colour as identity."""

    name = "colours"

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        return np.asarray(pictures, np.float32).mean(axis=(1, 2)) - 128


@pytest.fixture(scope="session")
def made_study(tmp_path_factory: pytest.TempPathFactory, tiny_street: Path, train_table: pa.Table, tiny_gan: Path):
    """The folder of a finished study of drawn persons."""
    out = tmp_path_factory.mktemp("app") / "study"
    asked = {"recipe": "tiny", "data": None, "gan": None, "out": str(out)}
    with StageFolder(out, "study", 1, asked, {}, unnamed=tuple(asked)) as folder:
        shutil.copytree(tiny_street, out / "street")
        shutil.copytree(tiny_gan, out / "gan")
        make_persons(out / "gan", out / "persons", PersonOptions(persons=4, images=4))
        chosen = SelectOptions(detector="none", consistency=-1.0, duplicates=None, least_pictures=1)
        select(out / "persons", None, out / "select", chosen, Colours())
        train(train_table, None, out / "reid" / "real" / "0", QUICK)
        (out / "study.json").write_text(json.dumps(_numbers()), encoding="utf-8")
        (out / "report.html").write_text(f"<!DOCTYPE html><h1>Report</h1><img src='{PHOTOGRAPH}'>", encoding="utf-8")
        folder.finish()
    return out


@pytest.fixture
def copied(made_study: Path, tmp_path: Path) -> Callable[..., Path]:
    """copied(): a study's folder of one's own; copied(real=True): one whose pictures are said to be real persons'."""

    def copy(real: bool = False) -> Path:
        out = tmp_path / "study"
        shutil.copytree(made_study, out)
        if real:
            (out / CONFIG).write_text("data: /pictures\ngan: null\n", encoding="utf-8")
            numbers = _numbers() | {"data": {"name": "pictures", "drawn": False}}
            (out / "study.json").write_text(json.dumps(numbers), encoding="utf-8")
        return out

    return copy


def change_table(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a picture table anew."""
    write_table(change(read_table(path / TABLE)), path / TABLE)


def _numbers() -> dict[str, Any]:
    measures = {"rank1": 0.5, "rank5": 0.6, "rank10": 0.7, "map": 0.4, "map_trapezoid": 0.39, "minp": 0.1}
    arm = {"name": "real", "title": "real pictures", "persons": 0, "control": True, "matched": False}
    difference = {"arm": "real", "against": "real", "metric": "map", "mean": 0.0, "low": None, "high": None}
    return {
        "recipe": "tiny",
        "question": "Do they help?",
        "answer": ANSWER,
        "arms": [{**arm, "resolution": "16x8", "pictures_real": 96, "pictures_made": 0, "steps": 3}],
        "seeds": [0],
        "results": [{"arm": "real", "seed": 0, **measures, "seconds": 1.0}],
        "differences": [{**difference, "n": 1, "per_seed": [0.0]}],
        "data": {"name": "street", "drawn": True},
    }
