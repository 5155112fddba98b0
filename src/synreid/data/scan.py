"""From a user's folder or CSV file to a picture table: list, decode once, name what is broken."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from synreid.data.cache import cache_folder, keep
from synreid.data.decode import PictureError, picture_sha256, read_picture
from synreid.data.home import expand_home
from synreid.data.layouts import csvfile, cuhk01, folders, market1501, msmt17, plain
from synreid.data.layouts.entry import WRONG_NAME, Listing
from synreid.data.rules import MISSING, STOPS, Problem, empty_split, file_problems, table_problems
from synreid.data.splits import split_identities
from synreid.data.table import column, from_columns
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import fingerprint
from synreid.stage.log import warn
from synreid.stage.machine import cores
from synreid.stage.progress import progress

VERSION = 1
BLOCK = 512
LARGE_FILE = 10 * 1024  # bytes on average; below, threads cost more in Python than decoding gains (measured)


@dataclass(frozen=True)
class Scan:
    """What is in a user's folder: its good pictures as a table, and what is broken.

    `sizes` counts pictures by (height, width), `ignored` counts files that are no pictures by name. `split_made` says
    that the splits are ours, because the folder has none.
    """

    table: pa.Table
    problems: list[Problem] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    layout: str = ""
    source: str = ""
    ignored: int = 0
    split_made: bool = False


class _Seen(NamedTuple):
    """A decoded file: what tells it from a changed one, and what decoding gave."""

    size: int
    mtime_ns: int
    sha256: str
    height: int
    width: int


SEEN = pa.schema(
    {
        **{"path": pa.string(), "size": pa.int64(), "mtime_ns": pa.int64()},
        **{"sha256": pa.string(), "height": pa.int64(), "width": pa.int64()},
    }
)
"""Of the cache's file: each path, and what _Seen says of it."""


