"""Kept and discarded: what a threshold on one score would keep of the made pictures, and which of them to look at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from synreid.app.folder import Material, persons_of
from synreid.data.table import TABLE, column, paths, read_table, rows, spread
from synreid.select.policy import BEST
from synreid.select.run import PRIVACY, SUMMARY, read_selection
from synreid.stage.errors import UserError
from synreid.stage.files import read_json

NOT_SCORES = ("sha256", "path", "pid", "kept", "reason")
Order = Literal["at the threshold", "spread over all"]


@dataclass(frozen=True)
class Score:
    """One rule's numbers."""

    name: str
    values: np.ndarray
    """float [N]; nan for pictures that an earlier rule had discarded."""
    threshold: float | None
    """What the selection itself took."""

    @property
    def judged(self) -> np.ndarray:
        """Which pictures have a number, bool [N]."""
        return ~np.isnan(self.values)

    @property
    def low_is_good(self) -> bool:
        """Whether pictures at or below the threshold are kept: of ranks, where 1 is the best."""
        return self.name == BEST

    def reaches(self, threshold: float) -> np.ndarray:
        """Return which pictures a threshold keeps, bool [N], as the policy has it: the threshold itself is enough."""
        return self.values <= threshold if self.low_is_good else self.values >= threshold


@dataclass(frozen=True)
class Split:
    """What a threshold does: row numbers in the order in which they are looked at."""

    kept: np.ndarray
    discarded: np.ndarray
    unjudged: int
    persons_kept: int
    persons: int


@dataclass(frozen=True)
class Choice:
    """A selection with the pictures that it chose from."""

    name: str
    table: pa.Table
    """The selection's own."""
    files: list[Path]
    visible: np.ndarray
    """Which pictures may be shown, bool [N]; near copies of training pictures never are, unless asked for."""
    scores: dict[str, Score]

    def split(self, score: str, threshold: float) -> Split:
        """Return what `threshold` keeps and discards, those nearest to it first.

        Equal ones come in an order that is drawn, always the same: by their rows they would be those of a few persons.
        """
        found = self.score(score)
        keeps = found.reaches(threshold)
        distance = np.abs(found.values - threshold)
        kept, discarded = np.flatnonzero(keeps), np.flatnonzero(found.judged & ~keeps)
        lot = np.random.default_rng(0).permutation(len(distance))
        kept, discarded = (part[np.lexsort((lot[part], distance[part]))] for part in (kept, discarded))
        persons = column(self.table, "pid").astype(str)
        return Split(
            kept,
            discarded,
            int((~found.judged).sum()),
            len(np.unique(persons[kept])),
            len(np.unique(persons[found.judged])),
        )

    def score(self, name: str) -> Score:
        """Return one rule's numbers; raises UserError for a rule that the selection did not apply."""
        if name not in self.scores:
            raise UserError(f"{self.name} has no score {name}; choose one of {', '.join(self.scores)}.")
        return self.scores[name]

    def caption(self, row: int, score: str) -> str:
        """Return what stands under a picture: its number and its person."""
        pid = str(self.table.column("pid")[row].as_py()).rpartition("/")[2]
        return f"{self.scores[score].values[row]:.3g}\n{pid}"


def shown(found: np.ndarray, order: Order, most: int) -> np.ndarray:
    """Return the row numbers to look at, `most` at most, of those that a Split lists."""
    return found[:most] if order == "at the threshold" else found[spread(len(found), most)]


def open_choice(name: str, folder: Path, material: Material) -> Choice:
    """Open a finished selection with its pictures.

    Raises UserError where its persons are gone, or are not those that it chose from.
    """
    selection = read_selection(folder)
    persons = read_table(persons_of(folder) / TABLE)
    places = {key: row for row, key in enumerate(_keys(persons))}
    wanted = [places.get(key) for key in _keys(selection)]
    if None in wanted:
        raise UserError(f"{folder} was made from other persons than {persons_of(folder)} holds; select again.")
    persons = rows(persons, [row for row in wanted if row is not None])
    visible = material.may_be_shown(persons)
    if not (material.show_real or material.drawn):
        visible &= column(selection, "reason") != PRIVACY
    return Choice(name, selection, paths(persons), visible, _scores(selection, folder))


def _keys(table: pa.Table) -> list[tuple[str, str]]:
    return list(zip(column(table, "path"), column(table, "sha256"), strict=True))


def _scores(selection: pa.Table, folder: Path) -> dict[str, Score]:
    summary = folder / SUMMARY
    try:
        thresholds = {stage["name"]: stage["threshold"] for stage in read_json(summary)["stages"]}
        if any(threshold is not None and not math.isfinite(threshold) for threshold in thresholds.values()):
            raise ValueError("a threshold is not a number")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{summary} is damaged; remove {folder} and select again.") from error
    found = {}
    for name in selection.column_names:
        if name in NOT_SCORES:
            continue
        values = column(selection, name).astype(float)
        if np.isfinite(values).any():
            found[name] = Score(name, values, thresholds.get(name))
    return found


def bounds(score: Score) -> tuple[float, float, float]:
    """Return where a slider begins and ends, and its step: about two hundred steps of 1, 2 or 5 times a power of ten.

    Between its ends everything can be kept and everything discarded.
    """
    finite = score.values[np.isfinite(score.values)]
    low, high = float(finite.min()), float(finite.max())
    if score.threshold is not None:
        low, high = min(low, score.threshold), max(high, score.threshold)
    raw = max((high - low) / 200, 1e-6)
    power = 10.0 ** np.floor(np.log10(raw))
    step = float(next(power * digit for digit in (1, 2, 5, 10) if power * digit >= raw * (1 - 1e-9)))
    if score.low_is_good:
        step = max(1.0, round(step))
    low, high = float(np.floor(low / step) * step), float(np.ceil(high / step) * step)
    return (low - step, high, step) if score.low_is_good else (low, high + step, step)


def bins(score: Score, threshold: float, count: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a histogram: edges [count + 1], and how many pictures of each bin are kept and discarded, int [count]."""
    finite = np.isfinite(score.values)
    low, high, _ = bounds(score)
    edges = np.linspace(low, high, count + 1)
    keeps = score.reaches(threshold)
    kept, _ = np.histogram(score.values[finite & keeps], edges)
    discarded, _ = np.histogram(score.values[finite & ~keeps], edges)
    return edges, kept, discarded
