"""Whatever is handed over damaged ends in a sentence or a good result; `benchmarks/reliability.py` tries 1,000."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import damage
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from inputs import KINDS
from outcome import GOOD, SENTENCE, Kind, outcome, wrong

BY_NAME = {kind.name: kind for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damaged_input_ends_in_a_sentence_or_a_good_result(kind: Kind, home: Path) -> None:
    good = (home / kind.file).read_bytes()

    @settings(
        max_examples=2,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.damaged(good))
    def one(data: bytes) -> None:
        found = outcome(kind, data, home)
        assert not wrong(found.verdict), f"{found.verdict}: {found.words}"

    one()


@pytest.mark.parametrize("kind", {kind.use: kind for kind in KINDS}.values(), ids=lambda kind: kind.name)
def test_the_same_input_undamaged_gives_a_good_result(kind: Kind, home: Path) -> None:
    found = outcome(kind, (home / kind.file).read_bytes(), home)
    unfit = {"CSV data set", "official pickle"}  # a set without cameras, a pickle without a network
    assert found.verdict == (SENTENCE if kind.name in unfit else GOOD), found.words


def changed(**values: object) -> Callable[[bytes], bytes]:
    """A JSON file with other values."""
    return lambda good: json.dumps(json.loads(good) | values).encode()


def column(name: str, text: str | None) -> Callable[[bytes], bytes]:
    """A picture table with that text in the first row of a column, or without the column."""

    def write(good: bytes) -> bytes:
        table = pq.read_table(io.BytesIO(good))
        values = [text, *table[name].to_pylist()[1:]]
        place = table.column_names.index(name)
        table = (
            table.drop_columns([name])
            if text is None
            else table.set_column(place, table.schema.field(name), pa.array(values))
        )
        held = io.BytesIO()
        pq.write_table(table, held)
        return held.getvalue()

    return write


def shorter(good: bytes) -> bytes:
    """A table without its first row."""
    held = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(good)).slice(1), held)
    return held.getvalue()


def deep_generator(good: bytes) -> bytes:
    """A generator whose header asks for a mapping network of 10**30 layers."""
    (length,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8 : 8 + length])
    header["__metadata__"] = {
        name: json.dumps(json.loads(text) | {"map_depth": 10**30}) for name, text in header["__metadata__"].items()
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + good[8 + length :]


def saved(value: object) -> bytes:
    held = io.BytesIO()
    torch.save(value, held)
    return held.getvalue()


FOUND: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("CSV data set", lambda good: b"path,pid,camera\na\0.png,1,1\n"),
    ("CSV of persons to import", lambda good: "path,pid\na.png,Jos\u00e9\n".encode("latin-1")),
    ("CSV of persons to import", lambda good: b"path,pid,parent,parent\na.png,1,b,c\n"),
    ("CSV of persons to import", lambda good: b"path,pid\na\0.png,1\n"),
    ("picture table", column("path", "a\0.png")),
    ("selection", column("kept", None)),
    ("selection's options", lambda good: b""),
    ("selection's options", lambda good: b"persons: [1]"),
    ("selection's options", lambda good: b"\xff"),
    ("--config", lambda good: b"data: \xff"),
    ("--config", lambda good: f"{damage.GROWN}data: *a11\n".encode()),
    ("--config", lambda good: b"model: [1]\ndata: there\n"),
    ("recipe", lambda good: f"{damage.GROWN}name: *a11\n".encode()),
    ("generator", deep_generator),
    ("learned pictures", lambda good: good[:-9]),
    ("run.json of a model", changed(precision=None, named={"backbone": 3})),
    ("classes.json", lambda good: b"null"),
    ("index: run.json", changed(bytes=None)),
    ("index: run.json", changed(bytes={"features.npy": "many"})),
    ("index: run.json", changed(config={"model": 3.0})),
    ("a study's audit", changed(spaces={"pixels": {"quantiles_made": "a"}})),
    ("scores", lambda good: b"null"),
    ("scores", changed(map="a")),
    ("scores by query", column("path", None)),
    ("intervals", changed(rank1={"low": 0.1})),
    ("breakdown", changed(by_camera="a")),
    ("a training's queries", column("path", None)),
    ("a generator's curve", lambda good: b'[{"kimg": 1}]'),
    ("a generator's options", lambda good: b""),
    ("layers", changed(groups=[3])),
    ("latents: table", shorter),
    ("latents: run.json", changed(outputs={"a": float("inf")})),
    ("a tuned generator", lambda good: good[:-9]),
    ("a block of latents", lambda good: good[:-9]),
    ("an inversion's measure", changed(judges={})),
    ("a selection's summary", changed(made="many")),
    ("scores of selection", column("reason", None)),
    ("calibration", changed(scores=[1])),
    ("an audit's numbers", changed(spaces=None)),
    ("an audit's pictures", column("sha256", None)),
    ("a part of an index", lambda good: good[:-9]),
    ("PyTorch weights", lambda good: saved([torch.zeros(2)])),
    ("PyTorch weights", lambda good: saved({1: torch.zeros(2)})),
]


@pytest.mark.parametrize(("name", "damaged"), FOUND)
def test_what_once_ended_in_a_traceback_is_one_sentence(
    name: str, damaged: Callable[[bytes], bytes], home: Path
) -> None:
    kind = BY_NAME[name]
    found = outcome(kind, damaged((home / kind.file).read_bytes()), home)
    assert found.verdict == SENTENCE, f"{found.verdict}: {found.words}"
