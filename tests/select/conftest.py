"""A folder of 'made' persons with known faults, and an embedder that reads identity off the colour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synreid.data.pixels import picture_sha256
from synreid.data.sheets import write_picture
from synreid.data.table import from_columns, write_table
from synreid.features import registry
from synreid.stage.folder import StageFolder

HEIGHT, WIDTH = 64, 32


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of this room judge by what is always there."""
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    monkeypatch.setattr(registry, "find", lambda name: None)


class ColourEmbedder:
    """The mean colour, centred: identity of the persons that `coloured` draws."""

    name = "colour"

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        return (pictures.mean((1, 2)) - 127.5).astype(np.float32)


@pytest.fixture
def colours() -> ColourEmbedder:
    return ColourEmbedder()


def coloured(pid: int, number: int, spread: int = 5) -> np.ndarray:
    """Picture `number` of a person who is known by colour."""
    rng = np.random.default_rng((pid, number))
    colour = np.random.default_rng(pid).choice([40, 215], 3) + rng.integers(-spread, spread + 1, 3)
    return (colour + rng.normal(0, 20, (HEIGHT, WIDTH, 3))).clip(0, 255).astype(np.uint8)


Made = Callable[[dict[str, list[np.ndarray]]], Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """made({pid: pictures}): a finished folder as `persons make` leaves it."""

    def write(persons: dict[str, list[np.ndarray]]) -> Path:
        out = tmp_path / "persons"
        with StageFolder(out, "persons", 1, {}, {}) as folder:
            table = _write(out, persons, "artificial", "new", None)
            write_table(table, out / "table.parquet")
            folder.finish()
        return out

    return write


@pytest.fixture
def real(tmp_path: Path) -> pa.Table:
    """Ten real training persons of six pictures each, and test persons of another kind that must not be looked at."""
    train = {f"real/{pid}": [coloured(1000 + pid, n, spread=40) for n in range(6)] for pid in range(10)}
    test = {f"real/t{pid}": [np.zeros((HEIGHT, WIDTH, 3), np.uint8) + n for n in range(6)] for pid in range(10)}
    first = _write(tmp_path / "real", train, "real", None, "train")
    return pa.concat_tables([first, _write(tmp_path / "real", test, "real", None, "query")])


Varied = Callable[[dict[str, list[tuple[np.ndarray, str]]]], Path]


@pytest.fixture
def varied(tmp_path: Path) -> Varied:
    """varied({pid: [(picture, its parent's sha256)]}): a finished folder of variations of real persons."""

    def write(persons: dict[str, list[tuple[np.ndarray, str]]]) -> Path:
        out = tmp_path / "variations"
        with StageFolder(out, "persons", 1, {}, {}) as folder:
            pictures = {pid: [picture for picture, _ in pairs] for pid, pairs in persons.items()}
            table = _write(out, pictures, "variation", "parent", "train")
            parents = [
                [{"sha256": parent, "weight": 1.0, "role": "person", "layers": None}]
                for pairs in persons.values()
                for _, parent in pairs
            ]
            place = table.schema.get_field_index("parents")
            field = table.schema.field(place)
            write_table(table.set_column(place, field, pa.array(parents, field.type)), out / "table.parquet")
            folder.finish()
        return out

    return write


def _write(
    root: Path, persons: dict[str, list[np.ndarray]], origin: str, claim: str | None, split: str | None
) -> pa.Table:
    paths, pids, digests = [], [], []
    for pid, pictures in persons.items():
        for number, picture in enumerate(pictures):
            paths.append(f"pictures/{pid.split('/')[-1]}/{number:04d}.png")
            pids.append(pid)
            digests.append(picture_sha256(picture))
            write_picture(root / paths[-1], picture)
    return from_columns(root=str(root), path=paths, sha256=digests, pid=pids, origin=origin, claim=claim, split=split)
