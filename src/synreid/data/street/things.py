"""Things that stand in the street, drawn flat: bicycles, poles, bins, cars, bushes, railings, windows, far people."""

from __future__ import annotations

import cv2
import numpy as np

Rgb = tuple[float, ...]
_SHIFT = 4


def _at(x: float, y: float) -> tuple[int, int]:
    return round(x * 2**_SHIFT), round(y * 2**_SHIFT)


def line(canvas: np.ndarray, a: tuple[float, float], b: tuple[float, float], colour: Rgb, thick: float) -> None:
    """A smooth line between two points in pixels."""
    cv2.line(canvas, _at(*a), _at(*b), colour, max(1, round(thick)), cv2.LINE_AA, _SHIFT)


def box(canvas: np.ndarray, left: float, top: float, right: float, bottom: float, colour: Rgb) -> None:
    """A filled upright rectangle."""
    polygon(canvas, [(left, top), (right, top), (right, bottom), (left, bottom)], colour)


def polygon(canvas: np.ndarray, points: list[tuple[float, float]], colour: Rgb) -> None:
    """A filled polygon."""
    cv2.fillPoly(canvas, [np.array([_at(*point) for point in points])], colour, cv2.LINE_AA, _SHIFT)


def disc(canvas: np.ndarray, x: float, y: float, wide: float, high: float, colour: Rgb, thick: float = -1) -> None:
    """An ellipse with half axes `wide` and `high`, filled or as an outline of `thick` pixels."""
    axes = (max(1, round(wide * 2**_SHIFT)), max(1, round(high * 2**_SHIFT)))
    cv2.ellipse(
        canvas, _at(x, y), axes, 0, 0, 360, colour, -1 if thick < 0 else max(1, round(thick)), cv2.LINE_AA, _SHIFT
    )


def paintable(
    rng: np.random.Generator, low: float, high: float, spread: float = 12.0, alpha: float | None = None
) -> Rgb:
    """A dull random colour of brightness between `low` and `high` (0..255), with a fourth channel if `alpha` is
    given.
    """
    colour = np.clip(rng.uniform(low, high) + rng.normal(0, spread, 3), 0, 255)
    rgb = tuple(float(c) for c in colour)
    return rgb if alpha is None else (*rgb, alpha)


def bicycle(
    canvas: np.ndarray, x: float, ground: float, metre: float, rng: np.random.Generator, alpha: float | None = None
) -> None:
    """A bicycle seen from about its side, its wheels on row `ground`."""
    squeeze = rng.uniform(0.35, 1.0)
    dark = paintable(rng, 20, 70, 6, alpha)
    frame = paintable(rng, 40, 170, 16, alpha)
    wheel = 0.33 * metre
    gap = 0.52 * metre * squeeze
    for side in (-1, 1):
        disc(canvas, x + side * gap, ground - wheel, wheel * max(0.3, squeeze), wheel, dark, 0.045 * metre)
    seat, bar = (x - 0.25 * gap, ground - 0.85 * metre), (x + 0.75 * gap, ground - 0.95 * metre)
    pedal = (x - 0.05 * gap, ground - 0.30 * metre)
    for a, b in (
        (seat, pedal),
        (pedal, (x - gap, ground - wheel)),
        (seat, bar),
        (bar, (x + gap, ground - wheel)),
        (pedal, bar),
    ):
        line(canvas, a, b, frame, 0.045 * metre)
    disc(canvas, seat[0], seat[1] - 0.02 * metre, 0.13 * metre * squeeze, 0.04 * metre, dark)
    if rng.random() < 0.5:
        box(
            canvas,
            bar[0],
            bar[1] + 0.02 * metre,
            bar[0] + 0.3 * metre * squeeze,
            bar[1] + 0.28 * metre,
            paintable(rng, 60, 150, 10, alpha),
        )


def pole(
    canvas: np.ndarray, x: float, ground: float, metre: float, rng: np.random.Generator, alpha: float | None = None
) -> None:
    """A lamp post or bollard."""
    wide = rng.uniform(0.04, 0.11) * metre
    high = (1.0 if rng.random() < 0.35 else 6.0) * metre
    colour = np.asarray(paintable(rng, 40, 190, 6, alpha))
    for part in range(6):
        shade = colour * (0.75 + 0.09 * part if part < 4 else 1.4 - 0.13 * part)
        shade[3:] = colour[3:]
        left = x - wide + 2 * wide * part / 6
        box(canvas, left, ground - high, left + wide / 3, ground, tuple(np.clip(shade, 0, 255).tolist()))


