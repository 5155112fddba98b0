"""The dressed body without head and bags: trunk, arms, legs, skirt and shoes as surfaces."""

from __future__ import annotations

import numpy as np

from synreid.data.street.body import SIDES, Skeleton
from synreid.data.street.patterns import BACK, FRONT, cloth, from_angle
from synreid.data.street.persons import Person
from synreid.data.street.surfaces import Part, Surface, angles, folds, polyline, rings, tube

AROUND = 40
# The trunk from crotch to neck, in parts of the body height above the hips: height, half width, half depth.
_LEVELS = np.array([-0.060, -0.035, 0.000, 0.050, 0.100, 0.150, 0.200, 0.235, 0.262, 0.282, 0.298, 0.312, 0.335])
_WIDTHS = np.array([0.060, 0.088, 0.097, 0.090, 0.082, 0.087, 0.098, 0.101, 0.099, 0.086, 0.058, 0.036, 0.030])
_DEPTHS = np.array([0.050, 0.064, 0.068, 0.063, 0.058, 0.063, 0.070, 0.069, 0.062, 0.052, 0.042, 0.034, 0.032])
_HIPS = np.array([0.006, 0.011, 0.013, 0.006, -0.006, -0.006, -0.005, -0.008, -0.011, -0.010, -0.004, -0.004, -0.004])
_BUST = np.array([0.0, 0.004, 0.006, 0.0, -0.004, 0.0, 0.012, 0.010, 0.0, 0.0, 0.0, 0.0, 0.0])
# A leg from hip to ankle: place along it (knee at 0.5), radius in parts of the body height.
_LEG = (
    [0.0, 0.12, 0.25, 0.40, 0.5, 0.62, 0.75, 0.9, 1.0],
    [0.060, 0.056, 0.050, 0.041, 0.034, 0.035, 0.031, 0.023, 0.022],
)
_ARM = ([0.0, 0.15, 0.35, 0.5, 0.62, 0.85, 1.0], [0.033, 0.031, 0.028, 0.025, 0.025, 0.019, 0.016])


def hem_level(person: Person) -> float:
    """Where the upper garment ends, in parts of the body height above the hips."""
    kind, hem = person.upper.kind, person.upper.hem
    return {
        "t-shirt": -0.01 - 0.035 * hem,
        "shirt": 0.03 - 0.08 * hem,
        "jacket": 0.02 - 0.07 * hem,
        "coat": -0.12 - 0.14 * hem,
        "dress": -0.14 - 0.16 * hem,
    }[kind]


def trunk(person: Person, bones: Skeleton, rng: np.random.Generator) -> Surface:
    """Trunk from crotch to neck: skin above the collar, the upper garment, below its hem the lower garment."""
    h, upper, body = bones.height, person.upper, person.body
    level = np.linspace(_LEVELS[-1], _LEVELS[0], 38)
    dressed = (level >= hem_level(person)) & (level < 0.305)
    girth = 0.78 + 0.22 * body.girth if body.girth < 1 else body.girth
    width = np.interp(level, _LEVELS, _WIDTHS + body.curves * _HIPS) * h * (0.5 + 0.5 * girth)
    depth = np.interp(level, _LEVELS, _DEPTHS + body.curves * _BUST) * h * girth
    belly = max(0.0, body.girth - 1.0) * 0.05 * h * np.exp(-(((level - 0.08) / 0.07) ** 2))
    if upper.kind in ("t-shirt", "jacket", "coat"):
        # Loose cloth hangs from the chest; it does not follow the waist.
        width = np.where(level < 0.2, np.maximum(width, 0.093 * h * (0.5 + 0.5 * girth)), width)
        depth = np.where(level < 0.2, np.maximum(depth, 0.064 * h * girth), depth)
    ease = np.where(dressed, upper.ease * np.clip((0.31 - level) / 0.06, 0, 1), 0.004)
    base = bones.at["pelvis"]
    up = np.where(level[:, None] > 0, bones.trunk_up[None], np.array([[0.0, 0.0, 1.0]]))
    ahead = np.array([0.0, 1.0, 0.0]) - bones.trunk_up * bones.trunk_up[1]
    centres = base + up * (level * h)[:, None] + ahead[None] * (0.35 * belly)[:, None]
    grid = rings(centres, np.outer(width + ease, [1.0, 0, 0]), np.outer(depth + belly * 0.7 + ease, ahead), AROUND, 2.4)
    middle = 0.5 * (level[1:] + level[:-1])
    colours = _trunk_colours(person, middle, h)
    colours *= folds(rng, colours.shape[:2], (9, 10), 0.07) * folds(rng, colours.shape[:2], (19, 14), 0.07)
    return Surface(grid, colours, Part.TRUNK)


