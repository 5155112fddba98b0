"""Head, face, hair and hat as surfaces."""

from __future__ import annotations

import numpy as np

from synreid.data.street.body import Skeleton
from synreid.data.street.patterns import FRONT, from_angle
from synreid.data.street.persons import Person
from synreid.data.street.surfaces import Part, Surface, angles, folds, rings

AROUND, DOWN = 28, 22


def head(person: Person, bones: Skeleton, rng: np.random.Generator) -> list[Surface]:
    """Skull with face and close hair, neck, long hair behind it, and the hat."""
    right, ahead, up = _axes(bones)
    made = [_skull(person, bones, right, ahead, up, rng), _neck(person, bones)]
    if person.hair.style in ("long", "tail", "bun"):
        made.append(_behind(person, bones, right, ahead, up, rng))
    if person.things.hat != "none":
        made.extend(_hat(person, bones, right, ahead, up))
    return made


def _axes(bones: Skeleton) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ahead = bones.head_forward
    right = np.array([ahead[1], -ahead[0], 0.0]) / np.hypot(ahead[0], ahead[1])
    return right, ahead, np.cross(right, ahead)


def _skull(
    person: Person, bones: Skeleton, right: np.ndarray, ahead: np.ndarray, up: np.ndarray, rng: np.random.Generator
) -> Surface:
    h, hair = bones.height, person.hair
    # Polar angle from the crown; the chin is narrower and lies ahead of the middle.
    polar = np.linspace(0.02, np.pi - 0.02, DOWN + 1)
    level = np.cos(polar)
    size = np.sin(polar) * np.where(level < 0, 1 - 0.22 * level**2, 1.0)
    wide, deep = 0.043 * h * size, 0.053 * h * size
    centres = bones.at["head"] + np.outer(0.065 * h * level, up) + np.outer(0.010 * h * np.clip(-level, 0, 1), ahead)
    grid = rings(centres, np.outer(wide, right), np.outer(deep, ahead), AROUND)
    middle = 0.5 * (level[1:] + level[:-1])
    angle = angles(AROUND)
    covered = _hairline(person, middle, from_angle(angle, FRONT))
    colours = np.tile(np.asarray(person.body.skin), (DOWN, AROUND, 1)).astype(float)
    _features(colours, person, middle, from_angle(angle, FRONT))
    strands = folds(rng, (DOWN, AROUND), (5, 8), 0.12)
    colours = np.where(covered[:, :, None], np.asarray(hair.colour) * strands, colours)
    puff = {"bald": 0.0, "short": 0.08, "medium": 0.16, "long": 0.10, "tail": 0.06, "bun": 0.05}[hair.style]
    swell = 1 + puff * np.pad(covered, ((0, 1), (0, 0)), mode="edge")[:, :, None]
    return Surface(centres[:, None] + (grid - centres[:, None]) * swell, colours, Part.HEAD)


