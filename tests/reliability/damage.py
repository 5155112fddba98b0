"""What can be wrong with a file: hypothesis strategies that take a good file's bytes and give damaged ones."""

from __future__ import annotations

import copy
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Damaged = SearchStrategy[bytes]

HEAD = 256  # bytes at a file's beginning and end that are hit more often than the rest: what describes it lies there
SIZES = (0, 1, 255, 30_000, 65_500, 2**31 - 1, 2**32 - 1)
ESCAPES = ("../../escape", "/escape", "~/escape", "..", "a/../../../escape", "escape\0.png", "\\\\host\\escape")
TEXTS = ("", " ", "\0", "\ud7ff", "é" * 300, "x" * 100_000, "nan", "-1", "1e999", "{}", "[[")
JSONS = ("null", "3", "[]", '{"maker": [1], "operation": {}}', "[" * 3_000)  # where a column holds JSON
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**30, -(2**63), 1e308, float("nan"), float("inf")),
    *([], {}, [None], [[1, [2]]], {"a": {"b": 1}}),
    *TEXTS,
    *ESCAPES,
)
GROWN = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
"""Twelve lines of YAML that stand for 9^12 values."""
DEEP = 3_000  # levels, more than Python's own readers bear


def damaged_bytes(good: bytes) -> Damaged:
    """Cut short, bytes changed, a stretch of zeros or of noise, bytes inserted, or another file altogether."""
    last = max(len(good) - 1, 0)
    place = st.one_of(
        st.integers(0, min(HEAD, last)), st.integers(max(last - HEAD, 0), last), st.integers(0, last)
    )  # fmt: skip
    flips = st.lists(st.tuples(place, st.integers(1, 255)), min_size=1, max_size=6)
    return st.one_of(
        place.map(lambda end: good[:end]),
        flips.map(lambda found: _flipped(good, found)),
        st.tuples(place, st.integers(1, 4096)).map(lambda at: _overwritten(good, at[0], bytes(at[1]))),
        st.tuples(place, st.binary(min_size=1, max_size=64)).map(lambda at: _overwritten(good, *at)),
        st.tuples(place, st.binary(min_size=1, max_size=64)).map(lambda at: good[: at[0]] + at[1] + good[at[0] :]),
        st.sampled_from((b"", bytes(len(good)), b"PK\3\4" + good, b"<!doctype html>", b"\xff\xfe{\0}\0", b"null")),
    )


def _either(*ways: Damaged) -> Damaged:
    """Choose each way as often as the others: `one_of` would count the ways within a way."""
    return st.integers(0, len(ways) - 1).flatmap(lambda number: ways[number])


def _flipped(good: bytes, flips: list[tuple[int, int]]) -> bytes:
    data = bytearray(good)
    for place, change in flips:
        data[place] ^= change
    return bytes(data)


def _overwritten(good: bytes, place: int, stretch: bytes) -> bytes:
    return (good[:place] + stretch + good[place + len(stretch) :])[: len(good)]


def damaged_png(good: bytes) -> Damaged:
    """Also sizes, depths and kinds that the head declares and the rest does not hold, with a checksum that is right."""
    size, byte = st.sampled_from(SIZES), st.sampled_from((0, 1, 2, 3, 4, 6, 8, 16, 255))
    heads = st.tuples(size, size, byte, byte, byte, byte, byte)
    return _either(damaged_bytes(good), heads.map(lambda values: _png_with(good, values)))


def _png_with(good: bytes, values: tuple[int, ...]) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", *values)
    return good[:12] + head + struct.pack(">I", zlib.crc32(head)) + good[33:]


def damaged_jpeg(good: bytes) -> Damaged:
    """Also sizes and numbers of channels that the frame's head declares and the rest does not hold."""
    frame = good.index(b"\xff\xc0")
    side, channels = st.sampled_from((0, 1, 255, 30_000, 65_535)), st.integers(0, 255)
    heads = st.tuples(side, side, channels)
    return _either(
        damaged_bytes(good),
        heads.map(lambda values: good[: frame + 5] + struct.pack(">HHB", *values) + good[frame + 10 :]),
    )


