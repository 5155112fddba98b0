"""A finished study in MLflow: its numbers and `study.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synreid.stage.files import read_json
from synreid.stage.tracking import TrackedRun
from synreid.study.jobs import COMPARED

STUDY = "study.json"


def log_study(folder: Path) -> None:
    """Log the finished study in `folder` to MLflow; nothing without SYNREID_MLFLOW.

    The report stays where it is, for it shows pictures. A study that is logged again has its file replaced. What fails
    is said, and ends nothing.
    """
    result = read_json(folder / STUDY)
    params = {"recipe": result["recipe"], "seeds": result["seeds"], "data": result["data"]["name"]}
    run = TrackedRun(folder, params)
    run.write(0, **numbers_of(result))
    run.file(folder / STUDY)
    run.close()


def numbers_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Return by name, as fractions, each arm's mean and deviation and each difference with its interval over seeds.

    Numbers that one seed does not give are left out.
    """
    named = {
        f"{row['arm']}/{metric}_{key}": row[f"{metric}_{key}"]
        for row in result["summary"]
        for metric in COMPARED
        for key in ("mean", "sd")
    }
    named |= {
        f"{row['arm']} against {row['against']}/{row['metric']}_{key}": row[key]
        for row in result["differences"]
        for key in ("mean", "low", "high")
    }
    return {name: value for name, value in named.items() if value is not None}
