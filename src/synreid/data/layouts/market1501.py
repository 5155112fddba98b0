"""The layout of Market-1501: three folders, and names that say identity, camera, sequence and frame."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from synreid.data.decode import is_picture_name
from synreid.data.layouts.entry import WRONG_NAME, WRONG_PLACE, Entry, Listing, source_name
from synreid.data.table import column, paths
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path
from synreid.stage.progress import progress

SPLITS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
# Person, camera, sequence, frame. As loose as the real sets need: Market-1501 has 24 names that end in .jpg.jpg,
# and DukeMTMC-reID in the same folders has 0001_c2_f0046182.jpg.
NAME = re.compile(r"(-1|\d+)_c(\d+)(?:s\d+)?(?:_f?(\d+))?(?:[_.].*)?\.\w+", re.IGNORECASE)
JUNK = "-1"


def matches(root: Path) -> bool:
    """Tell whether `root` has any of the three folders."""
    return any((root / folder).is_dir() for folder in SPLITS)


def read(root: Path) -> Listing:
    """List the pictures of a folder in Market-1501's layout (Zheng et al., ICCV 2015).

    `-1` is junk, allowed in the gallery only; `0000` is a distractor: an identity that no query has. Pictures with
    names that cannot be read are left out and listed; other files (Thumbs.db, readme.txt) are ignored and counted.
    """
    source = source_name(root.name)
    entries: list[Entry] = []
    left_out: list[tuple[str, str]] = []
    ignored = sum(path.is_file() for path in root.iterdir())
    for folder, split in SPLITS.items():
        names = sorted(path.name for path in (root / folder).iterdir()) if (root / folder).is_dir() else []
        for name in names:
            path = f"{folder}/{name}"
            if not is_picture_name(name):
                ignored += 1
            elif (found := NAME.fullmatch(name)) is None:
                left_out.append((WRONG_NAME, path))
            elif found[1] == JUNK and split != "gallery":
                left_out.append((WRONG_PLACE, path))
            else:
                number = JUNK if found[1] == JUNK else f"{int(found[1]):04d}"
                pid, camera = f"{source}/{number}", f"{source}/c{int(found[2])}"
                frame = int(found[3]) if found[3] else None
                entries.append(Entry(path, pid, camera, frame, split, number == JUNK))
    return Listing("Market-1501", source, str(root), entries, left_out, ignored)


def write_market1501(table: pa.Table, out: Path) -> None:
    """Copy a table's pictures to `out` in Market-1501's layout, byte for byte.

    Identities and cameras keep their numbers where these are numbers and unique, and are numbered in sorted order
    otherwise. Raises UserError for rows without identity, camera or split, and where `out` is not empty.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty; name a new folder for the pictures.")
    names = _names(table)
    with progress("copying pictures", total=len(names)) as bar:
        for path, name in zip(paths(table), names, strict=True):
            with atomic_path(out / name) as temporary:
                shutil.copyfile(path, temporary)
            bar.advance()


def _names(table: pa.Table) -> list[str]:
    """Return `folder/name` for each row, no two alike."""
    folders = {split: folder for folder, split in SPLITS.items()} | {"val": "bounding_box_train"}
    pids, cameras, junk = column(table, "pid"), column(table, "camera"), column(table, "junk")
    for name in ("pid", "camera", "split"):
        if empty := [path for path, value in zip(paths(table), column(table, name), strict=True) if value is None]:
            raise UserError(f"{empty[0]} has no {name}, which Market-1501's names need; give it one or leave it out.")
    persons = _numbers(pids[~junk], first=1)
    views = _numbers(cameras, first=1)
    given = column(table, "frame") if "frame" in table.column_names else np.full(len(table), np.nan)
    used: set[str] = set()
    names = []
    for row, (path, split) in enumerate(zip(column(table, "path"), column(table, "split"), strict=True)):
        person = JUNK if junk[row] else f"{persons[pids[row]]:04d}"
        frame = row + 1 if given[row] != given[row] else int(given[row])
        turn = 0
        while (stem := f"{person}_c{views[cameras[row]]}s1_{frame:06d}_{turn:02d}") in used:
            turn += 1
        used.add(stem)
        names.append(f"{folders[split]}/{stem}{Path(path).suffix.lower()}")
    return names


def _numbers(names: np.ndarray, first: int) -> dict[str, int]:
    """Return a number for each name: the one it ends in where all do and none is shared, else its place."""
    known = sorted(set(names))
    tails = [re.fullmatch(r"(?:.*/)?c?(\d+)", name) for name in known]
    numbers = [int(tail[1]) for tail in tails if tail]
    if len(set(numbers)) == len(known):
        return dict(zip(known, numbers, strict=True))
    return {name: place for place, name in enumerate(known, start=first)}