def _trunk_colours(person: Person, level: np.ndarray, h: float) -> np.ndarray:
    upper, angle = person.upper, angles(AROUND)
    around, down = angle * 0.15, (0.30 - level) * h
    colours = cloth(upper.pattern, upper.colour, upper.second, upper.scale, around, down)
    ahead, behind = from_angle(angle, FRONT), from_angle(angle, BACK)
    if upper.pattern == "logo":
        side, place, size = upper.print_at
        facing = behind if upper.print_on_back else ahead
        inside = (np.abs(facing[None] - side * 0.5) / (0.55 * size)) ** 2 + (
            (down - place * 0.4)[:, None] / (0.09 * size)
        ) ** 2
        colours[inside < 1] = upper.second
    if upper.kind == "shirt" and upper.pattern == "plain":
        colours[:, np.abs(ahead) < 0.08] *= 0.86
    if upper.open:
        gap = upper.open * np.clip(0.4 + down / 0.45, 0, 1.2)
        colours[np.abs(ahead)[None] < gap[:, None]] = upper.inner
    elif upper.kind in ("jacket", "coat"):
        colours[:, np.abs(ahead) < 0.08] *= 0.72
    if upper.hood:
        hood = (np.abs(behind)[None] < 1.1) & ((down > 0.01) & (down < 0.13))[:, None]
        colours[hood] *= 0.82
    low = (0.030 if upper.kind == "dress" else 0.018) * np.clip(
        1 - (ahead / (0.7 if upper.kind == "dress" else 0.55)) ** 2, 0, 1
    )
    neckline = 0.302 - low
    colours[level[:, None] > neckline[None]] = person.body.skin
    if upper.kind in ("shirt", "coat", "jacket"):
        collar = (level[:, None] > 0.296) & (level[:, None] < 0.318) & (np.abs(ahead) > 0.5)[None]
        colours[collar] = np.asarray(upper.colour) * 0.9
    below = level < hem_level(person)
    lower = person.lower if upper.kind != "dress" else None
    colours[below] = lower.colour if lower else upper.colour
    colours[np.argmin(np.abs(level - hem_level(person)))] *= 0.8
    # The arms keep light from the sides.
    return colours * (1 - 0.22 * np.cos(angle) ** 2 * (np.abs(level - 0.12) < 0.14)[:, None])[:, :, None]


def skirt(person: Person, bones: Skeleton, rng: np.random.Generator) -> list[Surface]:
    """What hangs around both legs: a skirt, a dress's or a coat's lower part; nothing for the others."""
    upper, lower = person.upper, person.lower
    made = []
    if lower.kind == "skirt" and upper.kind != "dress":
        made.append(
            _bell(
                person,
                bones,
                0.06,
                _hem_of_skirt(person),
                0.004,
                0.25 + 0.75 * lower.flare,
                (lower.pattern, lower.colour, lower.second),
                0.0,
                rng,
            )
        )
    if upper.kind in ("dress", "coat"):
        opening = upper.open if upper.kind == "coat" else 0.0
        made.append(
            _bell(
                person,
                bones,
                0.04,
                hem_level(person),
                upper.ease + 0.006,
                0.3 + 0.6 * upper.hem,
                (upper.pattern, upper.colour, upper.second),
                opening,
                rng,
            )
        )
    return made


