"""Training pictures that made ones are nearest to, also mirrored: where a generator has memorised, it is seen here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synreid.data.sheets import sheet, shown_scale, titled
from synreid.features.embedders import Embedder, resized

BLOCK = 1024  # training pictures at a time
PIXEL_HEIGHT = 64  # larger pictures are shrunk to about this height before their pixels are compared
OWN = 500  # training pictures whose own nearest ones give the distances a scale

GUTTER = 24  # pixels between the two halves of the sheet

Measure = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Neighbours:
    """Each made picture's nearest training pictures, the nearest first, each array [M, k]."""

    index: np.ndarray
    """Row of the training picture."""
    mirrored: np.ndarray
    """Whether it is the training picture's mirror image that is near."""
    distance: np.ndarray
    """Euclidean distance between the two feature vectors, 0 or more."""

    def order(self) -> np.ndarray:
        """Return the made pictures' numbers [M], the one with the closest training picture first."""
        return np.argsort(self.distance[:, 0], kind="stable")


def pixel_vectors(pictures: np.ndarray) -> np.ndarray:
    """Return the pixels themselves, uint8 [N, D], of uint8 pictures [N, H, W, 3], shrunk to a height of about 64."""
    factor = -(-pictures.shape[1] // PIXEL_HEIGHT)
    height, width = pictures.shape[1] // factor, max(1, pictures.shape[2] // factor)
    return resized(pictures, height, width).reshape(len(pictures), -1)


def unit_vectors(embedder: Embedder) -> Measure:
    """Return a function from pictures, uint8 [N, H, W, 3], to the embedder's features at length 1, float32 [N, D].

    Between those, the Euclidean distance d and the cosine are one thing: the cosine is 1 - d^2 / 2.
    """

    def measure(pictures: np.ndarray) -> np.ndarray:
        features = embedder.embed(pictures)
        return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)

    return measure


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


def mirror(pictures: np.ndarray) -> np.ndarray:
    """Return pictures [N, H, W, 3] with left and right exchanged."""
    return np.ascontiguousarray(pictures[:, :, ::-1])


def nearest(real: np.ndarray, made: np.ndarray, mirrored: np.ndarray, k: int) -> Neighbours:
    """Return the k rows of `real` [N, D] nearest to each row of `made` or else to the same row of `mirrored` [M, D].

    A row of `real` counts once, by the nearer of the two; equally near ones come in their order. The search goes by
    |a|^2 + |b|^2 - 2ab in float32; distances of what it finds are then taken anew and exactly, so that a copy has 0.
    """
    m = len(made)
    both = np.concatenate([made, mirrored]).astype(np.float32)
    lengths = np.square(both).sum(1, keepdims=True)
    index, squared, flipped = np.zeros((m, 0), int), np.zeros((m, 0), np.float32), np.zeros((m, 0), bool)
    for start in range(0, len(real), BLOCK):
        block = np.asarray(real[start : start + BLOCK]).astype(np.float32)
        values = lengths + np.square(block).sum(1) - 2.0 * (both @ block.T)
        new = np.broadcast_to(np.arange(start, start + len(block)), (m, len(block)))
        index = np.concatenate([index, new], axis=1)
        squared = np.concatenate([squared, np.minimum(values[:m], values[m:])], axis=1)
        flipped = np.concatenate([flipped, values[m:] < values[:m]], axis=1)
        kept = np.argsort(squared, axis=1, kind="stable")[:, :k]
        index, squared, flipped = (np.take_along_axis(x, kept, axis=1) for x in (index, squared, flipped))
    distance = np.zeros(index.shape)
    for row in range(m):
        own = np.where(flipped[row, :, None], mirrored[row], made[row]).astype(np.float64)
        distance[row] = np.linalg.norm(own - real[index[row]], axis=1)
    exact = np.argsort(distance, axis=1, kind="stable")
    return Neighbours(*(np.take_along_axis(x, exact, axis=1) for x in (index, flipped, distance)))


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
    return _beside(*halves), numbers


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


def _beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return two pages, uint8 [H, W, 3] each, as one."""
    height = max(len(left), len(right))
    page = np.full((height, left.shape[1] + GUTTER + right.shape[1], 3), 255, dtype=np.uint8)
    page[: len(left), : left.shape[1]] = left
    page[: len(right), -right.shape[1] :] = right
    return page
