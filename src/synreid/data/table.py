"""The picture table: one Arrow row a picture, the one thing that all rooms share."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path

TABLE = "table.parquet"  # the name of a stage's own picture table in its folder
PARENT = pa.struct(
    [("sha256", pa.string()), ("weight", pa.float32()), ("role", pa.string()), ("layers", pa.list_(pa.int32()))]
)
SCHEMA = pa.schema(
    [
        pa.field("root", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("pid", pa.string()),
        pa.field("camera", pa.string()),
        pa.field("split", pa.string()),
        pa.field("junk", pa.bool_(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("claim", pa.string()),
        pa.field("parents", pa.list_(PARENT), nullable=False),
        pa.field("maker", pa.string()),
    ]
)
ALLOWED = {
    "split": ("train", "val", "query", "gallery"),
    "origin": ("real", "artificial", "variation"),
    "claim": ("parent", "new", "mixture", "unknown"),
}
_DEFAULTS: dict[str, Any] = {"root": ".", "junk": False, "origin": "real", "parents": []}


def from_columns(**values: Any) -> pa.Table:
    """Return a picture table of the given columns; the rest get their defaults.

    A column is a sequence of N values, or one value (None, a string, a bool) for all rows. `path` and `sha256` are
    required and `path` is a sequence; missing columns are null, but `root` is '.', `origin` 'real', `junk` False and
    `parents` empty. Columns outside SCHEMA are kept behind it. Raises ValueError where the columns do not make a table.
    """
    if missing := [name for name in ("path", "sha256") if name not in values]:
        raise ValueError(f"A picture table needs the column {missing[0]}.")
    count = len(values["path"])
    columns, fields = [], []
    for field in [*SCHEMA, *(name for name in values if name not in SCHEMA.names)]:
        name = field if isinstance(field, str) else field.name
        value = values.get(name, _DEFAULTS.get(name))
        single = value is None or isinstance(value, str | bool | int | float) or name not in values
        listed = [value] * count if single else value
        array = _array(listed, None if isinstance(field, str) else field.type)
        if len(array) != count:
            raise ValueError(f"Column {name} has {len(array)} rows, but path has {count}.")
        columns.append(array)
        fields.append(pa.field(name, array.type) if isinstance(field, str) else field)
    table = pa.table(columns, schema=pa.schema(fields))
    _check(table, "The table")
    return table


def _array(values: Any, kind: pa.DataType | None) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        return values if kind is None else values.cast(kind)
    if isinstance(values, np.ndarray) and values.dtype.kind in "UO":
        values = values.tolist()  # Arrow would take a numpy string for something else
    return pa.array(values, type=kind)


def _check(table: pa.Table, name: str) -> None:
    """Raise ValueError when `table` breaks the contract; `name` opens the sentence."""
    for field in SCHEMA:
        if field.name not in table.column_names:
            raise ValueError(f"{name} is not a picture table: it has no column {field.name}.")
        column = table.column(field.name)
        if not column.type.equals(field.type):
            raise ValueError(f"{name}'s column {field.name} holds {column.type}, not {field.type}.")
        if empty := 0 if field.nullable else column.null_count:
            raise ValueError(f"{name}'s column {field.name} has {empty} empty rows, but each needs a value.")
    for column_name, allowed in ALLOWED.items():
        strange = pc.unique(table.column(column_name)).drop_null().to_pylist()
        if unknown := [value for value in strange if value not in allowed]:
            raise ValueError(f"{name}'s column {column_name} holds '{unknown[0]}'; known are {', '.join(allowed)}.")


def write_table(table: pa.Table, path: Path) -> None:
    """Write a picture table as Parquet, whole or not at all.

    Roots within the file's folder are written relative to it, so that the folder can be moved as a whole.
    Raises ValueError when the table breaks the contract, UserError when the disk is full.
    """
    path = Path(path)
    _check(table, "The table")
    home = path.parent.resolve()
    table = _with_roots(table, lambda root: _relative(root, home))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path) -> pa.Table:
    """Read a picture table; relative roots are taken from the file's folder.

    Raises UserError where the file is missing, damaged or no picture table.
    """
    path = Path(path)
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; check the name, or run the stage that makes it.") from error
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not readable as a table ({error}); remove it and run its stage again.") from error
    try:
        _check(table, str(path))
    except ValueError as error:
        raise UserError(f"{error} Name a table that synreid wrote.") from error
    home = path.parent.resolve()
    return _with_roots(table, lambda root: str(home / root))


def _relative(root: str, home: Path) -> str:
    folder = Path(root)
    if not folder.is_absolute():
        return root
    return str(folder.relative_to(home)) if folder.is_relative_to(home) else root


def _with_roots(table: pa.Table, change: Any) -> pa.Table:
    encoded = pc.dictionary_encode(table.column("root")).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # no rows
        return table
    changed = pa.array([change(root) for root in encoded.dictionary.to_pylist()], type=pa.string())
    roots = pa.DictionaryArray.from_arrays(encoded.indices, changed).cast(pa.string())
    return table.set_column(table.column_names.index("root"), SCHEMA.field("root"), roots)


def column(table: pa.Table, name: str) -> np.ndarray:
    """Return one column, [N]: bool for `junk`, numbers as numbers, all else as objects with None for null."""
    chunks = table.column(name)
    if pa.types.is_nested(chunks.type):
        nested = np.empty(len(chunks), dtype=object)
        nested[:] = chunks.to_pylist()
        return nested
    flat: np.ndarray = chunks.to_numpy()
    return flat


def rows(table: pa.Table, chosen: np.ndarray | Iterable[int]) -> pa.Table:
    """Return the rows that a mask (bool [N]) keeps, or the rows at the given indices, in their order."""
    index = np.asarray(chosen if isinstance(chosen, np.ndarray) else list(chosen))
    if index.dtype == bool:
        if len(index) != len(table):
            raise ValueError(f"The mask has {len(index)} values, but the table has {len(table)} rows.")
        index = np.flatnonzero(index)
    return table.take(pa.array(index.astype(np.int64)))


def pick(table: pa.Table, **wanted: Any) -> pa.Table:
    """Return the rows whose columns have the wanted values, for example `pick(table, split="train", junk=False)`.

    A collection stands for any of its values; None stands for null.
    """
    keep = np.ones(len(table), dtype=bool)
    for name, value in wanted.items():
        choices = value if isinstance(value, Collection) and not isinstance(value, str) else [value]
        kind = table.schema.field(name).type
        known = pa.array([choice for choice in choices if choice is not None], type=kind)
        found = pc.is_in(table.column(name), value_set=known)
        if None in choices:
            found = pc.or_(found, pc.is_null(table.column(name)))
        keep &= found.to_numpy()
    return rows(table, keep)


def rows_by_person(table: pa.Table) -> dict[str, np.ndarray]:
    """Return the row numbers of each person, persons by name; rows without an identity are left out."""
    pids = column(table, "pid")
    known = np.flatnonzero([pid is not None for pid in pids])
    return {pids[own[0]]: own for own in (known[part] for part in groups(pids[known].astype(str)))}


def groups(names: np.ndarray) -> list[np.ndarray]:
    """Return the row numbers of each name [N], names in their order, rows in theirs."""
    index = np.unique(names, return_inverse=True)[1]
    order = np.argsort(index, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(index[order])) + 1) if len(order) else []


def spread(count: int, most: int) -> np.ndarray:
    """Return which of `count` rows are taken, `most` at most, evenly spread, int64."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def concat(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the rows of all tables; extra columns that one of them lacks are null there."""
    return pa.concat_tables(list(tables), promote_options="default").combine_chunks()


def paths(table: pa.Table) -> list[Path]:
    """Return where each picture lies."""
    folders = {root: Path(root) for root in pc.unique(table.column("root")).to_pylist()}
    roots, names = table.column("root").to_pylist(), table.column("path").to_pylist()
    return [folders[root] / name for root, name in zip(roots, names, strict=True)]


def table_fingerprint(table: pa.Table) -> str:
    """Return 16 hexadecimal digits for what the rows say, in their order; where the folder lies does not count."""
    digest = hashlib.sha256()
    for name in [*SCHEMA.names[1:], *sorted(set(table.column_names) - set(SCHEMA.names))]:
        digest.update(f"{name}:{len(table)}\n".encode())
        values = table.column(name)
        if pa.types.is_nested(values.type):
            digest.update(repr(values.to_pylist()).encode())
            continue
        texts = values.cast(pa.string()).to_pylist()
        digest.update("\n".join("\0" if text is None else text for text in texts).encode())
    return digest.hexdigest()[:16]
