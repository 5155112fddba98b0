"""One picture of the street: background, person, others in the way, camera, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from synreid.data.street import things
from synreid.data.street.body import GESTURES, Pose
from synreid.data.street.cameras import CAMERAS, Camera, code, decode, expose
from synreid.data.street.figure import Dressed, Figure, dress, paint_dressed, paint_person
from synreid.data.street.persons import draw_person
from synreid.data.street.scenes import scene
from synreid.data.street.seeds import PICTURE, chance, pick, stream
from synreid.data.street.surfaces import Light, View
from synreid.data.street.world import Shot

HEIGHT, WIDTH, OVER = 128, 64, 3
_CANVAS = HEIGHT * OVER


@dataclass(frozen=True)
class Picture:
    """A taken picture uint8 [height, width, 3] RGB and its truth: joints [18, 2] in pixels of it, which are visible
    [18], the share of the person's pixels in the crop that others cover, and the share of the person's box outside of
    the crop.
    """

    rgb: np.ndarray
    joints: np.ndarray
    visible: np.ndarray
    occluded: float
    cut: float


def draw_picture(seed: int, shot: Shot, height: int = HEIGHT, width: int = WIDTH) -> Picture:
    """Take the picture that `shot` plans in the world `seed`."""
    person, camera = draw_person(seed, shot.person), CAMERAS[shot.camera - 1]
    rng = stream(seed, PICTURE, shot.person, shot.index)
    dressed = dress(person, shot.pose, rng)
    view, wide = _frame(dressed, camera, shot, rng)
    light = _light_here(camera.light, rng)
    canvas = _background(seed, camera, shot, view, wide)
    _shadow(canvas, camera, view)
    if chance(rng, 0.22):
        _somebody(canvas, seed, camera, view, rng, behind=True)
    canvas[:, :, 3] = 0
    figure = paint_dressed(canvas, dressed, view, light)
    own = canvas[:, :, 3].copy()
    if chance(rng, camera.busy):
        canvas[:, :, 3] = 0
        _in_front(canvas, seed, camera, view, rng)
        own[canvas[:, :, 3] > 0] = 0
    before, after = int(np.count_nonzero(figure.mask)), int(np.count_nonzero(own))
    joints = figure.joints * [width / wide, height / _CANVAS]
    return Picture(
        rgb=_take(canvas[:, :, :3], camera, shot, rng, height, width),
        joints=joints.astype(np.float32),
        visible=figure.seen & _uncovered(own, figure),
        occluded=1 - after / max(before, 1),
        cut=_cut(figure, wide),
    )


def _frame(dressed: Dressed, camera: Camera, shot: Shot, rng: np.random.Generator) -> tuple[View, int]:
    """The view that puts the person into the crop as a careless detector would, and the canvas width."""
    pitch = camera.pitch(shot.row, dressed.bones.height)
    sharp = View(shot.yaw, pitch, camera.distance(shot.row), 1.0, 0.0, 0.0)
    left, top, right, bottom = dressed.box(sharp)
    sloppy = camera.sloppy
    fill = float(np.clip(rng.normal(0.93, 0.045 * sloppy), 0.7, 1.12))
    if chance(rng, 0.06 * sloppy):
        fill = float(rng.uniform(1.12, 1.4))
    scale = fill * _CANVAS / (bottom - top)
    # A detector's box follows the person's width, and all boxes are squeezed to one shape.
    wide = _CANVAS * np.clip(0.36 + 0.45 * ((right - left) / (bottom - top) - 0.3) + rng.normal(0, 0.025), 0.31, 0.55)
    x = wide / 2 - scale * (left + right) / 2 + wide * rng.normal(0, 0.045 * sloppy)
    slack = _CANVAS - scale * (bottom - top)
    share = float(np.clip(rng.normal(0.5, 0.18), 0, 1)) if fill < 1.1 else float(rng.uniform(0, 0.25))
    y = slack * share - scale * top
    return View(shot.yaw, pitch, sharp.distance, scale, float(x), float(y)), round(wide)


def _light_here(usual: Light, rng: np.random.Generator) -> Light:
    """The camera's usual light as a cloud, a tree or a wall changes it."""
    towards = np.asarray(usual.towards) + rng.normal(0, 0.25, 3) * [1, 0.4, 1]
    right, up, near = (towards / np.linalg.norm(towards)).tolist()
    direct = usual.direct * float(rng.uniform(0.45, 1.3))
    return Light((right, up, near), usual.ambient + 0.25 * (usual.direct - direct), direct, usual.sky)


