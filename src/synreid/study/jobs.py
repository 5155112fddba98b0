"""One training of a study with its evaluation: all that a process needs to run it by itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from synreid.reid.options import ReidOptions
from synreid.stage.files import expected_shape, read_json, write_json
from synreid.stage.folder import RUN

MEASURES = ("rank1", "rank5", "rank10", "map", "map_trapezoid", "minp")
COMPARED = ("map", "rank1")  # those whose differences a study tells
SEEDS_FOR_A_CLAIM = 5
EVALUATED = "evaluated.json"  # how long the evaluation beside it took


@dataclass(frozen=True)
class Job:
    """An arm's training with one seed, into `folder`.

    `real` and `made` are the training pictures, `test` holds query and gallery. `teacher` is the folder of a model that
    must be finished before. `command` is the user's own training command instead of ours.
    """

    arm: str
    title: str
    seed: int
    folder: Path
    real: pa.Table | None
    made: pa.Table | None
    test: pa.Table
    options: ReidOptions
    labels: str
    teacher: Path | None = None
    command: str | None = None


def is_identical(difference: Mapping[str, Any]) -> bool:
    """Tell whether a paired difference, a row of study.json, is exactly 0 in every seed."""
    return not any(difference["per_seed"])


def run_job(job: Job) -> dict[str, Any]:
    """Train and evaluate, as far as that is not done yet, and return arm, seed, measures in [0, 1] and seconds.

    `seconds` are of the training, `evaluation_seconds` of the evaluation: None where nobody knows, or where the user's
    own command is timed as a whole.
    """
    from synreid.data.table import pick
    from synreid.reid.command import run_command
    from synreid.reid.train import train  # with PyTorch: seconds, which a finished study does not ask for

    evaluation: float | None = None
    if job.command is not None:
        query, gallery = (pick(job.test, split=split) for split in ("query", "gallery"))
        real = job.real if job.real is not None else job.test.slice(0, 0)
        steps = job.options.steps
        summary = run_command(job.command, real, job.made, query, gallery, job.folder, job.seed, steps).summary
    else:
        first, *others = (part for part in (job.real, job.made) if part is not None)
        train(first, others[0] if others else None, job.folder, job.options, job.labels, teacher=job.teacher)
        summary, evaluation = _evaluate(job.folder, job.test)
    measures = {name: summary[name] for name in MEASURES}
    seconds = {"seconds": read_json(job.folder / RUN)["seconds"], "evaluation_seconds": evaluation}
    return {"arm": job.arm, "seed": job.seed, **measures, **seconds}


def _evaluate(model: Path, test: pa.Table) -> tuple[dict[str, Any], float | None]:
    """Return the evaluation's summary, and the seconds that it took when it was computed, None where nobody knows."""
    from synreid.reid.evaluate import evaluate_model, read_evaluation

    known, start = read_evaluation(model), time.monotonic()
    summary = evaluate_model(model, test).summary
    if known is None or known.summary.get("fingerprint") != summary["fingerprint"]:
        write_json(model / EVALUATED, {"seconds": round(time.monotonic() - start, 2)})
    if not (model / EVALUATED).exists():  # evaluated by `reid evaluate`, or before this was kept
        return summary, None
    with expected_shape(model / EVALUATED):
        return summary, float(read_json(model / EVALUATED)["seconds"])
