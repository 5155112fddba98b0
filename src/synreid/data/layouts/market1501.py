"""The layout of Market-1501: three folders, and names that say identity, camera, sequence and frame."""

from __future__ import annotations

import re
from pathlib import Path

from synreid.data.decode import is_picture_name
from synreid.data.layouts.entry import MADE_PICTURE, WRONG_NAME, WRONG_PLACE, Entry, Listing, says_made, source_name

SPLITS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
# Person, camera, sequence, frame. As loose as the real sets need: Market-1501 has 24 names that end in .jpg.jpg,
# and DukeMTMC-reID in the same folders has 0001_c2_f0046182.jpg. A number too long for int64 is no frame.
NAME = re.compile(r"(-1|\d+)_c(\d+)(?:s\d+)?(?:_f?(\d{1,18}))?(?:[_.].*)?\.\w+", re.IGNORECASE)
JUNK = "-1"


def matches(root: Path) -> bool:
    """Tell whether `root` has any of the three folders; `query` has to hold pictures, since others name a split so."""
    for folder in SPLITS:
        place = root / folder
        if place.is_dir() and (folder != "query" or any(is_picture_name(path.name) for path in place.iterdir())):
            return True
    return False


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
            elif says_made(name):
                left_out.append((MADE_PICTURE, path))
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
