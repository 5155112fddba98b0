"""Pictures that something else made, as they are found: who each shows, and what picture it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv

from synreid.data.decode import is_picture_name
from synreid.data.home import expand_home
from synreid.data.layouts import folders, market1501
from synreid.data.layouts.entry import MADE_PICTURE
from synreid.data.table import ALLOWED
from synreid.stage.errors import UserError


class Found(NamedTuple):
    """One picture: its file, the person it is said to show, and the real picture it comes from, as it is written."""

    path: Path
    person: str
    parent: str | None = None


def find_pictures(source: Path) -> list[Found]:
    """Return the pictures of a folder or CSV file, persons by name and a person's pictures in the order found.

    A folder has a folder for each person, or pictures alone: of the person that each name says if all read as
    Market-1501's do, of a person each if none does. A CSV file has a head line with path, pid and, if wanted, parent;
    paths are taken from its folder. Raises UserError where there are no pictures, or it is not clear whose they are.
    """
    source = expand_home(source)
    if not source.exists():
        raise UserError(f"{source} does not exist; check the name of the folder with the pictures.")
    if source.is_file():
        found = _csv(source)
    else:
        has_folders = any(path.is_dir() and not path.name.startswith(".") for path in source.iterdir())
        found = _folders(source) if has_folders else _flat(source)
    if not found:
        raise UserError(f"{source} holds no pictures; name a folder with a folder for each person, or a .csv file.")
    _check_persons(source, found)
    return sorted(found, key=lambda one: one.person)


def _folders(source: Path) -> list[Found]:
    listing = folders.read(source)
    if any(entry.split is not None for entry in listing.entries):
        raise UserError(
            f"{source} holds folders of splits ({', '.join(ALLOWED['split'])}), not of persons; name the one to import."
        )
    named_made = {path for rule, path in listing.left_out if rule == MADE_PICTURE and path.count("/") == 1}
    stray = [path for _, path in listing.left_out if path not in named_made]
    if stray:
        raise UserError(
            f"{source / stray[0]} lies outside a person's folder or too deep in it ({len(stray)} such); each picture "
            "must lie in the folder of its person."
        )
    found = sorted({*(entry.path for entry in listing.entries), *named_made})  # all are made here, whatever they say
    return [Found(source / path, path.partition("/")[0]) for path in found]


def _flat(source: Path) -> list[Found]:
    files = sorted(path for path in source.iterdir() if path.is_file() and is_picture_name(path.name))
    said = {path: name[1] for path in files if (name := market1501.NAME.fullmatch(path.name))}
    if said and len(said) < len(files):
        odd = next(path for path in files if path not in said)
        raise UserError(
            f"{odd} does not say whom it shows, as {len(said)} other pictures of its folder do by names such as "
            "0002_c1s1_000451_03.jpg; rename it, or make a folder for each person."
        )
    return [Found(path, said.get(path, path.stem)) for path in files]


def _csv(source: Path) -> list[Found]:
    if source.suffix.lower() != ".csv":
        raise UserError(f"{source} is neither a folder nor a .csv file; name one that holds or lists pictures.")
    names = ("path", "pid", "parent")
    try:
        table = pyarrow.csv.read_csv(
            source, convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        )
        held = [name for name in names if name in table.column_names]
        rows = table.select(held).to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise UserError(f"{source} is not readable as a CSV file in UTF-8 ({error}); save it as one.") from error
    for name in names[:2]:
        if name not in held:
            raise UserError(
                f"{source} has no column {name}; its first line must name path, pid and, if wanted, parent."
            )
    for line, row in enumerate(rows, start=2):
        if not row["path"] or not row["pid"] or "\0" in row["path"]:
            raise UserError(f"{source}, line {line}, has no path or no pid; fill it in, or remove the line.")
    return [Found(source.parent / row["path"], row["pid"].strip(), row.get("parent") or None) for row in rows]


def _check_persons(source: Path, found: list[Found]) -> None:
    """Raise UserError where one picture is of two persons, or two persons can hardly be told apart."""
    of_file: dict[Path, str] = {}
    spelt: dict[str, str] = {}
    for one in found:
        if (place := one.path.resolve()) in of_file:
            raise UserError(
                f"{source} lists {one.path} twice, of persons {of_file[place]} and {one.person}; list it once."
            )
        of_file[place] = one.person
        other = spelt.setdefault(one.person.casefold(), one.person)
        if other != one.person:
            raise UserError(f"{source} has two persons of one name, {other} and {one.person}; rename one of them.")
