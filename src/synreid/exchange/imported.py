"""Pictures of persons that something else made, as the folder that `persons make` and `persons vary` write."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synreid.data.decode import PictureError, picture_sha256, read_picture, resize
from synreid.data.rules import file_problems
from synreid.data.sheets import sheet, shown_scale, write_picture
from synreid.data.splits import TEST
from synreid.data.table import TABLE, column, from_columns, paths, write_table
from synreid.exchange.metadata import MADE
from synreid.exchange.names import Claim
from synreid.exchange.provenance import IMPORT
from synreid.exchange.sources import Found, find_pictures
from synreid.reid.options import parse_size
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path
from synreid.stage.fingerprint import fingerprint
from synreid.stage.folder import StageFolder
from synreid.stage.log import warn
from synreid.stage.progress import progress

STAGE, VERSION = "persons", 1
SHEET = (16, 10)  # persons, pictures
SHOWN = 128  # pixels that a picture on the sheet is high at most
ORIGINS = {"new": "artificial", "parent": "variation"}


@dataclass(frozen=True)
class Parent:
    """The real picture that a variation comes from."""

    pid: str
    camera: str | None
    sha256: str


@dataclass(frozen=True)
class Picture:
    """A picture that is taken over: its SHA-256 as it is found, and its shape and SHA-256 as they will be."""

    found: Found
    source_sha256: str
    shape: tuple[int, int]
    sha256: str
    resized: bool
    parent: Parent | None

    @property
    def source(self) -> Path:
        """Where it lies."""
        return self.found.path


def import_persons(
    source: Path,
    out: Path,
    made_by: str,
    claim: Claim = "new",
    real: pa.Table | None = None,
    size: str | None = None,
    digital_source_type: str | None = None,
    asked: dict[str, Any] | None = None,
) -> Path:
    """Copy the pictures that `source` names into the folder `out` and return it, a finished run of stage `persons`.

    `source` is a folder or CSV file as `sources.find_pictures` takes it, `made_by` the name of what made them. With
    `claim` new the persons do not exist and are called `made/TOOL/PERSON`; with parent each picture is a variation of
    the training picture of `real` that the CSV file's column parent names, by its path in the data or on the disk, and
    takes its person and camera. Pictures stay as they are, or are brought to `size` (HxW) as PNG.

    Nobody can list what an outside maker learned from: run.json says `learned: unknown`, and a picture of `real`'s test
    splits among the imported ones is refused. `asked` are the command line's own arguments, for config.yaml. Raises
    UserError also for pictures that cannot be read, persons that cannot be told apart, and parents that are missing.
    """
    tool = _tool_name(made_by)
    found = find_pictures(source)
    parents = _parents(found, source, real) if claim == "parent" else _no_parents(found, source)
    pictures = _examined(found, parents, parse_size(size) if size else None)
    _check_not_test(pictures, real)
    named = {"source": source, "out": out, "made_by": made_by, "claim": claim, "size": size}
    config = asked or {**named, "digital_source_type": digital_source_type}
    inputs = {"pictures": _content(pictures)}
    with StageFolder(out, STAGE, VERSION, config, inputs, ("source", "out", "data", "camera_pattern")) as folder:
        if not folder.complete:
            names = _copy(pictures, folder.path)
            term = digital_source_type or MADE[ORIGINS[claim]]
            table = _table(pictures, names, claim, tool, {"maker": made_by, "digital_source_type": term})
            write_picture(folder.path / "sheet.png", _sheet(pictures))
            write_table(table, folder.path / TABLE)
            folder.finish({"pictures": len(table)}, learned="unknown", made_by=made_by)
    warn(
        f"what {made_by} learned from is not known: if pictures of a test set were among it, scores on that test set "
        "show nothing."
    )
    return Path(out)


def _tool_name(made_by: str) -> str:
    """Return the tool's name as it stands in the names of its persons."""
    plain = re.sub(r"[^a-z0-9]+", "-", made_by.lower()).strip("-")
    if not plain:
        raise UserError(f"made_by is '{made_by}', but must name what made the pictures, in Latin letters or digits.")
    return plain


def _no_parents(found: Sequence[Found], source: Path) -> list[None]:
    if named := [one for one in found if one.parent]:
        raise UserError(
            f"{source} names parents (the first is {named[0].parent}), but the claim is new; take --claim parent, or "
            "remove the column."
        )
    return [None] * len(found)


