"""The layout of CUHK01: one flat folder, whose names hold person and picture, two pictures by each of two cameras."""

from __future__ import annotations

import re
from pathlib import Path

from synreid.data.decode import is_picture_name
from synreid.data.layouts.entry import WRONG_NAME, Entry, Listing

NAME = re.compile(r"(\d{4})00([1-4])\.png", re.IGNORECASE | re.ASCII)  # pictures 1 and 2 by camera 1, 3 and 4 by 2


def matches(root: Path) -> bool:
    """Tell whether the pictures in `root` are named as CUHK01's."""
    names = [path.name for path in root.iterdir() if is_picture_name(path.name)]
    return bool(names) and all(NAME.fullmatch(name) for name in names)


def read(root: Path) -> Listing:
    """List the pictures of a folder in CUHK01's layout (Li, Zhao and Wang, ACCV 2012), such as 0001003.png.

    The set has no split of its own: papers draw 485 or 871 of the 971 persons to train with, so it is split by person,
    seeded, as plain folders are.
    """
    listing = Listing("CUHK01", "cuhk01", str(root), [], [], 0)
    ignored = 0
    for path in sorted(path for path in root.iterdir() if path.is_file()):
        found = NAME.fullmatch(path.name)
        if not is_picture_name(path.name):
            ignored += 1
        elif found is None:
            listing.left_out.append((WRONG_NAME, path.name))
        else:
            camera = f"cuhk01/c{1 if int(found[2]) <= 2 else 2}"
            listing.entries.append(Entry(path.name, f"cuhk01/{found[1]}", camera))
    return listing._replace(ignored=ignored)