def _bell(
    person: Person,
    bones: Skeleton,
    top: float,
    bottom: float,
    ease: float,
    flare: float,
    look: tuple[str, tuple[float, float, float], tuple[float, float, float]],
    opening: float,
    rng: np.random.Generator,
) -> Surface:
    h, girth = bones.height, person.body.girth
    level = np.linspace(top, bottom, 22)
    fall = np.clip(-level / 0.4, 0, 1)
    front, back = _legs_reach(person, bones, level * h)
    base = 0.068 * h * girth + ease
    front = np.maximum(front + ease, base * (1 - fall)) + flare * 0.05 * fall
    back = np.minimum(back - ease, -base * (1 - fall)) - flare * 0.05 * fall
    width = (np.interp(level, _LEVELS, _WIDTHS + person.body.curves * _HIPS) * h * (0.5 + 0.5 * girth)).clip(0.09 * h)
    width = width + ease + flare * 0.10 * fall
    centres = bones.at["pelvis"] + np.outer(level * h, [0, 0, 1.0]) + np.outer(0.5 * (front + back), [0, 1.0, 0])
    depth = 0.5 * (front - back)
    wave = 1 + 0.05 * flare * np.outer(fall, np.sin(np.arange(AROUND) * 2 * np.pi * 7 / AROUND + rng.uniform(0, 6)))
    grid = rings(centres, np.outer(width, [1.0, 0, 0]), np.outer(depth, [0, 1.0, 0]), AROUND, 2.2)
    grid = centres[:, None] + (grid - centres[:, None]) * wave[:, :, None]
    middle = 0.5 * (level[1:] + level[:-1])
    angle = angles(AROUND)
    colours = cloth(*look, person.upper.scale, angle * 0.17, (0.30 - middle) * h)
    if opening:
        colours[:, np.abs(from_angle(angle, FRONT)) < opening * 0.8] = np.asarray(person.lower.colour) * 0.9
    colours *= folds(rng, colours.shape[:2], (4, 16), 0.08 + 0.05 * flare)
    return Surface(grid, colours, Part.SKIRT)


