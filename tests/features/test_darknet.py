"""Darknet detectors against a network written by hand and decoded in plain numpy."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pooch
import pytest

from synreid.features import darknet, registry
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import file_digest

SIZE, CLASSES, ANCHORS, FILTERS = 32, 3, 2, 4
HEAD = f"""
[convolutional]
filters={ANCHORS * (5 + CLASSES)}
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1
anchors=4,8, 10,20
classes={CLASSES}
num={ANCHORS}
"""
DESCRIPTION = f"""[net]
width={SIZE}
height={SIZE}
channels=3

[convolutional]
batch_normalize=1
filters={FILTERS}
size=3
stride=2
pad=1
activation=leaky
{HEAD}
[route]
layers=0
{HEAD}"""


class SmallDetector(darknet.DarknetDetector):
    name = "small"
    needs = ("small-cfg", "small")
    size, share = SIZE, 0.6


class SmallThesisDetector(darknet.YoloV4TinyThesisDetector):
    needs = ("small-cfg", "small")
    size = SIZE


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Random values of a network of two heads, in the order of a .weights file; the registry knows its files."""
    rng = np.random.default_rng(33)
    drawn = {
        "shift": rng.normal(size=FILTERS),
        "scale": rng.uniform(0.5, 2, FILTERS),
        "mean": rng.normal(size=FILTERS),
        "variance": rng.uniform(0.5, 2, FILTERS),
        "kernel": rng.normal(size=(FILTERS, 3, 3, 3)),
    }
    for head in ("a", "b"):
        drawn[f"bias {head}"] = rng.normal(-1, 1, ANCHORS * (5 + CLASSES))
        drawn[f"kernel {head}"] = rng.normal(0, 0.7, (ANCHORS * (5 + CLASSES), FILTERS))
    header = np.array([0, 2, 5], np.int32).tobytes() + np.array([0], np.int64).tobytes()
    body = b"".join(value.astype(np.float32).tobytes() for value in drawn.values())
    (tmp_path / "small.cfg").write_text(DESCRIPTION)
    (tmp_path / "small.weights").write_bytes(header + body)
    for name, file in (("small-cfg", "small.cfg"), ("small", "small.weights")):
        entry = registry.Weights(name, file, file_digest(tmp_path / file), "our test", "none")
        monkeypatch.setitem(registry.REGISTRY, name, entry)
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path))
    return drawn


def by_hand(values: dict[str, np.ndarray], shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence `[N, places, CLASSES]` by the definition of Darknet's layers, and its best class `[N, places]`."""
    padded = np.pad(shown.transpose(0, 3, 1, 2) / 255, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    plane = np.einsum("ncyxij,fcij->nyxf", windows, values["kernel"])
    plane = (plane - values["mean"]) / np.sqrt(values["variance"]) * values["scale"] + values["shift"]
    plane = np.where(plane > 0, plane, 0.1 * plane)
    heads = [plane @ values[f"kernel {head}"].T + values[f"bias {head}"] for head in ("a", "b")]
    boxes = np.concatenate([head.reshape(len(shown), -1, 5 + CLASSES) for head in heads], 1)
    sure = 1 / (1 + np.exp(-boxes[..., 4:]))
    confidence = sure[..., :1] * sure[..., 1:]
    return confidence, confidence.argmax(2)


def test_the_score_is_the_best_persons_confidence(values: dict[str, np.ndarray]) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (9, 16, 8, 3), dtype=np.uint8)  # a whole batch, and one more
    judge = SmallDetector()
    confidence, best = by_hand(values, judge.framed(pictures))
    expected = np.where(best == 0, confidence[..., 0], 0).max(1)
    assert (expected < confidence[..., 0].max(1) - 0.01).any()  # so a box whose best class is another one counts here
    np.testing.assert_allclose(judge.score(pictures), expected, atol=1e-4)


def test_scores_below_opencvs_own_threshold_are_given(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (3, 16, 8, 3), dtype=np.uint8)
    for head in ("a", "b"):
        values[f"bias {head}"].reshape(ANCHORS, -1)[:, 4] -= 7
    path = tmp_path / "small.weights"
    body = b"".join(value.astype(np.float32).tobytes() for value in values.values())
    path.write_bytes(path.read_bytes()[:20] + body)
    registry.REGISTRY["small"] = registry.Weights("small", path.name, file_digest(path), "our test", "none")
    judge = SmallDetector()
    confidence, best = by_hand(values, judge.framed(pictures))
    expected = np.where(best == 0, confidence[..., 0], 0).max(1)
    assert (expected > darknet.LEAST).all()
    assert (expected < 0.2).all()
    np.testing.assert_allclose(judge.score(pictures), expected, atol=1e-5)


def test_the_thesis_shows_the_bordered_crop_squeezed(values: dict[str, np.ndarray]) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    # as its released code does it, on a picture that OpenCV has read as BGR
    border = cv2.copyMakeBorder(picture[..., ::-1], 150, 150, 150, 150, cv2.BORDER_CONSTANT, value=(101, 52, 152))
    judge = SmallThesisDetector()
    np.testing.assert_array_equal(judge.framed(picture[None])[0], border[..., ::-1])
    squeezed = cv2.resize(border, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)[..., ::-1]
    confidence, best = by_hand(values, squeezed[None])
    expected = np.where(best == 0, confidence[..., 0], 0).max(1)
    np.testing.assert_allclose(judge.score(picture[None]), expected, atol=1e-4)


def test_a_damaged_file_is_refused(values: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "small.weights"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"small\.weights is not the file that small needs"):
        SmallDetector()


def test_missing_files_say_name_source_digest_and_variable(
    without_weights: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(pooch, "retrieve", offline)
    with pytest.raises(UserError) as caught:
        darknet.YoloV4TinyDetector()
    for part in ("yolov4-tiny.cfg", "AlexeyAB/darknet", "f858e3724962eedf", "no network", "SYNREID_WEIGHTS"):
        assert part in str(caught.value)


def test_an_opencv_without_darknet_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2.dnn, "readNetFromDarknet")
    with pytest.raises(UserError, match=r"yolov4-tiny\.weights.*OpenCV.*opencv-python-headless below 5"):
        darknet.YoloV4TinyDetector()
