"""A few persons that a tiny network can tell apart: each is one colour on a noisy ground."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from synreid.data.decode import picture_sha256
from synreid.data.table import from_columns
from synreid.reid import train as module
from synreid.reid.options import PRESETS, ReidOptions


@pytest.fixture(scope="session")
def persons(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Train: 5 persons x 8 pictures; query and gallery: 4 other persons, 2 and 4 pictures each; 2 cameras."""
    return draw(tmp_path_factory.mktemp("persons"), {"train": (0, 5, 8), "query": (5, 4, 2), "gallery": (5, 4, 4)})


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Three made persons with four pictures each."""
    table = draw(tmp_path_factory.mktemp("made"), {"train": (20, 3, 4)})
    names = pa.array([f"made/{pid}" for pid in table["pid"].to_pylist()])
    table = table.set_column(table.column_names.index("pid"), "pid", names)
    count = len(table)
    for name, value in (("origin", "artificial"), ("split", None), ("camera", None), ("claim", "new")):
        place = table.column_names.index(name)
        table = table.set_column(place, table.schema.field(name), pa.array([value] * count, pa.string()))
    return table


@pytest.fixture(scope="session")
def small() -> ReidOptions:
    """The smallest network of timm, a few steps."""
    return ReidOptions(
        backbone="test_resnet", height=32, width=16, embedding=16, batch=8, steps=6, crop_pad=2, precision="fp32"
    )


@pytest.fixture(scope="session")
def shrunk(small: ReidOptions) -> Callable[[str], ReidOptions]:
    """A preset by its name, with the smallest network, batches of 4 persons x 2 pictures, and no ResNet's stride."""
    size = {name: getattr(small, name) for name in ("backbone", "height", "width", "steps", "crop_pad", "precision")}
    changes = {**size, "pretrained": None, "last_stride": None, "batch": 8, "pictures_each": 2}
    return lambda preset: ReidOptions(**{**PRESETS[preset], **changes})


def draw(folder: Path, parts: dict[str, tuple[int, int, int]]) -> pa.Table:
    columns: dict[str, list[str]] = {name: [] for name in ("path", "sha256", "pid", "camera", "split")}
    draw = np.random.default_rng(0)
    for split, (first, count, pictures) in parts.items():
        for person in range(first, first + count):
            colour = np.random.default_rng(person).integers(0, 256, 3)
            for number in range(pictures):
                rgb = draw.integers(0, 256, (40, 20, 3))
                rgb[5:35, 4:16] = np.clip(colour + draw.normal(0, 10, (30, 12, 3)), 0, 255)
                rgb = rgb.astype(np.uint8)
                name = f"{split}_{person}_{number}.png"
                cv2.imwrite(str(folder / name), rgb[:, :, ::-1])
                for key, value in zip(
                    columns, (name, picture_sha256(rgb), f"p/{person}", f"c{number % 2}", split), strict=True
                ):
                    columns[key].append(value)
    return from_columns(root=str(folder), **columns)


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """`with cut_off(step):` a training inside is interrupted before that step, which is asserted."""

    @contextmanager
    def until(step: int) -> Iterator[None]:
        learn = module.learn

        def cut(state, *rest):
            if state.step == step:
                raise KeyboardInterrupt
            return learn(state, *rest)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, "learn", cut)
            yield

    return until