def _legs_reach(person: Person, bones: Skeleton, drop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far forward and back the legs come at heights `drop` [K] (metres from the hips), each [K]."""
    ahead, behind = [], []
    for name in SIDES.values():
        points = np.stack([bones.at[f"{name} {joint}"] - bones.at["pelvis"] for joint in ("ankle", "knee", "hip")])
        radius = np.interp(drop, points[:, 2], [0.03, 0.042, 0.064]) * bones.height * (0.45 + 0.55 * person.body.girth)
        middle = np.interp(drop, points[:, 2], points[:, 1])
        ahead.append(middle + radius)
        behind.append(middle - radius)
    return np.maximum(*ahead), np.minimum(*behind)


def _hem_of_skirt(person: Person) -> float:
    """Lowest cloth around both legs, in parts of the body height above the hips."""
    skirt_hem = -0.05 - 0.40 * person.lower.length if person.lower.kind == "skirt" else 0.1
    return hem_level(person) if person.upper.kind == "dress" else skirt_hem


def leg(person: Person, bones: Skeleton, side: int, rng: np.random.Generator) -> list[Surface]:
    """One leg in trousers, shorts, tights or skin, with its shoe."""
    name, lower, h = SIDES[side], person.lower, bones.height
    hip, knee, ankle = (bones.at[f"{name} {joint}"] for joint in ("hip", "knee", "ankle"))
    path = polyline([hip + np.array([0.0, 0.0, 0.01 * h]), knee, ankle], [14, 14])
    path[12:17] = 0.5 * path[12:17] + 0.25 * (path[11:16] + path[13:18])
    along = np.linspace(0, 1, len(path))
    radius = np.interp(along, *_LEG) * h * (0.45 + 0.55 * person.body.girth)
    bare = person.upper.kind == "dress" or lower.kind == "skirt"
    covered = along <= (0.0 if bare else 1.0 if lower.kind == "trousers" else lower.length + 0.1)
    loose = lower.width + (0.012 * lower.flare * (along > 0.5) if lower.kind == "trousers" else 0.012)
    radius = radius + np.where(covered, loose * np.clip(along * 5, 0, 1), 0)
    grid = tube(path, radius, np.array([0.0, 1.0, 0.0]), 18)
    middle = 0.5 * (along[1:] + along[:-1])
    cloth_at = covered[1:] if not bare else np.zeros(len(middle), bool)
    colours = cloth(lower.pattern, lower.colour, lower.second, 1.0, angles(18) * 0.08, middle * 0.49 * h + 0.2)
    skin = np.asarray(lower.tights if bare and lower.tights else person.body.skin)
    colours[~cloth_at] = skin
    things = person.things
    if things.sock is not None:
        colours[(~cloth_at) & (middle > 0.84)] = things.sock
    if things.shoes == "boots":
        colours[middle > (0.72 if bare else 0.93)] = things.shoe_colour
    # Between the legs it is dark.
    colours *= (1 - 0.3 * np.outer(np.clip(1.1 - middle, 0, 1), np.clip(-side * np.cos(angles(18)), 0, 1)))[:, :, None]
    crumple = folds(rng, colours.shape[:2], (10, 5), 0.08) * folds(rng, colours.shape[:2], (20, 9), 0.06)
    colours *= np.where(cloth_at[:, None, None], crumple, 1.0)
    part = Part.RIGHT_LEG if side == 1 else Part.LEFT_LEG
    hem = bones.at["pelvis"][2] + _hem_of_skirt(person) * h
    # What a skirt hides is not drawn, so that no knee pokes through.
    first = max(int(np.argmax(path[:, 2] < hem)) - 1, 0) if bare else 0
    return [Surface(grid[first:], colours[first:], part), _shoe(person, bones, side, part)]


def _shoe(person: Person, bones: Skeleton, side: int, part: Part) -> Surface:
    h, things = bones.height, person.things
    ankle, ahead = bones.at[f"{SIDES[side]} ankle"], bones.feet_forward[side]
    along = np.array([-0.030, -0.028, -0.01, 0.03, 0.07, 0.10, 0.112, 0.114]) * h
    wide = np.array([0.0, 0.017, 0.021, 0.021, 0.024, 0.021, 0.012, 0.0]) * h
    high = np.array([0.0, 0.026, 0.030, 0.028, 0.019, 0.014, 0.009, 0.0]) * h
    right = np.array([1.0, 0, 0])
    up = np.cross(right, ahead)
    centres = ankle + np.outer(along, ahead) + np.outer(high * 0.72 - 0.040 * h, up)
    grid = rings(centres, np.outer(wide, right), np.outer(high * 0.8, up), 14, 2.5)
    colours = np.tile(np.asarray(things.shoe_colour), (7, 14, 1)).astype(float)
    colours[:, np.sin(angles(14)) < -0.55] = things.sole
    if things.shoes == "sandals":
        colours[1:6:2] = person.body.skin
    return Surface(grid, colours, part)


def arm(person: Person, bones: Skeleton, side: int, rng: np.random.Generator) -> list[Surface]:
    """One arm with its sleeve and its hand."""
    name, upper, h = SIDES[side], person.upper, bones.height
    shoulder, elbow, wrist = (bones.at[f"{name} {joint}"] for joint in ("shoulder", "elbow", "wrist"))
    path = polyline([shoulder, elbow, wrist], [10, 9])
    path[9:12] = 0.5 * path[9:12] + 0.25 * (path[8:11] + path[10:13])
    along = np.linspace(0, 1, len(path))
    radius = np.interp(along, *_ARM) * h * (0.5 + 0.5 * person.body.girth) * (1 - 0.12 * person.body.curves)
    covered = along <= upper.sleeve
    radius = radius + np.where(covered, upper.ease * 0.6 + (0.12 * along if upper.sleeve < 0.5 else 0.0), 0)
    # A round shoulder: a hemisphere before the first ring.
    round_ = np.radians([4.0, 35.0, 65.0])
    top = shoulder + np.outer(np.cos(round_) * radius[0] * 0.9, (shoulder - elbow) / np.linalg.norm(shoulder - elbow))
    path, radius = np.concatenate([top, path]), np.concatenate([radius[0] * np.sin(round_), radius])
    along = np.concatenate([np.zeros(3), along])
    grid = tube(path, radius, np.array([0.0, 1.0, 0.3]), 14)
    middle = 0.5 * (along[1:] + along[:-1])
    pattern = "plain" if upper.pattern in ("logo", "gradient", "blocks") else upper.pattern
    colours = cloth(pattern, upper.sleeve_colour, upper.second, upper.scale, angles(14) * 0.05, middle * 0.32 * h)
    colours *= folds(rng, colours.shape[:2], (7, 4), 0.08) * folds(rng, colours.shape[:2], (15, 6), 0.06)
    colours[middle > upper.sleeve] = person.body.skin
    part = Part.RIGHT_ARM if side == 1 else Part.LEFT_ARM
    return [Surface(grid, colours, part), _hand(person, elbow, wrist, h, part)]


def _hand(person: Person, elbow: np.ndarray, wrist: np.ndarray, h: float, part: Part) -> Surface:
    ahead = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    along = np.array([-0.01, 0.0, 0.02, 0.045, 0.066, 0.075]) * h
    radius = np.array([0.010, 0.017, 0.022, 0.021, 0.013, 0.001]) * h
    grid = tube(wrist + np.outer(along, ahead), radius, np.array([0.0, 1.0, 0.3]), 10, 0.75)
    return Surface(grid, np.tile(np.asarray(person.body.skin), (5, 10, 1)), part)
