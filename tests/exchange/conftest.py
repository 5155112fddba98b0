"""A small set of real pictures, and folders of made ones as `persons make` and `persons vary` leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from synreid.data.decode import picture_sha256
from synreid.data.scan import open_data
from synreid.data.sheets import write_picture
from synreid.data.table import column, from_columns, read_table, rows, write_table
from synreid.stage.folder import StageFolder

TRAIN, TEST = (2, 7, 11), (1, 3, 1500)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNREID_CACHE", str(tmp_path_factory.mktemp("cache")))


def noise(seed: int, height: int = 32, width: int = 16) -> np.ndarray:
    """A smooth picture, uint8 [height, width, 3], that no other seed has."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """3 persons train, 3 test, 2 cameras, junk, a distractor; names as Market-1501 has them, one picture a PNG."""
    root = tmp_path / "Market-1501"
    names = [f"bounding_box_train/{pid:04d}_c{cam}s3_{n:06d}_04.jpg" for pid in TRAIN for cam in (1, 6) for n in (1, 2)]
    names += [f"query/{pid:04d}_c{cam}s1_000001_00.jpg" for pid in TEST for cam in (1, 6)]
    names += [f"bounding_box_test/{pid:04d}_c{cam}s1_{n:06d}_01.jpg" for pid in TEST for cam in (1, 6) for n in (2, 3)]
    names += ["bounding_box_test/-1_c1s1_000401_03.jpg", "bounding_box_test/0000_c6s1_000009_00.png"]
    names[0] += ".jpg"  # as 24 files of the real set end
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(seed)).save(root / name)
    return root


@pytest.fixture
def real(market: Path) -> pa.Table:
    return open_data(market)


@pytest.fixture
def artificial(tmp_path: Path) -> Path:
    """Two artificial persons of two pictures."""
    names = [f"pictures/{pid:06d}/{pid:06d}_{n:04d}.png" for pid in (0, 2) for n in range(2)]
    pictures = [noise(1000 + k, 16, 8) for k in range(4)]
    return _persons(
        tmp_path / "persons",
        names,
        pictures,
        pid=["made/000000", "made/000000", "made/000002", "made/000002"],
        origin="artificial",
        claim="new",
        maker=json.dumps({"maker": "abcd", "operation": "sample", "seed": 3}),
    )


@pytest.fixture
def variations(tmp_path: Path, real: pa.Table) -> Path:
    """A variation of a picture of each training person: between it and the person's second, or mixed with another."""
    train = rows(real, column(real, "split") == "train")
    digests = column(train, "sha256")
    first = [0, 4, 8]
    parents = [
        [_parent(digests[0], 0.25, "person", [0, 1, 2, 3]), _parent(digests[1], 0.75, "person", [0, 1, 2, 3])],
        [_parent(digests[4], 1.0, "person", [0, 1, 2]), _parent(digests[8], 1.0, "style", [3])],
        [_parent(digests[8], 1.0, "person", [0, 1, 2, 3]), _parent(digests[0], -1.0, "from", [0, 1, 2, 3])],
    ]
    return _persons(
        tmp_path / "varied",
        [f"pictures/{n:06d}/{n:06d}_0000.png" for n in range(3)],
        [noise(2000 + n, 16, 8) for n in range(3)],
        pid=column(train, "pid")[first].tolist(),
        camera=column(train, "camera")[first].tolist(),
        origin="variation",
        claim="parent",
        parents=parents,
        maker=json.dumps({"maker": "abcd", "operation": "mix"}),
    )


@pytest.fixture
def made(artificial: Path, variations: Path) -> pa.Table:
    """All made pictures: 4 artificial, 3 variations."""
    return pa.concat_tables([read_table(folder / "table.parquet") for folder in (artificial, variations)])


def _parent(sha256: str, weight: float, role: str, layers: list[int]) -> dict[str, object]:
    return {"sha256": sha256, "weight": weight, "role": role, "layers": layers}


def _persons(out: Path, names: list[str], pictures: list[np.ndarray], **columns: object) -> Path:
    with StageFolder(out, "persons", 1, {}, {}) as folder:
        for name, picture in zip(names, pictures, strict=True):
            write_picture(out / name, picture)
        digests = [picture_sha256(picture) for picture in pictures]
        write_table(from_columns(path=names, sha256=digests, split="train", **columns), out / "table.parquet")
        folder.finish()
    return out


Files = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def files() -> Files:
    """files(folder): the bytes of every file, by its path in the folder."""
    return lambda folder: {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
