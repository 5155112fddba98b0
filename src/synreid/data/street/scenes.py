"""What a camera looks at when nobody is there: ground in perspective, a backdrop, and things along it."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from synreid.data.street import things
from synreid.data.street.cameras import CAMERAS, FOCAL, SCENE_HEIGHT, SCENE_WIDTH, Camera
from synreid.data.street.seeds import SCENE, stream

# Ground: base colour, tile size in metres (across, along), contrast between tiles, darkness of the joints.
# Backdrop: the row of the scene at which it stands.
_GROUNDS = {
    "bicycles": ((132, 131, 130), (0.45, 0.45), 0.05, 0.13),
    "paving": ((130, 128, 126), (0.60, 0.30), 0.07, 0.16),
    "wall": ((130, 130, 131), (0.80, 0.80), 0.04, 0.10),
    "lawn": ((136, 135, 132), (0.30, 0.30), 0.06, 0.10),
    "doorway": ((128, 128, 128), (1.20, 0.60), 0.04, 0.12),
    "road": ((117, 117, 117), (8.0, 8.0), 0.01, 0.03),
}
_BACKDROP = {"bicycles": 290, "paving": 190, "wall": 370, "lawn": 180, "doorway": 400, "road": 190}


@lru_cache(maxsize=12)
def scene(seed: int, number: int) -> np.ndarray:
    """The empty scene of camera `number` in the world `seed`, uint8 [720, 1280, 3] RGB."""
    camera = CAMERAS[number - 1]
    rng = stream(seed, SCENE, number)
    picture = _ground(camera, rng)
    edge = _BACKDROP[camera.scene] + float(rng.uniform(-25, 15))
    _marks(picture, camera, edge, rng)
    _DRAW[camera.scene](picture, edge, camera.scale(edge), rng)
    _furnish(picture, camera, edge, rng)
    # Light and colour drift over the ground: no two places before a camera look alike.
    light = _cloud(rng, (5, 9), 0.20)[:, :, None] + _cloud(rng, (5, 9, 3), 0.035) + _cloud(rng, (72, 128, 3), 0.025)
    grain = rng.normal(0, 3.0, (*picture.shape[:2], 1)).astype(np.float32)
    return np.clip(picture * np.exp(light) + grain, 0, 255).astype(np.uint8)


def _ground(camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Tiles or asphalt on the ground plane, uint8 [720, 1280, 3]."""
    colour, (across, along), contrast, joint = _GROUNDS[camera.scene]
    rows = np.arange(SCENE_HEIGHT, dtype=np.float32)
    scale = np.maximum(rows - camera.horizon, 1.0) / camera.lens
    depth = np.broadcast_to((FOCAL / scale)[:, None], (SCENE_HEIGHT, SCENE_WIDTH))
    aside = (np.arange(SCENE_WIDTH, dtype=np.float32)[None] - SCENE_WIDTH / 2) / scale[:, None]
    turn = rng.uniform(-0.6, 0.6)
    u = (aside * np.cos(turn) + depth * np.sin(turn)) / across + 1000
    v = (depth * np.cos(turn) - aside * np.sin(turn)) / along + 1000
    table = np.exp(rng.normal(0, contrast, (64, 64)))
    value = table[u.astype(np.int64) % 64, v.astype(np.int64) % 64]
    pixel_u, pixel_v = 1 / (scale[:, None] * across), 2.5 * depth / FOCAL / along
    gap = np.maximum(_joint(u, pixel_u), _joint(v, pixel_v))
    dirt = sum(
        _cloud(rng, cells, spread) for cells, spread in (((20, 36), 0.06), ((72, 128), 0.055), ((240, 430), 0.05))
    )
    shade = value * (1 - joint * gap) * np.exp(dirt)
    grit = np.exp(rng.normal(0, 0.06, (SCENE_HEIGHT, SCENE_WIDTH)).astype(np.float32))
    tint = np.asarray(colour, float) * rng.uniform(0.88, 1.1) * np.exp(rng.normal(0, 0.006, 3))
    return np.clip((shade * grit)[:, :, None] * tint, 0, 255).astype(np.uint8)


def _cloud(rng: np.random.Generator, cells: tuple[int, ...], spread: float) -> np.ndarray:
    """Smooth noise over the whole scene with `cells` (rows, columns and perhaps channels) of freedom."""
    grid = rng.normal(0, spread, cells).astype(np.float32)
    return cv2.resize(grid, (SCENE_WIDTH, SCENE_HEIGHT), interpolation=cv2.INTER_CUBIC)


