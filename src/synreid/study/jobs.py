"""One training of a study with its evaluation: all that a process needs to run it by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from synreid.reid.options import ReidOptions
from synreid.stage.files import read_json
from synreid.stage.folder import RUN

MEASURES = ("rank1", "rank5", "rank10", "map", "map_trapezoid", "minp")
COMPARED = ("map", "rank1")  # those whose differences a study tells


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


def run_job(job: Job) -> dict[str, Any]:
    """Train and evaluate, as far as that is not done yet, and return arm, seed, measures in [0, 1] and seconds."""
    from synreid.data.table import pick
    from synreid.reid.command import run_command
    from synreid.reid.evaluate import evaluate_model
    from synreid.reid.train import train  # with PyTorch: seconds, which a finished study does not ask for

    if job.command is not None:
        query, gallery = (pick(job.test, split=split) for split in ("query", "gallery"))
        real = job.real if job.real is not None else job.test.slice(0, 0)
        steps = job.options.steps
        summary = run_command(job.command, real, job.made, query, gallery, job.folder, job.seed, steps).summary
    else:
        first, *others = (part for part in (job.real, job.made) if part is not None)
        train(first, others[0] if others else None, job.folder, job.options, job.labels, teacher=job.teacher)
        summary = evaluate_model(job.folder, job.test).summary
    measures = {name: summary[name] for name in MEASURES}
    return {"arm": job.arm, "seed": job.seed, **measures, "seconds": read_json(job.folder / RUN)["seconds"]}