def _parents(found: Sequence[Found], source: Path, real: pa.Table | None) -> list[Parent]:
    """Return the training picture that each picture names as its parent."""
    if real is None:
        raise UserError(
            "the claim is parent, but there are no real pictures to find parents in; name them with --data."
        )
    pids, cameras, digests, splits = (column(real, name) for name in ("pid", "camera", "sha256", "split"))
    places = {path: row for row, path in enumerate(column(real, "path"))}
    places |= {str(path.resolve()): row for row, path in enumerate(paths(real))}
    parents = []
    for one in found:
        if one.parent is None:
            raise UserError(f"{one.path} names no parent, which claim parent needs; give a CSV file with one for each.")
        row = places.get(one.parent, places.get(str((source.parent / one.parent).resolve())))
        if row is None:
            raise UserError(
                f"{one.parent}, the parent of {one.path}, is not among the real pictures; correct its path."
            )
        if splits[row] != "train":
            raise UserError(
                f"{one.parent}, the parent of {one.path}, is a {splits[row]} picture, which nothing may be "
                "learned from; leave its variations out."
            )
        if one.person not in (pids[row], pids[row].rpartition("/")[2]):
            raise UserError(
                f"{one.path} is said to show {one.person}, but its parent {one.parent} shows {pids[row]}; correct one."
            )
        parents.append(Parent(pids[row], cameras[row], digests[row]))
    return parents


def _examined(found: Sequence[Found], parents: Sequence[Parent | None], size: tuple[int, int] | None) -> list[Picture]:
    """Decode every picture once, as it will be; raises UserError that names those that cannot be."""
    pictures: list[Picture] = []
    broken: list[tuple[str, str]] = []
    with progress("reading pictures", len(found)) as bar:
        for one, parent in zip(found, parents, strict=True):
            try:
                rgb = read_picture(one.path)
            except PictureError as error:
                broken.append((error.rule, str(one.path)))
            else:
                shape = size or (rgb.shape[0], rgb.shape[1])
                digest, resized = picture_sha256(rgb), rgb.shape[:2] != shape
                final = picture_sha256(resize(rgb, *shape)) if resized else digest
                pictures.append(Picture(one, digest, shape, final, resized, parent))
            bar.advance()
    if broken:
        raise UserError(f"nothing was imported: {'; '.join(map(str, file_problems(broken)))}.")
    if len(shapes := Counter(one.shape for one in pictures)) > 1:
        (height, width), _ = shapes.most_common(1)[0]
        warn(f"the pictures come in {len(shapes)} resolutions, most in {height}x{width}; with --size HxW all get one.")
    return pictures


def _check_not_test(pictures: Sequence[Picture], real: pa.Table | None) -> None:
    if real is None:
        return
    test = np.isin(column(real, "split").astype(str), TEST)
    held = dict(zip(column(real, "sha256")[test], column(real, "path")[test], strict=True))
    if copies := [one for one in pictures if one.source_sha256 in held]:
        raise UserError(
            f"{copies[0].source} is the test picture {held[copies[0].source_sha256]} itself ({len(copies)} such "
            "pictures); leave test pictures out."
        )


def _content(pictures: Sequence[Picture]) -> str:
    return fingerprint(*((one.found.person, one.sha256, one.parent and one.parent.sha256) for one in pictures))


def _copy(pictures: Sequence[Picture], out: Path) -> list[str]:
    """Copy or resize every picture and return its path in `out`."""
    names: list[str] = []
    with progress("copying pictures", len(pictures)) as bar:
        for person, (_, group) in enumerate(groupby(pictures, key=lambda one: one.found.person)):
            for number, one in enumerate(group):
                suffix = ".png" if one.resized else one.source.suffix.lower()
                names.append(f"pictures/{person:06d}/{person:06d}_{number:04d}{suffix}")
                if one.resized:
                    write_picture(out / names[-1], resize(read_picture(one.source), *one.shape))
                else:
                    with atomic_path(out / names[-1]) as temporary:
                        shutil.copyfile(one.source, temporary)
                bar.advance()
    return names


def _table(pictures: Sequence[Picture], names: list[str], claim: str, tool: str, maker: dict[str, str]) -> pa.Table:
    parents = [one.parent for one in pictures]
    return from_columns(
        path=names,
        sha256=[one.sha256 for one in pictures],
        pid=[one.parent.pid if one.parent else f"made/{tool}/{one.found.person}" for one in pictures],
        camera=[parent.camera if parent else None for parent in parents],
        origin=ORIGINS[claim],
        claim=claim,
        split="train",
        parents=[
            [{"sha256": parent.sha256, "weight": 1.0, "role": "person", "layers": None}] if parent else []
            for parent in parents
        ],
        maker=[json.dumps({**maker, "operation": IMPORT, "file": one.source.name}) for one in pictures],
    )


def _sheet(pictures: Sequence[Picture]) -> np.ndarray:
    """Return the first pictures of the first persons, a row a person, all as large as the first."""
    persons = [list(group) for _, group in groupby(pictures, key=lambda one: one.found.person)][: SHEET[0]]
    columns = min(max(map(len, persons)), SHEET[1])
    height, width = pictures[0].shape
    shape = min(height, SHOWN), max(round(width * min(1, SHOWN / height)), 1)
    blank = np.full((*shape, 3), 255, dtype=np.uint8)
    cells: list[np.ndarray] = []
    for group in persons:
        shown = [resize(read_picture(one.source), *shape) for one in group[:columns]]
        cells += [*shown, *[blank] * (columns - len(shown))]
    return sheet(cells, columns, scale=shown_scale(shape[0]))
