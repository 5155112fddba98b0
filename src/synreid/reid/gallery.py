"""Which pictures of a data set or a plain folder are searched, and who is shown on those that ask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from synreid.data.decode import is_picture_name
from synreid.data.layouts.plain import visible_files
from synreid.data.rules import STOPS
from synreid.data.scan import Scan, listing, open_data, scan, scan_plain
from synreid.data.table import column, pick, rows
from synreid.stage.errors import UserError
from synreid.stage.log import say, warn

Split = Literal["gallery", "all"]


def gallery_table(
    path: Path, split: Split = "gallery", camera_pattern: str | None = None, plain: bool = False
) -> pa.Table:
    """Return the pictures to index: the gallery of a data set that has one, or all of its pictures.

    A folder without a layout, such as one whose pictures lie in it directly, is taken as `plain`: all pictures under
    it, without identities. With split `all` the data need not be fit for a study. Junk is left out. Raises UserError
    for damaged pictures, and where none are left.
    """
    if plain or _has_no_layout(path, camera_pattern):
        say(f"{path} is taken as pictures without identities.")
        table = _sound(scan_plain(path), path)
    else:
        found = scan(path, camera_pattern)
        without = not set(column(found.table, "split")) - {None}
        if without and split == "gallery":
            say(f"{path} has no gallery of its own, so all of its pictures are searched.")
        whole = without or split == "all"
        table = _sound(found, path) if whole else pick(open_data(path, camera_pattern), split="gallery")
    junk = column(table, "junk")
    if junk.any():
        say(f"{junk.sum():,} of {len(table):,} pictures are junk and are left out.")
        table = rows(table, ~junk)
    if not len(table):
        raise UserError(f"{path} holds no pictures to search (split {split}); check the folder, or take --split all.")
    return table


def _has_no_layout(path: Path, camera_pattern: str | None) -> bool:
    found = listing(path, camera_pattern)
    return not found.entries and any(is_picture_name(Path(name).name) for _, name in found.left_out)


def _sound(found: Scan, path: Path) -> pa.Table:
    for problem in found.problems:
        if problem.level == STOPS:
            raise UserError(f"{path} cannot be searched: {problem}.")
        warn(str(problem))
    return found.table


def query_files(picture: Path) -> list[Path]:
    """Return one picture, or all under a folder, sorted; raises UserError where there is none."""
    if not picture.exists():
        raise UserError(f"{picture} does not exist; name a picture, or a folder of pictures.")
    if picture.is_file():
        return [picture]
    files = [picture / name for name in visible_files(picture) if is_picture_name(name.name)]
    if not files:
        raise UserError(f"{picture} holds no pictures; name a picture, or a folder of pictures.")
    return files


def known_names(
    files: Sequence[Path], data: Path, camera_pattern: str | None = None
) -> list[tuple[str | None, str | None]]:
    """Return (pid, camera) of each file as the layout of `data` says it; (None, None) for files from elsewhere."""
    found = listing(data, camera_pattern)
    names = {entry.path: (entry.pid, entry.camera) for entry in found.entries}
    root = Path(found.root)
    places = [path.resolve() for path in files]
    return [
        names.get(place.relative_to(root).as_posix(), (None, None)) if place.is_relative_to(root) else (None, None)
        for place in places
    ]


def persons_of(table: pa.Table) -> int:
    """Return how many identities a picture table names."""
    return len(np.unique([pid for pid in column(table, "pid") if pid is not None]))
