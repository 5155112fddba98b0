"""Detectors: real crops pass and noise does not, at the resolution that the study works at."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from synreid.data.pixels import pixels
from synreid.data.scan import open_data
from synreid.data.table import pick, rows
from synreid.features import detectors, registry
from synreid.select.options import DetectorName
from synreid.stage.errors import UserError


def test_hog_is_opencvs_own_margin() -> None:
    import cv2

    window = np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    hog = detectors.HogDetector()
    whole = cv2.HOGDescriptor()
    whole.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
    _, margin = whole.detect(window, hitThreshold=-100.0)
    ours = float(np.asarray(hog._descriptor.compute(window)).ravel() @ hog._weights + hog._bias)
    assert ours == pytest.approx(float(np.ravel(margin)[0]), abs=1e-4)


@pytest.mark.parametrize("name", list(detectors.DETECTORS))
def test_real_crops_pass_and_noise_does_not(
    name: str, pku: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if detectors.DETECTORS[name].needs:
        request.getfixturevalue("with_weights")
    if not detectors.present(name):
        pytest.skip(f"no weights of {name} in the folder of tests")
    table = pick(open_data(pku), split="train")
    real = pixels(rows(table, np.arange(0, len(table), len(table) // 40)), 64, 32)
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 32, 3), dtype=np.uint8)
    judge = detectors.detector(name)
    found = judge.score(real)
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()
    accepted = (found >= judge.threshold).mean()
    assert accepted > 0.7
    assert (judge.score(noise) >= judge.threshold).mean() < accepted - 0.5
    np.testing.assert_allclose(judge.score(real[3:4]), found[3:4], atol=1e-3)


def test_without_weights_hog_is_taken_and_said(without_weights: None) -> None:
    judge, sentence = detectors.best_detector()
    assert judge.name == "hog"
    assert "SYNREID_WEIGHTS" in sentence


@pytest.mark.parametrize(
    ("here", "taken"),
    [(["key-points", "ssdlite"], "key-points"), (["ssdlite", "yolox"], "ssdlite"), (["yolox"], "hog")],
)
def test_the_best_detector_at_hand_is_taken(here: list[str], taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors, "present", lambda name: name in here)
    for kind in (detectors.KeyPointDetector, detectors.SsdliteDetector):
        monkeypatch.setattr(kind, "__init__", lambda self: None)
    assert detectors.best_detector()[0].name == taken


def test_a_detector_is_present_only_with_all_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "have", lambda name: name in ("yolo-fastest", "ssdlite"))  # not yolo-fastest-cfg
    assert [name for name in detectors.DETECTORS if detectors.present(name)] == ["ssdlite", "hog"]


def test_every_detector_can_be_asked_for_and_needs_known_files() -> None:
    assert set(detectors.DETECTORS) == set(get_args(DetectorName)) - {"auto", "none"}
    for kind in detectors.DETECTORS.values():
        assert set(kind.needs) <= set(registry.REGISTRY)


def test_an_unknown_detector_is_an_error() -> None:
    with pytest.raises(UserError, match=r"'yolov9'.*choose"):
        detectors.detector("yolov9")