def bin_(
    canvas: np.ndarray, x: float, ground: float, metre: float, rng: np.random.Generator, alpha: float | None = None
) -> None:
    """A litter bin or a box."""
    wide, high = rng.uniform(0.2, 0.45) * metre, rng.uniform(0.5, 1.0) * metre
    colour = paintable(rng, 50, 150, 12, alpha)
    box(canvas, x - wide, ground - high, x + wide, ground, colour)
    lid = tuple(0.6 * c for c in colour[:3]) + colour[3:]
    box(canvas, x - wide * 1.05, ground - high * 1.08, x + wide * 1.05, ground - high * 0.9, lid)


def railing(
    canvas: np.ndarray, x: float, ground: float, metre: float, rng: np.random.Generator, alpha: float | None = None
) -> None:
    """A stretch of railing."""
    colour = paintable(rng, 90, 220, 6, alpha)
    reach = rng.uniform(0.8, 2.5) * metre
    for level in (0.95, 0.55, 0.15):
        line(canvas, (x - reach, ground - level * metre), (x + reach, ground - level * metre), colour, 0.05 * metre)
    for post in np.arange(-reach, reach + 1, 0.8 * metre):
        line(canvas, (x + post, ground), (x + post, ground - 0.95 * metre), colour, 0.06 * metre)


def car(canvas: np.ndarray, x: float, ground: float, metre: float, rng: np.random.Generator) -> None:
    """A parked car from its side."""
    paint = paintable(rng, 40, 210, 6)
    glass = paintable(rng, 30, 80, 6)
    half = 2.1 * metre
    polygon(
        canvas,
        [
            (x - half, ground - 0.3 * metre),
            (x - half, ground - 0.85 * metre),
            (x - 0.55 * half, ground - 0.95 * metre),
            (x - 0.35 * half, ground - 1.45 * metre),
            (x + 0.4 * half, ground - 1.45 * metre),
            (x + 0.7 * half, ground - 0.95 * metre),
            (x + half, ground - 0.85 * metre),
            (x + half, ground - 0.3 * metre),
        ],
        paint,
    )
    polygon(
        canvas,
        [
            (x - 0.48 * half, ground - 0.95 * metre),
            (x - 0.31 * half, ground - 1.37 * metre),
            (x + 0.36 * half, ground - 1.37 * metre),
            (x + 0.60 * half, ground - 0.95 * metre),
        ],
        glass,
    )
    for side in (-0.62, 0.62):
        disc(canvas, x + side * half, ground - 0.32 * metre, 0.33 * metre, 0.33 * metre, (25.0, 25.0, 27.0))
        disc(canvas, x + side * half, ground - 0.32 * metre, 0.17 * metre, 0.17 * metre, (120.0, 120.0, 122.0))


def bush(canvas: np.ndarray, x: float, ground: float, metre: float, rng: np.random.Generator) -> None:
    """Leaves as many small discs."""
    wide, high = rng.uniform(0.5, 1.6) * metre, rng.uniform(0.5, 1.5) * metre
    base = np.array([72.0, 90.0, 58.0]) * rng.uniform(0.6, 1.2)
    for _ in range(170):
        dx, dy = rng.uniform(-1, 1), rng.uniform(0, 1)
        if dx**2 + (2 * dy - 1) ** 2 > 1.1:
            continue
        leaf = np.clip(base * rng.uniform(0.5, 1.0) * (0.6 + 0.6 * dy) + rng.normal(0, 6, 3), 0, 255)
        disc(canvas, x + dx * wide, ground - dy * high, 0.07 * metre, 0.05 * metre, tuple(leaf.tolist()))


def far_person(canvas: np.ndarray, x: float, ground: float, metre: float, rng: np.random.Generator) -> None:
    """Somebody in the distance."""
    shirt, trousers, hair = (paintable(rng, *shade) for shade in ((40, 200, 14), (30, 110, 8), (20, 45, 4)))
    skin = (178.0, 140.0, 118.0)
    stride = rng.uniform(0, 0.25) * metre
    for side in (-1, 1):
        line(
            canvas,
            (x + side * 0.06 * metre, ground - 0.85 * metre),
            (x + side * stride, ground),
            trousers,
            0.16 * metre,
        )
        line(
            canvas,
            (x + side * 0.19 * metre, ground - 1.35 * metre),
            (x + side * 0.25 * metre, ground - 0.85 * metre),
            shirt,
            0.1 * metre,
        )
    disc(canvas, x, ground - 1.14 * metre, 0.19 * metre, 0.33 * metre, shirt)
    disc(canvas, x, ground - 1.60 * metre, 0.085 * metre, 0.12 * metre, skin)
    disc(canvas, x, ground - 1.65 * metre, 0.09 * metre, 0.09 * metre, hair)