def _background(seed: int, camera: Camera, shot: Shot, view: View, wide: int) -> np.ndarray:
    """The part of the scene that lies behind the person, uint8 [384, wide, 4]."""
    zoom = camera.scale(shot.row) / view.scale
    warp = np.array([[zoom, 0, shot.x - zoom * view.x], [0, zoom, shot.row - zoom * view.y]])
    seen = cv2.warpAffine(
        scene(seed, camera.number),
        warp,
        (wide, _CANVAS),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.dstack([seen, np.zeros(seen.shape[:2], np.uint8)])


def _shadow(canvas: np.ndarray, camera: Camera, view: View) -> None:
    """Soft darkness under the feet and a cast shadow away from the lamp."""
    small = np.zeros((_CANVAS // 4, canvas.shape[1] // 4), np.uint8)
    metre, flat = view.scale / 4, max(0.18, np.sin(view.pitch))
    x, y = view.x / 4, view.y / 4
    right, up, near = camera.light.towards
    reach = 1.2 * metre / max(up, 0.4)
    tip = (x - right * reach, y - near * reach * flat)
    middle = ((x + tip[0]) / 2, (y + tip[1]) / 2)
    length = float(np.hypot(tip[0] - x, tip[1] - y)) / 2 + 0.2 * metre
    turned = float(np.degrees(np.arctan2(tip[1] - y, tip[0] - x)))
    strength = 200 * camera.light.direct
    cv2.ellipse(
        small,
        (round(middle[0]), round(middle[1])),
        (round(length), round(0.22 * metre)),
        turned,
        0,
        360,
        strength * 0.45,
        -1,
    )
    cv2.ellipse(small, (round(x), round(y)), (round(0.36 * metre), round(0.36 * metre * flat) + 2), 0, 0, 360, 130, -1)
    soft = cv2.GaussianBlur(small, (0, 0), 0.09 * metre + 1)
    shade = cv2.resize(soft, (canvas.shape[1], _CANVAS), interpolation=cv2.INTER_LINEAR)
    canvas[:, :, :3] = (canvas[:, :, :3] * (1 - shade[:, :, None].astype(np.float32) / 300)).astype(np.uint8)


def _somebody(
    canvas: np.ndarray, seed: int, camera: Camera, view: View, rng: np.random.Generator, behind: bool
) -> None:
    """Another passer-by, behind the person or cutting into the picture in front."""
    other = draw_person(seed, 10000 + int(rng.integers(1000)))
    pose = Pose(float(rng.uniform(0, 6.3)), 0.9, 0.04, 0.1, 0.0, pick(rng, GESTURES), 1)
    size = rng.uniform(0.62, 0.95) if behind else rng.uniform(1.0, 1.15)
    aside = float(rng.choice([-1, 1])) * rng.uniform(0.25, 0.6) * canvas.shape[1]
    drop = (size - 1) * camera.lens * view.scale * (0.25 if behind else 0.6)
    spot = View(
        float(rng.uniform(0, 2 * np.pi)), view.pitch, view.distance, view.scale * size, view.x + aside, view.y + drop
    )
    paint_person(canvas, other, pose, spot, camera.light, rng)


def _in_front(canvas: np.ndarray, seed: int, camera: Camera, view: View, rng: np.random.Generator) -> None:
    """Something between the camera and the person; what it covers is non-zero in the fourth channel."""
    kind = pick(rng, {"somebody": 0.4, "bicycle": 0.22, "pole": 0.18, "railing": 0.1, "bin_": 0.1})
    if kind == "somebody":
        _somebody(canvas, seed, camera, view, rng, behind=False)
        return
    metre = view.scale * rng.uniform(1.0, 1.25)
    x = view.x + rng.uniform(-0.45, 0.45) * canvas.shape[1]
    getattr(things, kind)(canvas, x, view.y + rng.uniform(0.05, 0.35) * metre, metre, rng, 255.0)


def _take(
    sharp: np.ndarray, camera: Camera, shot: Shot, rng: np.random.Generator, height: int, width: int
) -> np.ndarray:
    """Pass a canvas through the camera, its coding and the resizing of the crop."""
    rows = round(float(rng.uniform(*camera.pixels)))
    columns = round(rows * sharp.shape[1] / sharp.shape[0])
    sensor = cv2.resize(sharp, (columns, rows), interpolation=cv2.INTER_AREA)
    exposed = expose(sensor, camera, shot.stops, np.asarray(shot.tint), rng)
    coded = decode(code(exposed, int(rng.integers(camera.quality[0], camera.quality[1] + 1))))
    return cv2.resize(coded, (width, height), interpolation=cv2.INTER_AREA if rows > height else cv2.INTER_CUBIC)


def _uncovered(own: np.ndarray, figure: Figure) -> np.ndarray:
    """Which joints [18] lie on a pixel of the person that nothing covers."""
    inside = np.floor(figure.joints).astype(int)
    valid = (inside >= 0).all(axis=1) & (inside[:, 0] < own.shape[1]) & (inside[:, 1] < own.shape[0])
    x, y = np.where(valid[:, None], inside, 0).T
    return valid & (own[y, x] > 0)


def _cut(figure: Figure, wide: int) -> float:
    """Share of the person's bounding box that lies outside of the crop."""
    left, top, right, bottom = figure.box
    inside = max(0.0, min(right, wide) - max(left, 0)) * max(0.0, min(bottom, _CANVAS) - max(top, 0))
    return 1 - inside / max((right - left) * (bottom - top), 1e-6)
