"""Reads a study's folder into plain values, and refuses one that is not a study with a clear sentence."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from synreid.report.entries import Study
from synreid.report.reader import Reader, mapping, wrong
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.stage.folder import stage_of
from synreid.stage.metrics import read_metrics

__all__ = ["Study", "finished_report", "learning_curves", "read_study"]

STUDY = "study.json"
REPORT = "report.html"
SELECTIONS = {"selection": "made pictures", "selection_variations": "variations"}
BY = "selection_by_"  # and the name of other rules that chose among the same made pictures
CALIBRATION = ("threshold", "good", "passes", "auc", "low", "high")
QUALITY = ("kimg", "frechet", "kid", "precision", "recall", "density", "coverage", "real", "made")


def read_study(folder: Path) -> Study:
    """Read `study.json`; raises UserError naming the entry that is missing or has the wrong kind of value.

    A folder without one is a UserError, too, which tells a study that is not finished from what is none.
    """
    folder = Path(folder)
    path = folder / STUDY
    if not path.exists() and stage_of(folder) == "study":
        raise UserError(f"the study in {folder} is not finished; run its command again, and it goes on to its end.")
    if not path.exists():
        raise UserError(f"{folder} is not the folder of a study: it has no {STUDY}; name the folder given to --out.")
    raw = mapping(read_json(path), "the whole file", path)
    reader = Reader(path)
    return Study(
        folder=folder,
        recipe=reader.text(raw, "recipe"),
        question=reader.text(raw, "question"),
        answer=reader.text(raw, "answer"),
        arms=[reader.arm(entry, where) for entry, where in reader.entries(raw, "arms", needed=True)],
        seeds=[int(seed) for seed in reader.numbers(raw, "seeds")],
        results=[reader.result(entry, where) for entry, where in reader.entries(raw, "results", needed=True)],
        differences=[reader.difference(entry, where) for entry, where in reader.entries(raw, "differences")],
        generator=reader.part(raw, "generator"),
        quality=reader.parts(raw, "generator", "quality", QUALITY),
        selections=[reader.selection(raw, part, of) for part, of in _selections(raw, path).items() if raw.get(part)],
        calibration=reader.numbered(raw, "calibration", "", CALIBRATION),
        origin=reader.part(raw, "origin"),
        data=reader.part(raw, "data"),
        notes=[str(note) for note in reader.sequence(raw, "notes")],
        machine=reader.part(raw, "machine"),
        versions=reader.part(raw, "versions"),
        times=reader.part(raw, "times"),
        config=reader.part(raw, "config"),
        slopes=[reader.slope(entry, where) for entry, where in reader.entries(raw, "dose")],
        published=reader.published(raw, "reference"),
        seeds_needed=str(reader.part(raw, "seeds_needed").get("text") or ""),
        started=None if raw.get("started") is None else str(raw["started"]),
        finished=None if raw.get("finished") is None else str(raw["finished"]),
    )


def finished_report(folder: Path) -> Path | None:
    """Return the report in a study's folder, or None where there is none of the study as it is now."""
    report, study = Path(folder) / REPORT, Path(folder) / STUDY
    if not study.exists():
        return None
    return report if report.exists() and report.stat().st_mtime_ns >= study.stat().st_mtime_ns else None


def _selections(raw: dict[str, Any], path: Path) -> dict[str, str]:
    """Return the keys of the study's selections, and what each chose among; their names are those of files, too."""
    for key in raw:
        if key.startswith(BY) and not re.fullmatch(r"[a-z0-9][a-z0-9-]*", key.removeprefix(BY)):
            raise wrong(path, "the name of a selection", key, f"{BY} with small letters, digits and hyphens after it")
    return SELECTIONS | {key: f"made pictures, by {key.removeprefix(BY)}" for key in raw if key.startswith(BY)}


def learning_curves(study: Study, key: str, points: int = 60) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each arm the mean over its seeds of `key` in metrics.jsonl: steps [P] and values [P], P <= `points`.

    Each seed's curve is averaged in as many windows of steps as `points`, so that long runs stay small and calm.
    An arm without a curve is left out.
    """
    curves = {}
    for arm in study.arms:
        steps: list[float] = []
        values: list[float] = []
        for path in sorted((study.folder / "reid" / arm.name).glob("*/metrics.jsonl")):
            for line in read_metrics(path.parent):
                step, value = line.get("step"), line.get(key)
                if isinstance(step, int | float) and isinstance(value, int | float) and math.isfinite(value):
                    steps.append(step)
                    values.append(value)
        if steps:
            curves[arm.name] = _windows(np.asarray(steps, float), np.asarray(values, float), points)
    return curves


def _windows(steps: np.ndarray, values: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    edges = np.linspace(steps.min(), steps.max(), points + 1)
    window = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, points - 1)
    counts = np.bincount(window, minlength=points)
    used = counts > 0
    sums = [np.bincount(window, weights=of, minlength=points)[used] / counts[used] for of in (steps, values)]
    return sums[0], sums[1]
