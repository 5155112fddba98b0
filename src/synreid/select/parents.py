"""Variations of real persons: what tells them from artificial ones, and the real pictures that they come from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from synreid.data.table import column, rows
from synreid.stage.errors import UserError


def are_variations(made: pa.Table) -> bool:
    """Tell whether made pictures are of real persons; raises UserError where only some of them are."""
    origins = set(column(made, "origin"))
    if len(origins) > 1:
        raise UserError(
            f"The made pictures are of several origins ({', '.join(sorted(origins))}), which are judged by different "
            "rules: put each origin into a folder of its own."
        )
    return origins == {"variation"}


@dataclass(frozen=True)
class Parents:
    """What variations are compared with."""

    sha256: np.ndarray
    """The person's own pictures that each variation comes from (parents of role person), objects [N] of frozenset."""
    pictures: pa.Table
    """The real training pictures of all persons that the variations show."""
    alone: np.ndarray
    """Whether a variation's parents are all the real pictures of its person, bool [N]."""


def parents_of(variations: pa.Table, real: pa.Table | None) -> Parents:
    """Return the parents of `variations` among the training rows `real`.

    Raises UserError where there are no such rows, or none of one of the persons, or a variation names no parent.
    """
    if real is None:
        raise UserError(
            "Variations are compared with real pictures of their persons, but no data was given: name the data, or set "
            "identity to false."
        )
    names, persons, known = column(variations, "path"), column(variations, "pid"), column(real, "pid")
    strangers = np.flatnonzero(~_among(persons, known))
    if len(strangers):
        raise UserError(
            f"{len(strangers)} of {len(variations)} variations are of persons of whom the data has no training "
            f"pictures to compare with (the first is {names[strangers[0]]} of {persons[strangers[0]]}): name the data "
            "that they were made from."
        )
    listed = column(variations, "parents")
    for name, parents in zip(names, listed, strict=True):
        if not any(parent["role"] == "person" for parent in parents or ()):
            raise UserError(f"The variation {name} names no parent, but each comes from a real picture: make it again.")
    own = np.empty(len(listed), dtype=object)
    own[:] = [frozenset(one["sha256"] for one in parents if one["role"] == "person") for parents in listed]
    pictures = rows(real, _among(known, persons))
    contents: dict[str, set[str]] = defaultdict(set)
    for pid, content in zip(column(pictures, "pid"), column(pictures, "sha256"), strict=True):
        contents[pid].add(content)
    alone = [contents[pid] <= parents for pid, parents in zip(persons, own, strict=True)]
    return Parents(own, pictures, np.array(alone, dtype=bool))


def _among(pids: np.ndarray, others: np.ndarray) -> np.ndarray:
    known = set(others)
    return np.array([pid in known for pid in pids], dtype=bool)