def _hairline(person: Person, level: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """Where on the skull [K, N] hair grows: above the brow in front, to the nape behind."""
    style, parting = person.hair.style, person.hair.parting
    if style == "bald":
        return np.zeros((len(level), len(ahead)), bool)
    nape = {"short": -0.45, "medium": -0.85, "long": -1.0, "tail": -0.55, "bun": -0.5}[style]
    brow = 0.42 + 0.12 * parting * np.sin(ahead)
    temple = {"short": 0.95, "medium": 1.1, "long": 0.95, "tail": 1.15, "bun": 1.15}[style]
    line = np.where(np.abs(ahead) < temple, brow, np.where(np.abs(ahead) < temple + 0.55, max(nape, -0.15), nape))
    return level[:, None] > line[None]


def _features(colours: np.ndarray, person: Person, level: np.ndarray, ahead: np.ndarray) -> None:
    """Brows, eyes, nose, mouth, beard and glasses: a few dark cells are all that a crop of this size shows."""
    for side in (-1, 1):
        eye = (np.abs(level - 0.16) < 0.09)[:, None] & (np.abs(ahead - side * 0.42) < 0.19)[None]
        colours[eye] *= 0.55
    mouth = (np.abs(level + 0.48) < 0.07)[:, None] & (np.abs(ahead) < 0.34)[None]
    colours[mouth] *= np.array([0.80, 0.55, 0.55])
    below_nose = (np.abs(level + 0.22) < 0.06)[:, None] & (np.abs(ahead) < 0.16)[None]
    colours[below_nose] *= 0.8
    colours[(level < -0.72)[:, None] & np.ones_like(ahead, bool)[None]] *= 0.82
    if person.hair.beard:
        beard = (level < -0.30)[:, None] & (np.abs(ahead) < 1.3)[None]
        colours[beard] = 0.5 * colours[beard] + 0.5 * np.asarray(person.hair.colour)
    if person.hair.glasses:
        frame = (np.abs(level - 0.14) < 0.10)[:, None] & (np.abs(ahead) < 0.8)[None]
        colours[frame] *= 0.45


def _neck(person: Person, bones: Skeleton) -> Surface:
    h = bones.height
    part = np.linspace(0, 1, 5)[:, None]
    centres = bones.at["neck"] * (1 - part) + (bones.at["head"] - [0, 0, 0.04 * h]) * part
    centres[0] -= np.array([0, 0, 0.01 * h])
    radius = np.full(5, 0.030 * h * (0.7 + 0.3 * person.body.girth) * (1 - 0.12 * person.body.curves))
    grid = rings(centres, np.outer(radius, [1.0, 0, 0]), np.outer(radius, [0, 1.0, 0]), 16)
    return Surface(grid, np.tile(np.asarray(person.body.skin) * 0.85, (4, 16, 1)), Part.HEAD)


def _behind(
    person: Person, bones: Skeleton, right: np.ndarray, ahead: np.ndarray, up: np.ndarray, rng: np.random.Generator
) -> Surface:
    """Hair that leaves the skull: hanging long, as a tail, or as a bun."""
    h, style = bones.height, person.hair.style
    part = np.linspace(0, 1, 10)
    down = np.array([0.0, 0.0, -1.0])
    if style == "bun":
        size = np.sin(np.pi * np.clip(part, 0.02, 0.98)) * 0.026 * h
        centres = bones.at["head"] + np.outer((part - 0.5) * 0.05 * h, up) - 0.062 * h * ahead + 0.03 * h * up
        wide = deep = size
    elif style == "tail":
        centres = bones.at["head"] - 0.060 * h * ahead + 0.02 * h * up + np.outer(part * 0.15 * h, down)
        centres -= np.outer(np.sin(np.pi * part) * 0.015 * h, ahead)
        wide = deep = 0.016 * h * np.sin(np.pi * np.clip(0.12 + 0.84 * part, 0, 1)) + 0.004
    else:
        length = (0.13 + 0.06 * person.hair.parting) * h
        centres = bones.at["head"] - 0.026 * h * ahead + np.outer(part * length - 0.02 * h, down)
        centres -= np.outer(np.clip(part - 0.4, 0, 1) * 0.035 * h, ahead)
        wide = 0.049 * h * (1 - 0.15 * part**2) * np.clip((1.05 - part) * 6, 0, 1)
        deep = 0.034 * h * (1 - 0.3 * part) * np.clip((1.05 - part) * 6, 0, 1)
    grid = rings(centres, np.outer(wide, right), np.outer(deep, ahead), 20)
    colours = np.tile(np.asarray(person.hair.colour), (9, 20, 1)) * folds(rng, (9, 20), (3, 8), 0.14)
    return Surface(grid, colours, Part.HAIR)


def _hat(person: Person, bones: Skeleton, right: np.ndarray, ahead: np.ndarray, up: np.ndarray) -> list[Surface]:
    h, things = bones.height, person.things
    rim = 0.40 if things.hat == "cap" else 0.18
    level = np.linspace(1.0, rim, 8)
    size = np.sqrt(np.clip(1 - level**2, 0.0004, 1)) * (1.17 if things.hat == "cap" else 1.22)
    centres = bones.at["head"] + np.outer(0.074 * h * level, up)
    grid = rings(centres, np.outer(0.047 * h * size, right), np.outer(0.057 * h * size, ahead), 24)
    colours = np.tile(np.asarray(things.hat_colour), (7, 24, 1)).astype(float)
    if things.hat == "beanie":
        colours[-2:] *= 0.8
        return [Surface(grid, colours, Part.HAT)]
    part = np.linspace(0, 1, 5)
    brim = bones.at["head"] + np.outer(0.05 * h + 0.055 * h * part, ahead) + np.outer(0.026 * h - 0.01 * h * part, up)
    wide = 0.040 * h * np.sqrt(np.clip(1 - (0.9 * part) ** 2, 0.02, 1))
    visor = rings(brim, np.outer(wide, right), np.outer(np.full(5, 0.004 * h), up), 14)
    shade = np.tile(np.asarray(things.hat_colour) * 0.8, (4, 14, 1))
    return [Surface(grid, colours, Part.HAT), Surface(visor, shade, Part.HAT)]
