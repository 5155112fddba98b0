"""What pictures are called in other tools: persons and cameras as numbers, and file names that say them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from synreid.data.layouts import market1501
from synreid.data.layouts.entry import MADE
from synreid.data.table import column
from synreid.stage.errors import UserError

DISTRACTOR = 0  # Market-1501's number of whoever no query shows


@dataclass(frozen=True)
class Numbering:
    """The numbers and names of the N rows of a table."""

    persons: np.ndarray
    """Number of each row's person, int64 [N]; -1 for junk."""
    cameras: np.ndarray
    """Number of each row's camera, from 1, int64 [N]; 0 where it is unknown."""
    stems: list[str]
    """Name of each row's file without its suffix, such as 0002_c1s1_000451_03; no two of one split are alike."""


def numbered(table: pa.Table) -> Numbering:
    """Number the persons and cameras of a table of real and made pictures, and name its pictures.

    Real persons keep the number that their name ends in where each has one of its own, and are numbered by name
    otherwise; so do real cameras. Artificial persons are numbered behind the largest of those. Variations have the
    number of the person whom they show. A made picture has the camera that its row names (that of its real parent, or
    what its generator was told); those without one share one camera more, behind all others.

    Raises UserError for pictures without an identity, for an artificial person with the name of a real one, and for
    variations of persons whom the real pictures, where there are any, do not show.
    """
    persons, cameras = _person_numbers(table), _camera_numbers(table)
    return Numbering(persons, cameras, _stems(table, persons, cameras))


def _person_numbers(table: pa.Table) -> np.ndarray:
    pids, junk = column(table, "pid"), column(table, "junk").astype(bool)
    nameless = [
        path for path, pid, wrong in zip(column(table, "path"), pids, junk, strict=True) if not wrong and not pid
    ]
    if nameless:
        raise UserError(
            f"{len(nameless)} pictures have no identity (the first is {nameless[0]}), but every layout names persons; "
            "leave them out."
        )
    artificial = column(table, "origin") == "artificial"
    real, made = set(pids[~artificial & ~junk]), set(pids[artificial])
    if both := sorted(real & made):
        raise UserError(
            f"{both[0]} is the name of a real and of an artificial person ({len(both)} such names); rename the folder "
            "of the real pictures, whose name is part of it."
        )
    photographed, shown = (set(pids[(column(table, "origin") == kind) & ~junk]) for kind in ("real", "variation"))
    if photographed and (strangers := sorted(shown - photographed)):
        raise UserError(
            f"{strangers[0]} is shown by variations but not by the real pictures ({len(strangers)} such persons); name "
            "the data that they were made from, under the folder's name of then."
        )
    asked = set(pids[~junk & (column(table, "split") != "gallery")])
    numbers = _kept_or_counted(real, r"(?:.*/)?(\d{1,9})", real - asked)
    first = max(numbers.values(), default=0) + 1
    numbers |= {pid: number for number, pid in enumerate(sorted(made), start=first)}
    return np.array([-1 if wrong else numbers[pid] for pid, wrong in zip(pids, junk, strict=True)], dtype=np.int64)


def _camera_numbers(table: pa.Table) -> np.ndarray:
    cameras, real = column(table, "camera"), column(table, "origin") == "real"
    known, named = set(cameras[real]) - {None}, set(cameras) - {None}
    numbers = _kept_or_counted(known or named, r"(?:.*/)?c?(\d{1,9})", set())
    first = max(numbers.values(), default=0) + 1
    numbers |= {camera: number for number, camera in enumerate(sorted(named - set(numbers)), start=first)}
    own = max(numbers.values(), default=0) + 1
    pairs = zip(cameras, real, strict=True)
    return np.array([numbers[camera] if camera else 0 if is_real else own for camera, is_real in pairs], dtype=np.int64)


def _kept_or_counted(names: Iterable[str], pattern: str, distractors: set[str]) -> dict[str, int]:
    """Return a number for each name: the one it ends in where all do and none is shared, else its place from 1.

    0 is not kept but for a distractor, since other tools take it for one.
    """
    known = sorted(names)
    found = {name: int(match[1]) for name in known if (match := re.fullmatch(pattern, name))}
    zeros = {name for name, number in found.items() if number == DISTRACTOR}
    if len(set(found.values())) == len(known) and zeros <= distractors:
        return found
    return {name: place for place, name in enumerate(known, start=1)}


def _stems(table: pa.Table, persons: np.ndarray, cameras: np.ndarray) -> list[str]:
    """Return a name for each row: its own where that says the right numbers, else one of person, camera and frame."""
    frames = column(table, "frame") if "frame" in table.column_names else np.full(len(table), np.nan)
    used: set[tuple[str, str]] = set()
    counts: Counter[int] = Counter()
    stems = []
    columns = (column(table, name) for name in ("path", "split", "origin"))
    for row, (path, split, origin) in enumerate(zip(*columns, strict=True)):
        person, camera = int(persons[row]), int(cameras[row])
        stem = _own_stem(path, person, camera) if origin == "real" else None
        counts[person] += 1
        frame = counts[person] if frames[row] is None or frames[row] != frames[row] else int(frames[row])
        turn = 0
        while stem is None or (split, stem) in used:
            seen = f"c{camera}s1_" if camera else ""
            name = "-1" if person < 0 else f"{person:04d}"
            stem = f"{name}_{seen}{frame:06d}_{turn:02d}{'' if origin == 'real' else MADE}"
            turn += 1
        used.add((split, stem))
        stems.append(stem)
    return stems


def _own_stem(path: str, person: int, camera: int) -> str | None:
    """Return a file's name up to its first dot if it reads as Market-1501's, with these numbers."""
    found = market1501.NAME.fullmatch(Path(path).name)
    if found is None or (int(found[1]), int(found[2])) != (person, camera):
        return None
    return Path(path).name.partition(".")[0]
