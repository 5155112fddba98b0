"""Sheets to look at: kept persons as rows, and discarded pictures with their reasons."""

from __future__ import annotations

import numpy as np

from synreid.data.sheets import sheet
from synreid.data.table import groups, spread
from synreid.select.policy import BEST, TOO_FEW, Policy

KEPT_PERSONS, KEPT_PICTURES = 16, 10
DISCARDED_EACH, DISCARDED_COLUMNS = 24, 12


def kept_sheet(pictures: np.ndarray, policy: Policy) -> np.ndarray:
    """Up to 16 persons as rows of up to 10 kept pictures, uint8 RGB; persons are spread over all that are kept."""
    rows = policy.left
    persons = [rows[members] for members in groups(policy.persons[rows])]
    chosen = [persons[k] for k in spread(len(persons), KEPT_PERSONS)]
    columns = min(KEPT_PICTURES, max((len(person) for person in chosen), default=1))
    blank = np.full(pictures.shape[1:], 255, dtype=np.uint8)
    cells = [pictures[person[k]] if k < len(person) else blank for person in chosen for k in range(columns)]
    return sheet(cells, columns, scale=_scale(pictures))


def discarded_sheet(pictures: np.ndarray, policy: Policy) -> np.ndarray:
    """Up to 24 pictures for each reason with their score against its threshold, uint8 RGB; each reason starts a row."""
    cells, captions = [], []
    blank = np.full(pictures.shape[1:], 255, dtype=np.uint8)
    for stage in policy.stages:
        rows = np.flatnonzero(policy.reasons == stage.name)
        rows = rows[spread(len(rows), DISCARDED_EACH)]
        cells += [pictures[row] for row in rows]
        captions += [_caption(policy, stage.name, int(row), stage.threshold) for row in rows]
        rest = -len(rows) % DISCARDED_COLUMNS
        cells += [blank] * rest
        captions += [""] * rest
    return sheet(cells, DISCARDED_COLUMNS, captions=captions if cells else None, scale=_scale(pictures))


def _caption(policy: Policy, name: str, row: int, threshold: float | None) -> str:
    if name == TOO_FEW or threshold is None:
        return f"{name}\n"
    if name == BEST:
        return f"{name}\nrank {policy.columns[name][row]:.0f} > {threshold:.0f}"
    return f"{name}\n{policy.columns[name][row]:.2f} < {threshold:.2f}"


def _scale(pictures: np.ndarray) -> int:
    return max(1, 128 // int(pictures.shape[1]))
