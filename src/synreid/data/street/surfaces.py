"""Lofted surfaces, their light and their drawing: rings of vertices are projected and painted far to near with
OpenCV.

At this size (a person of 40 by 120 pixels) a few thousand small flat quadrilaterals, painted on a canvas of three
times the size, cannot be told from a renderer's output, and occlusion between arms, legs, bags and trunk comes for
free.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np


class Part(IntEnum):
    """What a pixel of the canvas shows (its fourth channel); 0 is background."""

    TRUNK = 1
    HEAD = 2
    HAIR = 3
    HAT = 4
    RIGHT_ARM = 5
    LEFT_ARM = 6
    RIGHT_LEG = 7
    LEFT_LEG = 8
    SKIRT = 9
    BAG = 10


@dataclass(frozen=True)
class Surface:
    """A closed strip of quadrilaterals: vertices [K, N, 3] in metres, colours [K-1, N, 3] in [0, 1], wrapped around
    N.
    """

    vertices: np.ndarray
    colours: np.ndarray
    part: Part


@dataclass(frozen=True)
class View:
    """How a person is seen: `yaw` (0 faces the camera, pi/2 faces right in the picture), `pitch` of the camera
    downwards, `distance` in metres, `scale` in canvas pixels a metre, and where the point between the feet falls
    (canvas pixels).
    """

    yaw: float
    pitch: float
    distance: float
    scale: float
    x: float
    y: float

    def turn(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] of a person's frame as (right, up, towards the camera), metres."""
        sy, cy, sp, cp = np.sin(self.yaw), np.cos(self.yaw), np.sin(self.pitch), np.cos(self.pitch)
        return points @ np.array([[-cy, -sy * sp, sy * cp], [sy, -cy * sp, cy * cp], [0.0, cp, sp]])

    def project(self, turned: np.ndarray) -> np.ndarray:
        """Turned points [..., 3] as canvas pixels (x, y) [..., 2]."""
        zoom = self.scale * self.distance / (self.distance - turned[..., 2])
        return np.stack([self.x + zoom * turned[..., 0], self.y - zoom * turned[..., 1]], axis=-1)


@dataclass(frozen=True)
class Light:
    """Light on a person, relative to the camera: unit `towards` the lamp as (right, up, near), and strengths."""

    towards: tuple[float, float, float]
    ambient: float
    direct: float
    sky: float


def angles(count: int) -> np.ndarray:
    """Middle angle of each of `count` quadrilaterals around a ring, radians; 0 is the right side, pi/2 the front."""
    return (np.arange(count) + 0.5) * (2 * np.pi / count)


def rings(centres: np.ndarray, across: np.ndarray, front: np.ndarray, count: int, square: float = 2.0) -> np.ndarray:
    """Vertices [K, count, 3] of super-ellipses about `centres` with half axes `across` and `front`, all [K, 3].

    `square` is the exponent: 2 an ellipse, 4 nearly a box.
    """
    angle = np.arange(count) * (2 * np.pi / count)
    cosine, sine = np.cos(angle), np.sin(angle)
    cosine = np.sign(cosine) * np.abs(cosine) ** (2 / square)
    sine = np.sign(sine) * np.abs(sine) ** (2 / square)
    return centres[:, None] + cosine[None, :, None] * across[:, None] + sine[None, :, None] * front[:, None]


def tube(path: np.ndarray, radius: np.ndarray, front: np.ndarray, count: int, flat: float = 1.0) -> np.ndarray:
    """Vertices [K, count, 3] of a tube along `path` [K, 3] with `radius` [K]; `front` [3] hints which way the limb
    faces.
    """
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    across = _cross(np.broadcast_to(front, along.shape), along)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    ahead = _cross(along, across)
    return rings(path, across * radius[:, None], ahead * (radius * flat)[:, None], count)


def polyline(corners: list[np.ndarray], parts: list[int]) -> np.ndarray:
    """Points [K, 3] along straight pieces between `corners`, `parts[i]` of them on piece i, ends included."""
    pieces = [
        a + (b - a) * np.linspace(0, 1, n, endpoint=False)[:, None]
        for a, b, n in zip(corners, corners[1:], parts, strict=False)
    ]
    return np.concatenate([*pieces, corners[-1][None]])


def folds(rng: np.random.Generator, shape: tuple[int, int], coarse: tuple[int, int], strength: float) -> np.ndarray:
    """A smooth random field [K, N, 1] about 1, as the shading of folds in cloth."""
    grid = rng.normal(0, strength, coarse).astype(np.float32)
    return np.exp(cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC))[:, :, None]


def paint(canvas: np.ndarray, surfaces: list[Surface], view: View, light: Light) -> None:
    """Paint surfaces onto `canvas` uint8 [H, W, 4] (RGB and part), the farthest quadrilaterals first."""
    quads, normals = zip(*(_facing(view.turn(surface.vertices)) for surface in surfaces), strict=True)
    quad, normal = np.concatenate(quads), np.concatenate(normals)
    colour = np.concatenate([surface.colours.reshape(-1, 3) for surface in surfaces])
    part = np.concatenate([np.full(surface.colours.size // 3, float(surface.part)) for surface in surfaces])
    seen = np.flatnonzero(normal[:, 2] > -0.05)
    seen = seen[np.argsort(quad[seen, :, 2].sum(axis=1), kind="stable")]
    normal = normal[seen]
    lit = np.clip(normal @ np.asarray(light.towards), 0, None)
    shade = np.sqrt(light.ambient + light.direct * lit + light.sky * (0.5 + 0.5 * normal[:, 1]))
    colours = np.column_stack([np.clip(colour[seen] * shade[:, None] * 255, 0, 255), part[seen]]).tolist()
    points = np.round(view.project(quad[seen]) * 16).astype(np.int32)
    for corners, paint_ in zip(points, colours, strict=True):
        cv2.fillConvexPoly(canvas, corners, paint_, cv2.LINE_8, 4)


def _facing(turned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corner points [Q, 4, 3] and unit outward normals [Q, 3] of the quadrilaterals of a turned grid [K, N, 3]."""
    quads = _quads(turned)
    normal = _cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1])
    outward = (quads.mean(axis=1) - np.repeat(_middle(turned), turned.shape[1], axis=0)) * normal
    size = np.sqrt((normal * normal).sum(axis=1, keepdims=True)) + 1e-12
    return quads, normal * (np.sign(outward.sum()) / size)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product of [Q, 3] and [Q, 3]; numpy's own spends more on its options than on the product."""
    return np.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        axis=1,
    )


def _quads(grid: np.ndarray) -> np.ndarray:
    """Corner points [(K-1) N, 4, 3] of a grid [K, N, 3] that wraps around N."""
    after = np.roll(grid, -1, axis=1)
    return np.stack([grid[:-1], after[:-1], after[1:], grid[1:]], axis=2).reshape(-1, 4, 3)


def _middle(grid: np.ndarray) -> np.ndarray:
    """Middle [K-1, 3] of each strip of a grid [K, N, 3]."""
    middle = grid.mean(axis=1)
    return 0.5 * (middle[1:] + middle[:-1])
