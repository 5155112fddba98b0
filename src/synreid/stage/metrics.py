"""A stage's curves: `metrics.jsonl` that anyone can read, TensorBoard events, and MLflow where it is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from synreid.stage.files import write_text
from synreid.stage.tracking import TrackedRun

FILE = "metrics.jsonl"


class MetricsLog:
    """Appends one line a step; a resumed stage gives `resume_step` and later lines are dropped."""

    def __init__(self, folder: Path, resume_step: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # here, since who only reads curves needs no torch

        self.path = folder / FILE
        kept = [line for line in read_metrics(folder) if resume_step is not None and line["step"] <= resume_step]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self.file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115, closed by __exit__
        self.board = SummaryWriter(
            str(folder / "tensorboard"), purge_step=None if resume_step is None else resume_step + 1
        )
        self.run = TrackedRun(folder)
        for line in kept:  # which the run may lack
            self.run.write(**line)

    def write(self, step: int, **values: float) -> None:
        """Record `values` at `step`, for example `write(100, loss=1.5)`."""
        self.file.write(json.dumps({"step": step, **{name: float(value) for name, value in values.items()}}) + "\n")
        self.file.flush()
        for name, value in values.items():
            self.board.add_scalar(name, float(value), step)
        self.run.write(step, **values)

    def picture(self, step: int, name: str, rgb: np.ndarray) -> None:
        """Record a picture, uint8 [H, W, 3], for TensorBoard."""
        self.board.add_image(name, rgb, step, dataformats="HWC")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
        self.board.close()
        self.run.close(kind)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a stage's metrics, oldest first, up to the first damaged one: a run cut off leaves one."""
    path = folder / FILE
    if not path.exists():
        return []
    lines: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            break
        if isinstance(line, dict):
            lines.append(line)
    return lines
