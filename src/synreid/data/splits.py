"""Splits and subsets by identity: the same for the same seed, whatever the order of the rows."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from synreid.data.table import SCHEMA, column, rows
from synreid.stage.errors import UserError

TEST = ("val", "query", "gallery")


def split_identities(table: pa.Table, seed: int = 0) -> pa.Table:
    """Return the table with splits: half of the identities train, the others are query and gallery.

    In the test half, one picture of each person and camera is a query, as far as each query keeps a picture of the
    same person under another camera in the gallery; the rest is gallery, and so is junk.
    """
    pids, junk = column(table, "pid"), column(table, "junk")
    order = _shuffled(set(pids[~junk]) - {None}, f"split:{seed}")
    train = set(order[: len(order) // 2])
    split = np.array(["train" if pid in train else "gallery" for pid in pids], dtype=object)
    split[junk] = "gallery"
    split[_queries(table, split, seed)] = "query"
    return table.set_column(table.column_names.index("split"), SCHEMA.field("split"), pa.array(split, type=pa.string()))


def _queries(table: pa.Table, split: np.ndarray, seed: int) -> list[int]:
    """Return the rows of the test half that become queries."""
    pids, cameras, names, junk = (column(table, name) for name in ("pid", "camera", "path", "junk"))
    shots: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in np.flatnonzero((split == "gallery") & ~junk):
        if cameras[row] is not None and pids[row] is not None:
            shots[pids[row]][cameras[row]].append(int(row))
    chosen = []
    for by_camera in shots.values():
        left = {camera: len(found) for camera, found in by_camera.items()}
        asked: list[str] = []
        for camera in sorted(by_camera):
            after = left | {camera: left[camera] - 1}
            if all(sum(after.values()) - after[query] > 0 for query in [*asked, camera]):
                left = after
                asked.append(camera)
                chosen.append(min(by_camera[camera], key=lambda row: _digest(f"query:{seed}", str(names[row]))))
    return chosen


def subset(table: pa.Table, fraction: float | None = None, identities: int | None = None, seed: int = 0) -> pa.Table:
    """Return the rows of a part of the training identities; rows of val, query and gallery all stay.

    `fraction` is in (0, 1], `identities` a number of persons: give one of them. For one seed, a smaller part lies
    within each larger one. Rows keep their order; rows without a split count as training. Raises UserError when more
    identities are asked for than there are.
    """
    if (fraction is None) == (identities is None):
        raise ValueError("Give either a fraction or a number of identities.")
    fixed = np.isin(column(table, "split").astype(str), TEST)
    pids = column(table, "pid")
    order = _shuffled({pid for pid in pids[~fixed] if pid is not None}, f"subset:{seed}")
    count = _count(len(order), fraction, identities)
    kept = set(order[:count])
    return rows(table, fixed | np.array([pid in kept for pid in pids], dtype=bool))


def _count(available: int, fraction: float | None, identities: int | None) -> int:
    if fraction is not None:
        if not 0 < fraction <= 1:
            raise UserError(f"A subset of {fraction} cannot be taken; name a fraction above 0 and up to 1.")
        return max(1, round(fraction * available))
    assert identities is not None
    if identities < 1:
        raise UserError(f"A subset of {identities} persons cannot be taken; name at least one.")
    if identities > available:
        raise UserError(f"{identities} persons are asked for, but there are {available}; name fewer or make more.")
    return identities


def _shuffled(names: Iterable[str], salt: str) -> list[str]:
    return sorted(names, key=lambda name: _digest(salt, name))


def _digest(salt: str, name: str) -> bytes:
    return hashlib.sha256(f"{salt}:{name}".encode()).digest()
