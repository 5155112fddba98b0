"""Key points lie where the joints are: on drawn persons, whose joints are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from synreid.data.pixels import pixels
from synreid.data.scan import open_data
from synreid.data.table import pick, rows
from synreid.features import pose
from synreid.features.framing import pasted
from synreid.stage.errors import UserError

SIZE = (128, 64)


class Spot:
    """A network whose every key point is the brightest pixel's middle, in fractions of its square."""

    def get_inputs(self) -> list[Spot]:
        return [self]

    name = "input"

    def run(self, outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        square = inputs["input"]
        assert square.shape == (1, 192, 192, 3)
        assert square.dtype == np.int32
        places = np.argwhere(square[0, :, :, 1] == square[0, :, :, 1].max())
        y, x = (places.mean(0) + 0.5) / 192
        return [np.tile(np.array([y, x, 0.75], dtype=np.float32), (1, 1, 17, 1))]


def drawn(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures of `street`, their joints [N, 17, 2] in fractions (y, x), in the order of POINTS, and which are seen."""
    table = pick(open_data(folder), split="train")
    table = rows(table, range(count))
    truth = pq.read_table(folder / "truth.parquet")
    names = json.loads(truth.schema.metadata[b"joints"])
    order = [names.index(name) for name in pose.POINTS]
    by_name = {Path(row["path"]).name: row for row in truth.to_pylist()}
    found = [by_name[Path(path).name] for path in table.column("path").to_pylist()]
    y, x, seen = (np.array([row[key] for row in found])[:, order] for key in ("joint_y", "joint_x", "joint_visible"))
    joints = np.stack([y / SIZE[0], x / SIZE[1]], axis=2)
    return pixels(table, *SIZE), joints, seen & ((joints >= 0) & (joints < 1)).all(2)


@pytest.mark.parametrize("size", [(64, 32), (96, 48), (48, 48), (40, 60)])
def test_a_place_comes_back_in_fractions_of_the_crop(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose, "onnx_session", lambda name: Spot())
    crops = np.zeros((3, *size, 3), dtype=np.uint8)
    places = [(2, 3), (size[0] // 2, size[1] // 2), (size[0] - 3, size[1] - 4)]
    for crop, (y, x) in zip(crops, places, strict=True):
        crop[y - 1 : y + 2, x - 1 : x + 2] = 255
    positions, confidence = pose.KeyPoints().find(crops)
    assert positions.shape == (3, 17, 2)
    assert (confidence == 0.75).all()
    for k, (y, x) in enumerate(places):
        np.testing.assert_allclose(positions[k, 4], [(y + 0.5) / size[0], (x + 0.5) / size[1]], atol=1.01 / min(size))


def test_no_picture_gives_no_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose, "onnx_session", lambda name: Spot())
    positions, confidence = pose.KeyPoints().find(np.zeros((0, 64, 32, 3), dtype=np.uint8))
    assert positions.shape == (0, 17, 2)
    assert confidence.shape == (0, 17)


def test_drawn_joints_are_found(tiny_street: Path, with_weights: None) -> None:
    pictures, joints, seen = drawn(tiny_street, 24)
    positions, confidence = pose.KeyPoints().find(pictures)
    chosen = (confidence >= pose.CONFIDENT) & seen
    assert chosen.sum(1).mean() > 8
    distance = np.hypot(positions[..., 0] - joints[..., 0], (positions[..., 1] - joints[..., 1]) / 2)
    assert np.median(distance[chosen]) < 0.05, "left and right are the person's own, heights the crop's"
    np.testing.assert_allclose(pose.KeyPoints().find(pictures[3:4])[0], positions[3:4], atol=1e-4)


def test_full_height_beats_a_margin(tiny_street: Path, with_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, joints, seen = drawn(tiny_street, 24)
    errors = []
    for share in (0.5, 1.0):
        monkeypatch.setattr(pose.KeyPoints, "share", share)
        positions, _ = pose.KeyPoints().find(pictures)
        errors.append(np.abs(positions - joints)[seen].mean())
    assert errors[1] < errors[0]


def test_noise_has_fewer_confident_points_than_persons(tiny_street: Path, with_weights: None) -> None:
    pictures, *_ = drawn(tiny_street, 12)
    noise = np.random.default_rng(0).integers(0, 256, pictures.shape, dtype=np.uint8)
    found, of_noise = ((pose.KeyPoints().find(p)[1] >= pose.CONFIDENT).sum(1).mean() for p in (pictures, noise))
    assert of_noise < found / 2


def test_without_weights_pose_is_left_out_and_said(without_weights: None) -> None:
    finder, sentence = pose.default_key_points()
    assert finder is None
    assert "left out" in sentence
    assert "SYNREID_WEIGHTS" in sentence
    with pytest.raises(UserError, match=r"movenet-lightning\.onnx .* is not on this machine: it comes from .*MoveNet"):
        pose.KeyPoints()


def test_with_weights_pose_is_judged(with_weights: None) -> None:
    finder, sentence = pose.default_key_points()
    assert isinstance(finder, pose.KeyPoints)
    assert "MoveNet" in sentence


def test_the_square_is_as_high_as_the_crop() -> None:
    square = pasted(np.zeros((1, 64, 32, 3), dtype=np.uint8), pose.KeyPoints.size, pose.KeyPoints.share, 114)
    assert (square == 0).all(3).any(2).all()