def damaged_json(good: bytes) -> Damaged:
    """Also well-formed JSON with a value replaced or left out, or nested too deeply."""
    return _either(
        damaged_bytes(good),
        _changed(json.loads(good)).map(lambda value: json.dumps(value).encode()),
        st.sampled_from((b"[" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b"1" * 100_000)),
    )


def damaged_lines(good: bytes) -> Damaged:
    """Also files of JSON lines with a value of one line replaced or left out, a line doubled or out of its place."""
    lines = good.decode().splitlines()
    numbered = st.integers(0, len(lines) - 1)
    changed = numbered.flatmap(
        lambda at: _changed(json.loads(lines[at])).map(lambda v: [*lines[:at], json.dumps(v), *lines[at + 1 :]])
    )
    return _either(
        damaged_bytes(good),
        changed.map(_lines),
        st.tuples(numbered, numbered).map(lambda at: _lines([*lines[: at[0]], lines[at[1]], *lines[at[0] :]])),
    )


def _lines(lines: list[str]) -> bytes:
    return "\n".join(lines).encode()


def damaged_yaml(good: bytes) -> Damaged:
    """Also well-formed YAML with a value replaced or left out, aliases that grow or bite their tail, tags of Python."""
    known = next(iter(yaml.safe_load(good)))
    texts = (
        GROWN,
        f"{GROWN}{known}: *a11\n",
        f"{known}: &a [*a]\n",
        f"{known}: &a {{b: *a}}\n",
        f"{known}: !!python/object/apply:os.system ['touch escape']\n",
        f"{known}: !!python/name:os.system\n",
        f"{known}: " + "[" * DEEP + "]" * DEEP,
        f"{known}: " + "- " * DEEP,
        f"? {{{known}: 1}}\n: 2\n",
        f"{known}: 2026-99-99\n",
        f"{known}: !!binary '?'\n",
        f"\t{known}: 1\n",
        f"{known}: 1\n---\n{known}: 2\n",
        f"<<: *{known}\n",
        "- 1\n",
        "3",
    )
    return _either(
        damaged_bytes(good),
        _changed(yaml.safe_load(good)).map(lambda value: yaml.safe_dump(value).encode()),
        st.sampled_from([text.encode() for text in texts]),
        st.sampled_from(("latin-1", "utf-16", "utf-32")).map(lambda name: f"{known}: é\n".encode(name)),
    )


def _changed(value: Any) -> SearchStrategy[Any]:
    """Replace one value of a tree by an odd one, or leave it out; the tree itself may be that value."""
    return st.tuples(st.sampled_from(list(_places(value))), st.sampled_from((*ODD, _OUT))).map(
        lambda change: _with(value, *change)
    )


_OUT = object()


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from _places(value[key], (*above, key))


def _with(value: Any, place: tuple[Any, ...], odd: Any) -> Any:
    if not place:
        return None if odd is _OUT else odd
    whole = copy.deepcopy(value)
    inner = whole
    for key in place[:-1]:
        inner = inner[key]
    if odd is _OUT:
        del inner[place[-1]]
    else:
        inner[place[-1]] = odd
    return whole


def damaged_csv(good: bytes) -> Damaged:
    """Also cells with odd texts and paths, a column left out or doubled, quotes that never close, other encodings."""
    lines = [line.split(",") for line in good.decode().splitlines()]
    cell = st.tuples(st.integers(0, len(lines) - 1), st.integers(0, len(lines[0]) - 1))
    odd = st.sampled_from((*TEXTS, *ESCAPES, '"', '""', "a,b,c", ";", "=1+1", "2,5"))
    place = st.integers(0, len(lines[0]) - 1)
    return _either(
        damaged_bytes(good),
        st.lists(st.tuples(cell, odd), min_size=1, max_size=3).map(lambda found: _csv_with(lines, found)),
        place.map(lambda at: _csv([line[:at] + line[at + 1 :] for line in lines])),
        place.map(lambda at: _csv([[*line, line[at]] for line in lines])),
        st.sampled_from(("utf-16", "utf-32", "utf-7")).map(lambda name: good.decode().encode(name)),
    )


