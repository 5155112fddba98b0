"""The field's names of measures: `fid50k_full` for what a snapshot is measured with, FID for one distance only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from synreid.features.inception import INCEPTION
from synreid.stage.errors import UserError

AIDED = ", through which the training looked too"  # stands behind the features' name where it is so
PERHAPS_AIDED = ", through which the training may have looked too"  # where nobody can tell


@dataclass(frozen=True)
class Metrics:
    """Which features, how many made pictures, and how many real ones."""

    kind: Literal["none", "fid", "fd"]
    """`fid` asks for the features of FID's Inception, `fd` for the best ones at hand; `none` measures nothing."""
    count: int = 0
    """Made pictures; 0 with `none`."""
    full: bool = False
    """Against all training pictures; otherwise against at most `count` of them."""


def parse_metrics(text: str) -> Metrics:
    """Read `none`, or `fid` or `fd` with a count in which k stands for thousands, and `_full`; see `Metrics`.

    Raises UserError for anything else, and for fewer than 2 pictures, which have no spread.
    """
    if text == "none":
        return Metrics("none")
    parts = re.fullmatch(r"(fid|fd)([1-9]\d*)(k?)(_full)?", text)
    count = int(parts[2]) * (1000 if parts[3] else 1) if parts else 0
    if parts is None or count < 2:
        raise UserError(
            f"metrics is {text!r}, which names no measure: write for example fid50k_full, fid10k, fd1k, fd400, "
            "fd10k_full or none."
        )
    return Metrics(cast(Literal["fid", "fd"], parts[1]), count, bool(parts[4]))


def frechet_name(features: str) -> str:
    """Return what a Fréchet distance on these features is called: FID on FID's own Inception, `FD-<features>` else."""
    name = features.removesuffix(AIDED).removesuffix(PERHAPS_AIDED)
    return "FID" if name == INCEPTION else f"FD-{name}"
