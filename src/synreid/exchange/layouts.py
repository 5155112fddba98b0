"""The layouts that other trainers read: where each picture goes, and how it is written there."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from synreid.data.layouts import market1501
from synreid.data.table import column, paths
from synreid.exchange.metadata import xmp_packet
from synreid.exchange.numbering import Numbering
from synreid.exchange.pictures import JPEG, PNG, PictureFile, made_file, real_file
from synreid.exchange.provenance import maker_of
from synreid.stage.errors import UserError
from synreid.stage.progress import progress

SHARD = 1000  # pictures in a shard
_FOLDERS = {split: folder for folder, split in market1501.SPLITS.items()} | {"val": "bounding_box_val"}


class Written(NamedTuple):
    """Where a picture was written, the SHA-256 of its pixels there, and its size in pixels."""

    path: str
    sha256: str
    height: int
    width: int


Write = Callable[[pa.Table, Numbering, Path], list[Written]]


@dataclass(frozen=True)
class LayoutWriter:
    """A layout: whether it has a place for junk in the gallery, and how pictures are written.

    `write` takes a table of N rows, their numbers and names, and the folder, and returns what became of each row.
    """

    junk: bool
    write: Write


def write_market1501(table: pa.Table, numbering: Numbering, folder: Path) -> list[Written]:
    """Write bounding_box_train, query and bounding_box_test; all pictures as JPEG, since parsers look for *.jpg alone.

    Validation pictures go to bounding_box_val. Raises UserError where a picture has no camera.
    """
    if len(missing := np.flatnonzero(numbering.cameras == 0)):
        raise UserError(
            f"{len(missing)} pictures have no camera (the first is {column(table, 'path')[missing[0]]}), but names of "
            "Market-1501's layout need one; give the pattern that finds it by --camera_pattern, or take layout "
            "imagefolder."
        )
    for name in market1501.SPLITS:
        (folder / name).mkdir()  # parsers want all three, also where one is empty
    places = [_FOLDERS[split] for split in column(table, "split")]
    return _write_files(table, numbering, folder, places, (JPEG,))


def write_imagefolder(table: pa.Table, numbering: Numbering, folder: Path) -> list[Written]:
    """Write SPLIT/PERSON/PICTURE, a folder a person; JPEG and PNG files stay what they are, others become PNG."""
    folders = _person_folders(column(table, "pid"))
    rows = zip(column(table, "split"), column(table, "pid"), strict=True)
    return _write_files(table, numbering, folder, [f"{split}/{folders[pid]}" for split, pid in rows], (JPEG, PNG))


def write_webdataset(table: pa.Table, numbering: Numbering, folder: Path) -> list[Written]:
    """Write SPLIT-000000.tar and so on, each of up to 1,000 samples: KEY.jpg or KEY.png, and KEY.json.

    Training pictures are shuffled, always in the same way, so that neighbours in a shard are of different persons. A
    picture's place is given as SHARD/KEY.SUFFIX. The same pictures give the same bytes.
    """
    splits = column(table, "split")
    found: dict[int, Written] = {}
    with progress("writing shards", len(table)) as bar:
        for split in sorted(set(splits)):
            rows = np.flatnonzero(splits == split)
            order = np.random.default_rng(0).permutation(rows) if split == "train" else rows
            for number, start in enumerate(range(0, len(order), SHARD)):
                shard = order[start : start + SHARD]
                name = f"{split}-{number:06d}.tar"
                with tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT) as archive:
                    for row, file in zip(shard, _files(table, shard, (JPEG, PNG)), strict=True):
                        key = numbering.stems[row]
                        found[row] = Written(f"{name}/{key}{file.suffix}", file.sha256, *file.size)
                        _add(archive, key + file.suffix, file.data)
                        _add(archive, key + ".json", _facts(table, numbering, int(row), file))
                        bar.advance()
    return [found[row] for row in range(len(table))]


LAYOUTS: dict[str, LayoutWriter] = {
    "market1501": LayoutWriter(True, write_market1501),
    "imagefolder": LayoutWriter(False, write_imagefolder),
    "webdataset": LayoutWriter(True, write_webdataset),
}


def _write_files(
    table: pa.Table, numbering: Numbering, folder: Path, places: list[str], suffixes: tuple[str, ...]
) -> list[Written]:
    found = []
    for place in set(places):
        (folder / place).mkdir(parents=True, exist_ok=True)
    with progress("writing pictures", len(table)) as bar:
        files = _files(table, np.arange(len(table)), suffixes)
        for place, stem, file in zip(places, numbering.stems, files, strict=True):
            found.append(Written(f"{place}/{stem}{file.suffix}", file.sha256, *file.size))
            (folder / found[-1].path).write_bytes(file.data)
            bar.advance()
    return found


def _files(table: pa.Table, rows: np.ndarray, suffixes: tuple[str, ...]) -> Iterator[PictureFile]:
    """Yield the files of the given rows, made ones with their origin in their metadata."""
    files, digests, origins, makers = paths(table), *(column(table, name) for name in ("sha256", "origin", "maker"))
    for row in rows:
        if origins[row] == "real":
            yield real_file(files[row], digests[row], suffixes)
        else:
            maker = maker_of(makers[row], origins[row])
            yield made_file(files[row], digests[row], suffixes, xmp_packet(maker.source_type, maker.tool))


def _person_folders(pids: np.ndarray) -> dict[str, str]:
    """Return a folder's name for each person: what follows the source of real ones, the whole name of made ones."""
    folders: dict[str, str] = {}
    taken: dict[str, str] = {}
    for pid in sorted(set(pids)):
        name = pid if pid.startswith("made/") else pid.partition("/")[2] or pid
        folder = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "person"
        if other := taken.get(folder.casefold()):  # on some disks Anna and anna are one folder
            raise UserError(f"the persons {other} and {pid} would share the folder {folder}; rename one of them.")
        taken[folder.casefold()] = pid
        folders[pid] = folder
    return folders


def _facts(table: pa.Table, numbering: Numbering, row: int, file: PictureFile) -> bytes:
    """Return what is known of a picture, as JSON."""
    known: dict[str, Any] = {
        name: table.column(name)[row].as_py()
        for name in ("pid", "camera", "split", "junk", "origin", "claim", "parents", "maker")
    }
    numbers = {"person": int(numbering.persons[row]), "camera_number": int(numbering.cameras[row]) or None}
    sources = {"sha256": file.sha256, "source_sha256": table.column("sha256")[row].as_py()}
    return json.dumps(known | numbers | sources, ensure_ascii=False, sort_keys=True).encode()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file that has no time and no owner, so that nothing but its contents makes its bytes."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    archive.addfile(entry, io.BytesIO(data))
