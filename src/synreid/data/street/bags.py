"""Bags: on the back, on the shoulder with its strap, or in the hand."""

from __future__ import annotations

import numpy as np

from synreid.data.street.body import SIDES, Skeleton
from synreid.data.street.persons import Person
from synreid.data.street.surfaces import Part, Surface, folds, polyline, rings, tube

_X, _Y, _Z = np.eye(3)


def bag(person: Person, bones: Skeleton, rng: np.random.Generator) -> list[Surface]:
    """Surfaces of the person's bag, none for a person without one."""
    kind = person.things.bag
    if kind == "backpack":
        return _backpack(person, bones, rng)
    if kind == "shoulder bag":
        return _shoulder_bag(person, bones, rng)
    return _hand_bag(person, bones, rng) if kind == "hand bag" else []


def _box(
    centre: np.ndarray, half: tuple[float, float, float], colour: np.ndarray, taper: float, rng: np.random.Generator
) -> Surface:
    """A soft box with half sizes (across, deep, high), narrower at its top by `taper`."""
    level = np.array([1.0, 0.98, 0.9, 0.7, 0.45, 0.15, -0.15, -0.5, -0.8, -0.93, -1.0])
    size = np.array([0.02, 0.7, 0.92, 1.0, 1.0, 1.0, 1.0, 1.0, 0.97, 0.85, 0.02]) * (1 - taper * np.clip(level, 0, 1))
    centres = centre + np.outer(level * half[2], _Z)
    grid = rings(centres, np.outer(size * half[0], _X), np.outer(size * half[1], _Y), 24, 3.5)
    colours = np.tile(colour, (10, 24, 1)) * folds(rng, (10, 24), (5, 6), 0.08)
    return Surface(grid, colours, Part.BAG)


def _backpack(person: Person, bones: Skeleton, rng: np.random.Generator) -> list[Surface]:
    h, size, girth = bones.height, person.things.bag_size, person.body.girth
    colour = np.asarray(person.things.bag_colour)
    back = 0.062 * h * girth + person.upper.ease
    deep = 0.045 * h * size
    centre = bones.at["chest"] - _Y * (back + deep * 0.8) - _Z * 0.035 * h
    made = [_box(centre, (0.080 * h * size, deep, 0.115 * h * size), colour, 0.15, rng)]
    pocket = centre - _Y * deep * 0.75 - _Z * 0.04 * h
    made.append(_box(pocket, (0.058 * h * size, deep * 0.5, 0.055 * h * size), colour * 0.82, 0.05, rng))
    front = 0.066 * h * girth + person.upper.ease + 0.006
    for side in SIDES:
        across = side * 0.060 * h * _X
        top = bones.at["chest"] + across + 0.072 * h * _Z
        path = polyline(
            [
                top - _Y * back,
                top + 0.012 * h * _Z,
                top + _Y * front * 0.85 - 0.02 * h * _Z,
                bones.at["chest"] + across * 1.1 + _Y * front - 0.05 * h * _Z,
                bones.at["chest"] + across * 1.5 + _Y * front * 0.5 - 0.12 * h * _Z,
            ],
            [4, 4, 5, 5],
        )
        made.append(_strap(path, colour * 0.8, 0.013))
    return made


def _strap(path: np.ndarray, colour: np.ndarray, radius: float) -> Surface:
    grid = tube(path, np.full(len(path), radius), np.array([0.3, 0.8, 0.5]), 6)
    return Surface(grid, np.tile(colour, (len(path) - 1, 6, 1)), Part.BAG)


def _shoulder_bag(person: Person, bones: Skeleton, rng: np.random.Generator) -> list[Surface]:
    h, size, girth, side = bones.height, person.things.bag_size, person.body.girth, person.things.side
    colour = np.asarray(person.things.bag_colour)
    hip = bones.at["pelvis"] + side * 0.125 * h * girth * _X + 0.01 * h * _Z
    made = [_box(hip - 0.02 * h * _Y, (0.030 * h * size, 0.075 * h * size, 0.062 * h * size), colour, 0.1, rng)]
    front = 0.074 * h * girth + person.upper.ease + 0.008
    far = bones.at["chest"] - side * 0.058 * h * _X + 0.085 * h * _Z
    middle = bones.at["chest"] - 0.06 * h * _Z + side * 0.03 * h * _X
    for ahead in (1, -1):
        path = polyline(
            [
                far,
                far + ahead * _Y * front * 0.8 - 0.03 * h * _Z,
                middle + ahead * _Y * front,
                hip + ahead * _Y * front * 0.7 + 0.05 * h * _Z,
            ],
            [5, 9, 8],
        )
        made.append(_strap(path, colour * 0.8, 0.010))
    return made


def _hand_bag(person: Person, bones: Skeleton, rng: np.random.Generator) -> list[Surface]:
    h, size, side = bones.height, person.things.bag_size, person.things.side
    wrist = bones.at[f"{SIDES[side]} wrist"]
    colour = np.asarray(person.things.bag_colour)
    centre = wrist - _Z * (0.075 * h + 0.075 * h * size) + side * 0.01 * h * _X
    made = [_box(centre, (0.022 * h * size, 0.075 * h * size, 0.070 * h * size), colour, 0.2, rng)]
    hand = wrist - _Z * 0.05 * h
    for ahead in (1, -1):
        path = polyline([hand, centre + ahead * _Y * 0.035 * h + _Z * 0.06 * h * size], [5])
        made.append(_strap(path, colour * 0.75, 0.006))
    return made
