"""Training pictures that made ones are nearest to, also mirrored: where a generator has memorised, it is seen here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from synreid.data.sheets import beside, sheet, shown_scale, titled
from synreid.features.embedders import Embedder
from synreid.features.framing import resized
from synreid.quality.neighbours import Measure, Neighbours, mirror, nearest, unit_vectors

PIXEL_HEIGHT = 64  # larger pictures are shrunk to about this height before their pixels are compared
OWN = 500  # training pictures whose own nearest ones give the distances a scale


def pixel_vectors(pictures: np.ndarray) -> np.ndarray:
    """Return the pixels themselves, uint8 [N, D], of uint8 pictures [N, H, W, 3], shrunk to a height of about 64."""
    factor = -(-pictures.shape[1] // PIXEL_HEIGHT)
    height, width = pictures.shape[1] // factor, max(1, pictures.shape[2] // factor)
    return resized(pictures, height, width).reshape(len(pictures), -1)


def compare(measure: Measure, real: np.ndarray, made: np.ndarray, k: int) -> tuple[Neighbours, float | None]:
    """Return the k training pictures nearest to each made one, and how near training pictures are to each other.

    `real` and `made` are uint8 [N, H, W, 3] and [M, H, W, 3]. The second value is the median distance of up to 500
    training pictures to their own nearest other one; None where there is no other. Mirror images count in both.
    """
    vectors = measure(real)
    found = nearest(vectors, measure(made), measure(mirror(made)), min(k, len(real)))
    if len(real) < 2:
        return found, None
    own = np.linspace(0, len(real) - 1, min(OWN, len(real))).astype(int)
    among = nearest(vectors, vectors[own], measure(mirror(real[own])), 2)
    others = np.where(among.index != own[:, None], among.distance, np.inf).min(axis=1)
    return found, float(np.median(others))


def nearest_sheet(
    real: np.ndarray, made: np.ndarray, seeds: Sequence[int], embedder: Embedder, neighbours: int, pairs: int
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return samples beside their nearest training pictures as a page, uint8 [H, W, 3], and its numbers.

    `real` and `made` are uint8 [N, H, W, 3] and [M, H, W, 3], `seeds` [M] those of the samples. On the left, nearness
    is the cosine of the embedder's features, on the right the root mean square difference of pixels, 0 to 255. Either
    half has the `pairs` samples with the closest training picture, the closest first. A training picture that is near
    as its mirror image is shown mirrored, and its caption says so.
    """
    length = pixel_vectors(made[:1]).shape[1]
    halves, numbers = [], []
    for name, measure, value, digits in (
        (f"cosine of {embedder.name} features", unit_vectors(embedder), lambda d: 1 - d * d / 2, 3),
        ("pixel difference (RMS, 0-255)", pixel_vectors, lambda d: d / math.sqrt(length), 1),
    ):
        found, own = compare(measure, real, made, neighbours)
        shown, values = found.order()[:pairs], value(found.distance)
        usual = None if own is None else value(own)
        title = f"By {name}: the closest of {len(made):,} samples\n"
        title += f"beside their nearest of {len(real):,} training pictures."
        if usual is not None:
            title += f"\nA training picture's own nearest other has {usual:.{digits}f} (median)."
        halves.append(titled(_rows(real, made, seeds, found, values, shown, digits), title))
        rows = [_numbers(found, values, row, seeds[row]) for row in shown.tolist()]
        numbers.append({"by": name, "training_median": usual, "pairs": rows})
    return beside(*halves), numbers


def _rows(
    real: np.ndarray,
    made: np.ndarray,
    seeds: Sequence[int],
    found: Neighbours,
    values: np.ndarray,
    shown: np.ndarray,
    digits: int,
) -> np.ndarray:
    """Return the samples `shown`, a row each, beside their neighbours with `values` [M, k] below, as a page."""
    cells, captions = [], []
    for row in shown:
        cells.append(made[row])
        captions.append(f"seed {seeds[row]}\n")
        for index, flipped, number in zip(found.index[row], found.mirrored[row], values[row], strict=True):
            cells.append(real[index, :, ::-1] if flipped else real[index])
            captions.append(f"{number:.{digits}f}\n{'mirrored' if flipped else ''}")
    columns = 1 + values.shape[1]
    heads = ["made", "nearest", *(f"{place}." for place in range(2, columns))]
    return sheet(cells, columns, captions, scale=shown_scale(real.shape[1]), heads=heads)


def _numbers(found: Neighbours, values: np.ndarray, row: int, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "rows": found.index[row].tolist(),
        "mirrored": found.mirrored[row].tolist(),
        "values": values[row].round(4).tolist(),
    }
