"""The policy: rules in order, each discarding from what the earlier ones left, and the count of it all."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from synreid.data.table import groups
from synreid.select.scores import rank_of_person
from synreid.stage.errors import UserError

TOO_FEW, BEST = "too few kept", "best"


@dataclass
class Stage:
    """What one rule did. Percentages are of the stage's own input and of all made pictures (as thesis table 5.5)."""

    name: str
    into: int
    discarded: int
    percent_of_stage: float
    percent_of_all: float
    threshold: float | None

    def as_row(self) -> dict[str, Any]:
        """The stage as a row of the summary; its input is called `in` there."""
        row = asdict(self)
        return {"name": row.pop("name"), "in": row.pop("into"), **row}


@dataclass
class Policy:
    """Keeps the state between rules: which of the pictures (their persons `[N]`) are left, and why others are not."""

    persons: np.ndarray
    kept: np.ndarray = field(init=False)
    reasons: np.ndarray = field(init=False)
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kept = np.ones(len(self.persons), dtype=bool)
        self.reasons = np.full(len(self.persons), None, dtype=object)

    @property
    def left(self) -> np.ndarray:
        """Row numbers of the pictures that are left."""
        return np.flatnonzero(self.kept)

    def at_least(self, name: str, scores: np.ndarray, threshold: float) -> None:
        """Discard those of the left pictures whose score (`[len(left)]`) is below `threshold`; nan is not judged.

        Raises UserError when that leaves nothing, with the threshold that would have kept 10 %.
        """
        self._discard(name, scores, scores < threshold, threshold)

    def drop(self, name: str, bad: np.ndarray) -> None:
        """Discard those of the left pictures that are `bad` (`[len(left)]`); raises UserError when all are."""
        if bad.all():
            raise UserError(f"The rule {name} leaves no picture: all {len(bad)} are to be dropped; make other ones.")
        self._discard(name, None, bad, None)

    def keep_best(self, by: str, most: int) -> None:
        """Keep the `most` pictures of each person that scored highest by the earlier rule `by`.

        The column of this rule, `best`, holds the pictures' ranks within their persons, 1 the best.
        """
        rows = self.left
        ranks = rank_of_person(self.columns[by][rows], self.persons[rows])
        self._discard(BEST, ranks, ranks > most, most)

    def drop_small_persons(self, least: int) -> None:
        """Discard persons of whom fewer than `least` pictures are left."""
        rows = self.left
        small = np.zeros(len(self.persons), dtype=bool)
        for members in groups(self.persons[rows]):
            small[rows[members]] = len(members) < least
        if len(rows) and small[rows].all():
            counts = ", ".join(f"{stage.name} discarded {stage.discarded} of {stage.into}" for stage in self.stages)
            raise UserError(
                f"No made person has {least} pictures left, the least that is asked for ({counts}): "
                "make more pictures a person, or lower least_pictures or the thresholds."
            )
        self._discard(TOO_FEW, None, small[rows], None)

    def _discard(self, name: str, scores: np.ndarray | None, bad: np.ndarray, threshold: float | None) -> None:
        rows = self.left
        if scores is not None:
            self.columns[name] = np.full(len(self.persons), np.nan)
            self.columns[name][rows] = scores
            if len(rows) and bad.all() and threshold is not None:
                raise UserError(_nothing_left(name, scores, threshold))
        self.kept[rows[bad]] = False
        self.reasons[rows[bad]] = name
        discarded = int(bad.sum())
        self.stages.append(
            Stage(
                name=name,
                into=len(rows),
                discarded=discarded,
                percent_of_stage=_percent(discarded, len(rows)),
                percent_of_all=_percent(discarded, len(self.persons)),
                threshold=threshold,
            )
        )


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0


def _nothing_left(name: str, scores: np.ndarray, threshold: float) -> str:
    tenth = float(np.nanquantile(scores, 0.9))
    return (
        f"The rule {name} leaves no picture: none of {len(scores)} reaches {threshold:.4g}, the best is "
        f"{np.nanmax(scores):.4g}; a threshold of {tenth:.4g} would keep 10 %. Look at the pictures before lowering it."
    )