def _joint(place: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Darkness of the joints between tiles, thinner than a pixel far away."""
    from_joint = 0.5 - np.abs(np.mod(place, 1) - 0.5)
    wide = np.maximum(0.02, 0.7 * pixel)
    return np.clip(1 - from_joint / wide, 0, 1) * np.clip(0.02 / wide * 3, 0, 1)


def _marks(picture: np.ndarray, camera: Camera, edge: float, rng: np.random.Generator) -> None:
    """A strip of other paving, a kerb or lane lines."""
    row = edge + (SCENE_HEIGHT - edge) * rng.uniform(0.05, 0.3)
    if camera.scene == "road":
        for x in range(-400, SCENE_WIDTH + 400, 230):
            things.polygon(picture, [(x, 600), (x + 130, 600), (x + 140, 624), (x + 4, 624)], (205, 205, 200))
        things.box(picture, 0, edge, SCENE_WIDTH, row + 20, (150, 144, 138))
        things.box(picture, 0, row + 20, SCENE_WIDTH, row + 30, (182, 180, 176))
    elif camera.scene == "lawn":
        blades = np.array([112, 118, 99]) * np.exp(rng.normal(0, 0.22, (int(row + 20 - edge), SCENE_WIDTH, 1)))
        picture[int(edge) : int(edge) + len(blades)] = np.clip(blades, 0, 255).astype(np.uint8)
    elif camera.scene == "paving":
        slant = rng.uniform(-200, 200)
        things.polygon(
            picture,
            [(500, edge), (580, edge), (760 + slant, SCENE_HEIGHT), (560 + slant, SCENE_HEIGHT)],
            (166, 150, 118),
        )


def _hedge(picture: np.ndarray, edge: float, metre: float, rng: np.random.Generator) -> None:
    things.box(picture, 0, 0, SCENE_WIDTH, edge - 1.6 * metre, things.paintable(rng, 120, 170))
    for x in np.arange(0, SCENE_WIDTH + 60, 0.7 * metre):
        things.bush(picture, float(x), edge, metre * 1.3, rng)


def _building(picture: np.ndarray, edge: float, metre: float, rng: np.random.Generator) -> None:
    wall = things.paintable(rng, 120, 190, 10)
    things.box(picture, 0, 0, SCENE_WIDTH, edge, wall)
    for row in np.arange(edge, 0, -0.3 * metre):
        things.line(picture, (0, row), (SCENE_WIDTH, row), tuple(0.9 * c for c in wall), 1)
    glass = things.paintable(rng, 40, 90, 8)
    x = float(rng.uniform(-1, 0.5) * metre)
    while x < SCENE_WIDTH:
        wide = rng.uniform(0.9, 2.2) * metre
        foot = 0.0 if rng.random() < 0.35 else 0.9 * metre
        things.box(picture, x, edge - 2.4 * metre, x + wide, edge - foot, tuple(0.6 * c for c in wall))
        things.box(picture, x + 3, edge - 2.4 * metre + 3, x + wide - 3, edge - foot, glass)
        things.line(
            picture, (x + wide / 2, edge - 2.4 * metre), (x + wide / 2, edge - foot), tuple(0.6 * c for c in wall), 3
        )
        x += wide + rng.uniform(0.5, 2.5) * metre


def _plain_wall(picture: np.ndarray, edge: float, metre: float, rng: np.random.Generator) -> None:
    wall = things.paintable(rng, 110, 175, 6)
    things.box(picture, 0, 0, SCENE_WIDTH, edge, wall)
    for x in np.arange(rng.uniform(0, 1), 40, 1.2) * metre:
        things.line(picture, (x, 0), (x, edge), tuple(0.86 * c for c in wall), 2)
    things.box(picture, 0, edge - 0.25 * metre, SCENE_WIDTH, edge, tuple(0.6 * c for c in wall))


def _doorway(picture: np.ndarray, edge: float, metre: float, rng: np.random.Generator) -> None:
    things.box(picture, 0, 0, SCENE_WIDTH, edge, (54, 55, 57))
    x = float(rng.uniform(-1, 0) * metre)
    while x < SCENE_WIDTH:
        wide = rng.uniform(0.9, 1.6) * metre
        things.box(picture, x + 4, 0, x + wide - 4, edge, things.paintable(rng, 34, 90, 2.5))
        if rng.random() < 0.5:
            things.line(
                picture,
                (x + wide * 0.85, edge - 1.4 * metre),
                (x + wide * 0.85, edge - 0.9 * metre),
                (190, 190, 185),
                5,
            )
        if rng.random() < 0.25:
            things.box(picture, x, 0, x + 0.35 * metre, edge, things.paintable(rng, 90, 150))
        x += wide
    for step in range(3):
        row = edge + (6 + 26 * step)
        things.box(picture, 0, row, SCENE_WIDTH, row + 12, (70, 70, 74))
        things.box(picture, 0, row - 3, SCENE_WIDTH, row, (142, 142, 144))


_DRAW = {
    "bicycles": _hedge,
    "paving": _plain_wall,
    "wall": _plain_wall,
    "lawn": _hedge,
    "doorway": _doorway,
    "road": _building,
}


def _furnish(picture: np.ndarray, camera: Camera, edge: float, rng: np.random.Generator) -> None:
    """Things along the backdrop, far ones first."""
    many = {"bicycles": 26, "paving": 12, "wall": 12, "lawn": 10, "doorway": 4, "road": 10}[camera.scene]
    kinds = {
        "bicycles": ["bicycle"] * 6 + ["pole"],
        "paving": ["bicycle", "pole", "railing", "bin_", "bush", "far_person"],
        "wall": ["bicycle"] * 3 + ["railing", "bin_", "far_person"],
        "lawn": ["pole", "far_person", "bush", "bin_"],
        "doorway": ["bin_", "bush"],
        "road": ["car", "car", "pole", "far_person", "bicycle"],
    }[camera.scene]
    for row in sorted(rng.uniform(edge + 2, edge + 0.16 * (SCENE_HEIGHT - edge) + 8, many)):
        draw = getattr(things, str(rng.choice(kinds)))
        draw(picture, float(rng.uniform(0, SCENE_WIDTH)), float(row), camera.scale(float(row)), rng)
