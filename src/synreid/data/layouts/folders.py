"""Plain folders: one folder a person, with or without folders for the splits above them."""

from __future__ import annotations

import re
from pathlib import Path

from synreid.data.decode import is_picture_name
from synreid.data.layouts.entry import MADE_PICTURE, WRONG_PLACE, Entry, Listing, says_made, source_name
from synreid.data.table import ALLOWED
from synreid.stage.errors import UserError

CAMERA = r"(?<![a-z0-9])c(?:am(?:era)?)?[-_ ]?(\d+)"  # c1, C1s2, cam03, camera_2; not the c4 of abc4


def read(root: Path, camera_pattern: str | None = None) -> Listing:
    """List the pictures of `root/person/picture.jpg`, or of `root/train/person/picture.jpg` and so on.

    The first group of `camera_pattern`, searched in the file's name without regard to case, is the camera; CAMERA when
    None. A name without one has no camera. Pictures deeper or outside a person's folder are left out and listed.
    """
    pattern = _compiled(camera_pattern or CAMERA)
    folders = _folders(root)
    with_splits = bool(folders) and all(folder.name in ALLOWED["split"] for folder in folders)
    listing = Listing("folders, one a person", source_name(root.name), str(root), [], [], 0)
    ignored = _strays(root, "", listing)
    for folder in folders:
        if not with_splits:
            ignored += _person(folder, folder.name, None, pattern, listing)
            continue
        ignored += _strays(folder, f"{folder.name}/", listing)
        for person in _folders(folder):
            ignored += _person(person, f"{folder.name}/{person.name}", folder.name, pattern, listing)
    return listing._replace(ignored=ignored)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise UserError(f"The camera pattern '{pattern}' is no regular expression ({error}); correct it.") from error
    if compiled.groups < 1:
        raise UserError(f"The camera pattern '{pattern}' has no group; put brackets around the camera's part: c(\\d+).")
    return compiled


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _strays(folder: Path, prefix: str, listing: Listing) -> int:
    """List pictures that lie in `folder` itself, where persons' folders should be; return how many other files do."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    listing.left_out.extend((WRONG_PLACE, prefix + path.name) for path in files if is_picture_name(path.name))
    return sum(not is_picture_name(path.name) for path in files)


def _person(folder: Path, prefix: str, split: str | None, pattern: re.Pattern[str], listing: Listing) -> int:
    ignored = 0
    for path in sorted(folder.iterdir()):
        name = f"{prefix}/{path.name}"
        if path.is_dir():
            listing.left_out.append((WRONG_PLACE, name))
        elif not is_picture_name(path.name):
            ignored += 1
        elif says_made(path.name):
            listing.left_out.append((MADE_PICTURE, name))
        else:
            found = pattern.search(path.name)
            value = found[1] if found else None
            camera = None if value is None else f"{listing.source}/{_camera(value)}"
            listing.entries.append(Entry(name, f"{listing.source}/{folder.name}", camera, None, split))
    return ignored


def _camera(value: str) -> str:
    return f"c{int(value)}" if value.isdecimal() else value.lower()
