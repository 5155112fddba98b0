"""Small real picture files for the tests of the data room, and a cache of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Picture = Callable[..., np.ndarray]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SYNREID_CACHE", str(folder))
    return folder


@pytest.fixture
def picture() -> Picture:
    """picture(path, seed=0, height=16, width=8): a picture that no other seed has, written where `path` says."""

    def write(path: Path, seed: int = 0, height: int = 16, width: int = 8, **save: object) -> np.ndarray:
        rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgb).save(path, **save)  # type: ignore[arg-type]
        return rgb

    return write


@pytest.fixture
def market(tmp_path: Path, picture: Picture) -> Path:
    """A whole set that keeps every rule: 4 persons train, 3 test, 2 cameras, junk, a distractor, strangers' files."""
    root = tmp_path / "Market-1501"
    names = [
        f"bounding_box_train/{pid:04d}_c{cam}s1_{n:06d}_00.jpg"
        for pid in (2, 7, 10, 11)
        for cam in (1, 2)
        for n in (1, 2)
    ]
    names += [f"query/{pid:04d}_c{cam}s1_000001_00.jpg" for pid in (1, 3, 4) for cam in (1, 2)]
    names += [
        f"bounding_box_test/{pid:04d}_c{cam}s1_{n:06d}_00.jpg" for pid in (1, 3, 4) for cam in (1, 2) for n in (2, 3)
    ]
    names += ["bounding_box_test/-1_c1s1_000401_03.jpg", "bounding_box_test/0000_c2s1_000009_00.png"]
    for seed, name in enumerate(names):
        picture(root / name, seed)
    (root / "readme.txt").write_text("hello")
    (root / "query" / "Thumbs.db").write_bytes(b"\0")
    return root