def _csv_with(lines: list[list[str]], found: list[tuple[tuple[int, int], str]]) -> bytes:
    changed = copy.deepcopy(lines)
    for (row, place), text in found:
        changed[row][place] = text
    return _csv(changed)


def _csv(lines: list[list[str]]) -> bytes:
    return "\n".join(",".join(line) for line in lines).encode("utf-8", "surrogatepass")


def damaged_table(good: bytes) -> Damaged:
    """Also whole Parquet files with a column left out, doubled, of another type, or with odd values and nulls."""
    table = pq.read_table(io.BytesIO(good))
    name = st.sampled_from(table.column_names)
    texts = st.sampled_from([name for name in table.column_names if pa.types.is_string(table.schema.field(name).type)])
    kinds = st.sampled_from((pa.int64(), pa.string(), pa.binary(), pa.bool_(), pa.list_(pa.string()), pa.null()))
    row = st.integers(0, len(table) - 1)
    odd = st.sampled_from((None, *TEXTS, *ESCAPES, *JSONS))
    changed = st.one_of(
        name.map(lambda one: table.drop_columns([one])),
        name.map(lambda one: table.append_column(one, table[one])),
        st.tuples(name, kinds).map(lambda at: _typed(table, *at)),
        st.lists(st.tuples(texts, row, odd), min_size=1, max_size=3).map(lambda found: _table_with(table, found)),
        row.map(lambda rows: table.slice(0, rows)),
        row.map(lambda at: pa.concat_tables([table, table.slice(at, 1)])),
    )
    return _either(damaged_bytes(good), changed.map(_parquet))


def _typed(table: pa.Table, name: str, kind: pa.DataType) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.nulls(len(table), kind))


def _table_with(table: pa.Table, found: list[tuple[str, int, str | None]]) -> pa.Table:
    for name, row, text in found:
        values = table[name].to_pylist()
        values[row] = text
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
    return table


def _parquet(table: pa.Table) -> bytes:
    held = io.BytesIO()
    pq.write_table(table, held)
    return held.getvalue()


def damaged_safetensors(good: bytes) -> Damaged:
    """Also a header of whole JSON with a value replaced or left out, and a header of another declared length."""
    (length,) = struct.unpack("<Q", good[:8])
    header, rest = json.loads(good[8 : 8 + length]), good[8 + length :]
    inner = {key: json.loads(text) for key, text in header.get("__metadata__", {}).items()}

    def written(changed: Any) -> bytes:
        text = json.dumps(changed).encode()
        return struct.pack("<Q", len(text)) + text + rest

    def described(changed: Any) -> bytes:
        texts = {key: json.dumps(value) for key, value in changed.items()} if isinstance(changed, dict) else changed
        return written({**header, "__metadata__": texts})

    return _either(
        damaged_bytes(good),
        _changed(header).map(written),
        _changed(inner).map(described),
        st.sampled_from((0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1)).map(
            lambda size: struct.pack("<Q", size) + good[8:]
        ),
    )


def damaged_npy(good: bytes) -> Damaged:
    """Also heads that declare another shape or type, Python objects among them."""
    (length,) = struct.unpack("<H", good[8:10])
    types = st.sampled_from(("<f4", ">f4", "<f8", "|O", "|V9", "<U9", "|u1", "not one"))
    shape = st.lists(st.sampled_from((0, 1, -1, 7, 2**40, 2**63)), max_size=3)

    def headed(kind: str, sizes: list[int]) -> bytes:
        text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {tuple(sizes)}}}\n".encode()
        return good[:8] + struct.pack("<H", len(text)) + text + good[10 + length :]

    return _either(damaged_bytes(good), st.tuples(types, shape).map(lambda head: headed(*head)))
