"""Key points: where the joints of the person in a crop lie, and from them its torso and what is behind it."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from synreid.features import registry
from synreid.features.embedders import onnx_session
from synreid.features.framing import pasted
from synreid.stage.fingerprint import fingerprint as fingerprint_of

# COCO's order
POINTS = (
    *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder"),
    *("left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip"),
    *("left knee", "right knee", "left ankle", "right ankle"),
)
CONFIDENT = 0.3
"""Confidence from which a key point counts: a crop of Market-1501 at 64x32 has 15 of the 17 above it on average."""
TORSO = [POINTS.index(f"{side} {joint}") for joint in ("shoulder", "hip") for side in ("left", "right")]
CENTRE = (0.25, 0.5, 0.35, 0.65)  # top, bottom, left, right: the torso where it is not found
TORSO_WIDTH = 0.2  # of the width, at least: a person seen from the side has both shoulders in one place
STRIP = 0.125  # of the width: each of the two border strips taken for background
AROUND = 0.1  # of the height: what lies as near to a key point is taken for the person


class PoseFinder(Protocol):
    """Anything that finds the key points of persons."""

    name: str
    """Stands beside every number computed from the key points."""
    fingerprint: str
    """Changes when the same pictures would give other key points."""

    def find(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions `[N, 17, 2]` and confidence `[N, 17]`, both float32, of uint8 RGB crops `[N, H, W, 3]`.

        The order is that of POINTS. A position is (y, x) in fractions of the crop's height and width; a point that is
        taken to lie outside the crop is below 0 or above 1. Row k depends on picture k only.
        """
        ...


class KeyPoints:
    """MoveNet SinglePose Lightning (Google 2021): 17 key points, its input 192x192 RGB.

    Each crop stands upright at full height in a grey square. Measured on 100 crops of Market-1501 and 100 of `street`,
    at 64x32: stretched to the square, 7 of 17 points are confident; at 60 % of the height 14, at full height 15, and
    within a twentieth of the height of the drawn joint lie 51 %, 64 % and 80 % of the confident points. A border that
    continues the crop's edge is as good, but the square around a person would change with its background.
    Raises UserError where the weights are not on this machine.
    """

    name = "movenet-lightning"
    size, share, grey = 192, 1.0, 114
    fingerprint = fingerprint_of(1, registry.REGISTRY[name].sha256, size, share, grey)

    def __init__(self) -> None:
        self._session = onnx_session(self.name)
        self._input = self._session.get_inputs()[0].name

    def find(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions `[N, 17, 2]`, (y, x) in fractions of the crop, and confidence `[N, 17]` of crops `[N, H, W, 3]`."""
        found = np.zeros((len(pictures), len(POINTS), 3), dtype=np.float32)
        for k in range(len(pictures)):  # the network takes one picture at a time
            square = pasted(pictures[k : k + 1], self.size, self.share, self.grey)
            found[k] = self._session.run(None, {self._input: square.astype(np.int32)})[0][0, 0]
        width = min(1.0, self.share * pictures.shape[2] / pictures.shape[1])  # of the crop, in shares of the square
        return (found[..., :2] - 0.5) / np.array([self.share, width], dtype=np.float32) + 0.5, found[..., 2]


def default_key_points() -> tuple[KeyPoints | None, str]:
    """What finds key points on this machine, None where nothing does, and a sentence that says so."""
    if registry.have(KeyPoints.name):
        return KeyPoints(), "Pose is judged by the key points of MoveNet Lightning."
    entry = registry.REGISTRY[KeyPoints.name]
    return None, (
        f"Pose is left out: {entry.file} is not on this machine; it comes from {entry.source}, in a folder named by "
        f"{registry.VARIABLE}."
    )


def border_strips(pictures: np.ndarray, points: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the strips along the left and right border, float64 [N, H, S, 3], and what of them is background.

    That is where no seen key point, (y, x) in fractions, is nearer than AROUND of the height: bool [N, H, S].
    """
    height, width = pictures.shape[1:3]
    side = max(1, round(STRIP * width))
    columns = np.r_[:side, width - side : width]
    y, x = ((np.arange(height) + 0.5) / height)[None, :, None, None], ((columns + 0.5) / height)[None, None, :, None]
    distance = np.hypot(y - points[:, None, None, :, 0], x - points[:, None, None, :, 1] * width / height)
    near = (distance < AROUND) & seen[:, None, None]
    return pictures[:, :, columns].astype(np.float64), ~near.any(3)


def torso_colour(picture: np.ndarray, points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the mean colour, float64 [3], between shoulders and hips of a picture, uint8 [H, W, 3].

    Where one of the four is not seen, it is that of the box in the middle where a torso mostly lies (CENTRE).
    """
    top, bottom, left, right = CENTRE
    if seen[TORSO].all():
        (y1, y2), (x1, x2) = points[TORSO, 0].reshape(2, 2).mean(1), (points[TORSO, 1].min(), points[TORSO, 1].max())
        half = max(x2 - x1, TORSO_WIDTH) / 2
        top, bottom, left, right = min(y1, y2), max(y1, y2), (x1 + x2) / 2 - half, (x1 + x2) / 2 + half
    rows, columns = (
        slice(place := min(max(0, round(low * size)), size - 1), max(place + 1, round(high * size)))
        for low, high, size in ((top, bottom, len(picture)), (left, right, picture.shape[1]))
    )
    return picture[rows, columns].mean((0, 1), dtype=np.float64)
