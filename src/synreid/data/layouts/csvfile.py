"""A CSV file that names pictures: columns path, pid, camera, and if wanted split and junk."""

from __future__ import annotations

import csv
from pathlib import Path

from synreid.data.layouts.entry import WRONG_ROW, Entry, Listing, source_name
from synreid.data.table import ALLOWED
from synreid.stage.errors import UserError

REQUIRED = ("path", "pid", "camera")
_BOOL = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def read(path: Path) -> Listing:
    """List the pictures of a CSV file, UTF-8 with a head line; paths are taken from the file's folder.

    An empty camera or split is null. Rows that cannot be read are left out and listed by their line.
    Raises UserError where the file is no such table.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=";" if "," not in head else ",")
            names = [name.strip().lower() for name in reader.fieldnames or []]
            if missing := [name for name in REQUIRED if name not in names]:
                raise UserError(f"{path} has no column {missing[0]}; its first line must name {', '.join(REQUIRED)}.")
            reader.fieldnames = names
            lines = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not readable as a CSV file in UTF-8 ({error}); save it as one.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check its name and its rights.") from error
    source = source_name(path.stem)
    listing = Listing("CSV", source, str(path.parent), [], [], 0)
    for line, row in lines:
        values = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
        if wrong := _wrong(values):
            listing.left_out.append((WRONG_ROW, f"{path.name}, line {line}: {wrong}"))
        else:
            listing.entries.append(_entry(values, source))
    return listing


def _wrong(values: dict[str, str]) -> str | None:
    """Return what is wrong with a row, or None."""
    if not values["path"] or not values["pid"]:
        return "path and pid must not be empty"
    split = values.get("split", "").lower()
    if split and split not in ALLOWED["split"]:
        return f"split '{split}' is none of {', '.join(ALLOWED['split'])}"
    if values.get("junk", "").lower() not in _BOOL:
        return f"junk '{values['junk']}' is neither 0 nor 1"
    return None


def _entry(values: dict[str, str], source: str) -> Entry:
    camera = f"{source}/{values['camera']}" if values["camera"] else None
    split = values.get("split", "").lower() or None
    junk = _BOOL[values.get("junk", "").lower()]
    return Entry(values["path"], f"{source}/{values['pid']}", camera, None, split, junk)
