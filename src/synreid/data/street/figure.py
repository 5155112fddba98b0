"""A whole person painted onto a canvas, and where the joints fall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synreid.data.street.bags import bag
from synreid.data.street.body import JOINTS, SIDES, Pose, Skeleton, skeleton
from synreid.data.street.clothes import arm, leg, skirt, trunk
from synreid.data.street.head import head
from synreid.data.street.persons import Person
from synreid.data.street.surfaces import Light, Part, Surface, View, paint


@dataclass(frozen=True)
class Figure:
    """A painted person: joints [18, 2] in canvas pixels, whether each is `seen` (not turned away, covered by the
    person's own parts or outside the canvas), `mask` bool [H, W] of the person's pixels, and the `box` (left, top,
    right, bottom) of everything painted, canvas pixels.
    """

    joints: np.ndarray
    seen: np.ndarray
    mask: np.ndarray
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Dressed:
    """A person in a pose, ready to be painted: the skeleton and all surfaces."""

    bones: Skeleton
    surfaces: list[Surface]

    def box(self, view: View) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of everything, in the pixels of `view`."""
        return _box(self.surfaces, view)


def paint_person(
    canvas: np.ndarray, person: Person, pose: Pose, view: View, light: Light, rng: np.random.Generator
) -> Figure:
    """Paint a person in a pose onto `canvas` uint8 [H, W, 4] (RGB and part, 0 where nobody is); `rng` gives the
    folds.
    """
    return paint_dressed(canvas, dress(person, pose, rng), view, light)


def paint_dressed(canvas: np.ndarray, figure: Dressed, view: View, light: Light) -> Figure:
    """Paint a dressed person onto `canvas` as `paint_person` does."""
    bones, surfaces = figure.bones, figure.surfaces
    paint(canvas, surfaces, view, light)
    joints = view.project(view.turn(bones.joints()))
    return Figure(joints, _seen(canvas, bones, joints, view), canvas[:, :, 3] > 0, _box(surfaces, view))


def dress(person: Person, pose: Pose, rng: np.random.Generator) -> Dressed:
    """The surfaces of a person in a pose; `rng` gives the folds of the clothes."""
    bones = skeleton(person.body, pose)
    made = [trunk(person, bones, rng), *skirt(person, bones, rng), *head(person, bones, rng), *bag(person, bones, rng)]
    for side in SIDES:
        made += leg(person, bones, side, rng) + arm(person, bones, side, rng)
    return Dressed(bones, made)


def _box(surfaces: list[Surface], view: View) -> tuple[float, float, float, float]:
    spots = np.concatenate([view.project(view.turn(s.vertices)).reshape(-1, 2) for s in surfaces])
    (left, top), (right, bottom) = spots.min(axis=0), spots.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def _seen(canvas: np.ndarray, bones: Skeleton, joints: np.ndarray, view: View) -> np.ndarray:
    """Which joints a viewer could point at, [18] bool: the pixel shows the joint's own part and the part is turned
    this way.
    """
    height, width = canvas.shape[:2]
    right_near = float(view.turn(np.array([1.0, 0.0, 0.0]))[2])
    gaze = view.turn(bones.head_forward)
    ear = view.turn(np.array([bones.head_forward[1], -bones.head_forward[0], 0.0]))[2]
    seen = np.zeros(len(JOINTS), bool)
    for index, name in enumerate(JOINTS):
        x, y = np.floor(joints[index]).astype(int)
        if not (0 <= x < width and 0 <= y < height):
            continue
        side = 1 if name.startswith("right") else -1 if name.startswith("left") else 0
        shows = Part(int(canvas[y, x, 3])) if canvas[y, x, 3] else None
        seen[index] = shows in _OWN[name] and _turned_here(name, side, right_near, float(gaze[2]), float(ear))
    return seen


def _turned_here(name: str, side: int, right_near: float, gaze: float, ear: float) -> bool:
    if name == "nose":
        return gaze > 0.0
    if name.endswith("eye"):
        return gaze + 0.5 * side * ear > 0.1
    if name.endswith("ear"):
        return side * ear > -0.15
    if name.endswith(("shoulder", "hip")):
        return side * right_near > -0.75
    return True


def _own(name: str) -> set[Part]:
    right = name.startswith("right")
    if name.endswith(("nose", "eye", "ear")):
        return {Part.HEAD}
    if name.endswith(("elbow", "wrist")):
        return {Part.RIGHT_ARM if right else Part.LEFT_ARM}
    if name.endswith(("knee", "ankle")):
        return {Part.RIGHT_LEG if right else Part.LEFT_LEG, Part.SKIRT}
    if name.endswith("hip"):
        return {Part.TRUNK, Part.SKIRT, Part.RIGHT_LEG if right else Part.LEFT_LEG}
    if name == "neck":
        return {Part.TRUNK, Part.HEAD, Part.HAIR}
    return {Part.TRUNK, Part.RIGHT_ARM if right else Part.LEFT_ARM, Part.BAG}


_OWN = {name: _own(name) for name in JOINTS}