def listing(path: Path, camera_pattern: str | None = None) -> Listing:
    """List the pictures of a CSV file, of a folder in Market-1501's layout (or of one that holds one such folder), in
    MSMT17's or CUHK01's, or of a folder with a folder for each person. Raises UserError where `path` is none of these.
    """
    path = expand_home(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; check the name of the folder with the pictures.")
    try:
        found = _speakable(_read(path.resolve(), camera_pattern))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be listed ({error.strerror}); check its rights.") from error
    if not found.entries and not found.left_out:
        raise UserError(
            f"{path} holds no pictures in a layout that is known: bounding_box_train, query and bounding_box_test, "
            "or a folder for each person, or a .csv file with path, pid and camera."
        )
    return found


def _read(path: Path, camera_pattern: str | None) -> Listing:
    if path.is_file():
        if path.suffix.lower() != ".csv":
            raise UserError(f"{path} is neither a folder nor a .csv file; name one that holds or lists pictures.")
        return csvfile.read(path)
    inner = _market_folder(path)
    if inner is not None:
        return market1501.read(inner)
    named = next((layout for layout in (msmt17, cuhk01) if layout.matches(path)), None)
    return folders.read(path, camera_pattern) if named is None else named.read(path)


def _speakable(found: Listing) -> Listing:
    """Leave out names that are not UTF-8, as old archives have them: no table and no screen can take them."""

    def shown(path: str) -> str:
        return path.encode("utf-8", "replace").decode()

    good = [entry for entry in found.entries if shown(entry.path) == entry.path]
    bad = [(WRONG_NAME, entry.path) for entry in found.entries if shown(entry.path) != entry.path]
    left_out = [(rule, shown(path)) for rule, path in [*found.left_out, *bad]]
    return found._replace(entries=good, left_out=left_out)


def _market_folder(path: Path) -> Path | None:
    if market1501.matches(path):
        return path
    inner = [child for child in sorted(path.iterdir()) if child.is_dir() and market1501.matches(child)]
    if len(inner) > 1:
        raise UserError(f"{path} holds several sets ({inner[0].name}, {inner[1].name}); name one of them.")
    return inner[0] if inner else None


def scan(path: Path, camera_pattern: str | None = None) -> Scan:
    """Read a user's folder or CSV file; every picture is decoded once, and again only when it changes.

    Pictures that break a rule by themselves are not in the table but among the problems. Splits are the folder's own,
    or null. Raises UserError where nothing is found.
    """
    return _scanned(listing(path, camera_pattern))


def scan_plain(path: Path) -> Scan:
    """Read all pictures under a folder as `scan` does, but without identities, cameras or splits.

    Raises UserError where there is no such folder, or no picture in it.
    """
    try:
        return _scanned(_speakable(plain.read(expand_home(path).resolve())))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be listed ({error.strerror}); check its rights.") from error


def _scanned(found: Listing) -> Scan:
    seen, broken = _decoded(found)
    entries = [entry for entry in found.entries if entry.path in seen]
    facts = [seen[entry.path] for entry in entries]
    table = from_columns(
        root=found.root,
        path=[entry.path for entry in entries],
        sha256=[fact.sha256 for fact in facts],
        pid=[entry.pid for entry in entries],
        camera=[entry.camera for entry in entries],
        split=[entry.split for entry in entries],
        junk=[entry.junk for entry in entries],
        frame=pa.array([entry.frame for entry in entries], type=pa.int64()),
    )
    problems = file_problems([*broken, *found.left_out])
    sizes = Counter((fact.height, fact.width) for fact in facts)
    return Scan(table, problems, sizes, found.layout, found.source, found.ignored)


def examine(path: Path, camera_pattern: str | None = None, seed: int = 0) -> Scan:
    """Scan, split by identity where the folder has no splits, and add what the rows break together.

    Where no picture is left, what left them out stops a study, whatever its level.
    """
    found = scan(path, camera_pattern)
    if not len(found.table):
        return replace(found, problems=[replace(problem, level=STOPS) for problem in found.problems])
    made = column(found.table, "split").tolist().count(None) == len(found.table)
    table = split_identities(found.table, seed) if made else found.table
    return replace(found, table=table, split_made=made, problems=[*found.problems, *table_problems(table)])


def open_data(
    path: Path, camera_pattern: str | None = None, seed: int = 0, needs: Sequence[str] = ("train", "query", "gallery")
) -> pa.Table:
    """Return the picture table of a user's folder or CSV file, with splits, ready for a study.

    `needs` names the splits that must have pictures. Warnings are said. Raises UserError when a rule is broken without
    which no study can run.
    """
    found = examine(path, camera_pattern, seed)
    spared = {rule for name in ("train", "query", "gallery") if name not in needs for rule in empty_split(name)}
    stops = [problem for problem in found.problems if problem.level == STOPS and problem.rule not in spared]
    if stops:
        more = f"; further rules that are broken: {len(stops) - 1}" if len(stops) > 1 else ""
        raise UserError(f"{path} cannot be used: {stops[0]}{more}; see `synreid data check {path}`.")
    for problem in found.problems:
        warn(str(problem))
    return found.table


def _decoded(found: Listing) -> tuple[dict[str, _Seen], list[tuple[str, str]]]:
    """Return what decoding gave for each good file, and (rule, path) for each bad one."""
    cache = cache_folder() / "scans" / f"{fingerprint(VERSION, found.root)}.parquet"
    known = _read_cache(cache)
    seen: dict[str, _Seen] = {}
    broken: list[tuple[str, str]] = []
    fresh: list[tuple[str, os.stat_result]] = []
    for path in dict.fromkeys(entry.path for entry in found.entries):
        try:
            status = os.stat(os.path.join(found.root, path))  # noqa: PTH116, PTH118, three times as fast as a Path
        except (OSError, ValueError):  # the latter for a name with a zero byte
            broken.append((MISSING, path))
            continue
        before = known.get(path)
        if before and (before.size, before.mtime_ns) == (status.st_size, status.st_mtime_ns):
            seen[path] = before
        else:
            fresh.append((path, status))
    if not fresh:
        return seen, broken
    try:
        with progress("reading pictures", total=len(fresh)) as bar:
            for path, result in _decode(Path(found.root), fresh, bar.advance):
                if isinstance(result, _Seen):
                    seen[path] = result
                else:
                    broken.append((result, path))
    finally:  # a scan that is cut off goes on from here the next time
        _write_cache(cache, known | seen)
    return seen, broken


def _decode(
    root: Path, files: list[tuple[str, os.stat_result]], advance: Callable[[int], None]
) -> Iterator[tuple[str, _Seen | str]]:
    """Yield each file's result: what decoding gave, or the rule it breaks."""

    def one(file: tuple[str, os.stat_result]) -> tuple[str, _Seen | str]:
        path, status = file
        try:
            rgb = read_picture(root / path)
        except PictureError as error:
            return path, error.rule
        return path, _Seen(status.st_size, status.st_mtime_ns, picture_sha256(rgb), rgb.shape[0], rgb.shape[1])

    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(files), BLOCK):
            block = files[start : start + BLOCK]
            large = sum(status.st_size for _, status in block) > LARGE_FILE * len(block)
            yield from pool.map(one, block) if large else map(one, block)
            advance(len(block))


def _read_cache(path: Path) -> dict[str, _Seen]:
    """Return what earlier scans decoded, by path; nothing where the cache is missing or damaged."""
    try:
        stored = pq.read_table(path)
        stored.validate(full=True)  # its texts are UTF-8, too
    except (OSError, pa.ArrowException):
        return {}
    if not stored.schema.equals(SEEN) or any(column.null_count for column in stored.columns):
        return {}
    columns = [stored.column(name).to_pylist() for name in SEEN.names]
    return {name: _Seen(*values) for name, *values in zip(*columns, strict=True)}


def _write_cache(path: Path, seen: dict[str, _Seen]) -> None:
    facts = list(seen.values())
    columns = {name: [fact[place] for fact in facts] for place, name in enumerate(_Seen._fields)}
    table = pa.table({"path": list(seen), **columns}, schema=SEEN)
    keep(path, lambda temporary: pq.write_table(table, temporary))
