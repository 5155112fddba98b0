"""What a layout says of one picture, before it is opened."""

from __future__ import annotations

import re
from typing import NamedTuple

WRONG_NAME, WRONG_PLACE, WRONG_ROW = "wrong name", "wrong place", "wrong row"
MADE_PICTURE = "made picture"
MADE = "_made"  # what the names of made pictures end in where they were exported, and parsers do not look


class Entry(NamedTuple):
    """One picture: `path` is relative to the layout's root, `pid` and `camera` carry the source before a slash."""

    path: str
    pid: str | None
    camera: str | None = None
    frame: int | None = None
    split: str | None = None
    junk: bool = False


class Listing(NamedTuple):
    """All that a layout's reader found: pictures, files left out as (rule, path), and how many were no data at all."""

    layout: str
    source: str
    root: str
    entries: list[Entry]
    left_out: list[tuple[str, str]]
    ignored: int


def says_made(name: str) -> bool:
    """Tell whether a file's name says that its picture was made, as those of an export do."""
    return name.partition(".")[0].endswith(MADE)


def source_name(folder: str) -> str:
    """Return the name that makes identities unique across sources: 'market1501', or the folder's own in lower case."""
    plain = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")
    return "market1501" if "market" in plain else plain or "pictures"
