"""Scores of made pictures: pedestrian, SSIM to the first picture, likeness to one's person, nearness to a duplicate.

Pictures are read block by block, so that memory does not grow with their number; features are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from synreid.data.table import groups
from synreid.features.detectors import Detector
from synreid.features.embedders import Embedder, PixelEmbedder
from synreid.features.ssim import ssim
from synreid.quality.distribution import Reach
from synreid.quality.neighbours import unit_length
from synreid.stage.errors import UserError
from synreid.stage.machine import cores
from synreid.stage.progress import progress

BLOCK = 128
ROWS = 8192  # of features at a time
NEIGHBOURS = 3  # of a real picture, for realism


class Rows:
    """Some rows of a mapped array `[N, H, W, 3]`, read when they are asked for."""

    def __init__(self, pictures: np.ndarray, rows: np.ndarray) -> None:
        self._pictures, self._rows = pictures, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: slice | int | np.integer) -> np.ndarray:
        return np.asarray(self._pictures[self._rows[place]])


Pictures = np.ndarray | Rows


def pedestrian(pictures: Pictures, detector: Detector) -> np.ndarray:
    """Pedestrian score `[N]` in [0, 1] of uint8 `[N, H, W, 3]`."""
    scores = np.zeros(len(pictures), dtype=np.float32)
    with progress(f"pedestrian score ({detector.name})", total=len(pictures)) as bar:
        for start in range(0, len(pictures), BLOCK):
            block = np.asarray(pictures[start : start + BLOCK])
            scores[start : start + len(block)] = detector.score(block)
            bar.advance(len(block))
    return scores


def embed(pictures: Pictures, embedder: Embedder) -> np.ndarray:
    """Features `[N, D]`, each row divided by its length, of uint8 `[N, H, W, 3]`."""
    parts = []
    with progress(f"features ({embedder.name})", total=len(pictures)) as bar:
        for part in _blocks(pictures):
            features = _finite(embedder.embed(part), embedder)
            parts.append(unit_length(features))
            bar.advance(len(features))
    return np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.float32)


def realism(pictures: Pictures, real: Pictures, embedder: Embedder) -> np.ndarray:
    """Realism `[N]` of uint8 pictures `[N, H, W, 3]` among real ones, as `quality.distribution.Reach` has it."""
    reach = Reach.of(np.concatenate([_finite(embedder.embed(part), embedder) for part in _blocks(real)]), NEIGHBOURS)
    scores = []
    with progress(f"realism ({embedder.name})", total=len(pictures)) as bar:
        for part in _blocks(pictures):
            scores.append(reach.realism(_finite(embedder.embed(part), embedder)))
            bar.advance(len(part))
    return np.concatenate(scores) if scores else np.zeros(0)


def ssim_to_first(pictures: Pictures, persons: np.ndarray, data_range: int = 255) -> np.ndarray:
    """SSIM `[N]` of each picture with the first one of its person (1 for that one itself)."""
    first = _first_of_person(persons)
    scores, others = np.ones(len(pictures)), np.flatnonzero(first != np.arange(len(pictures)))
    scores[others] = ssim_of_pairs(pictures, np.stack([first[others], others], axis=1), data_range)
    return scores


def ssim_of_pairs(pictures: Pictures, pairs: np.ndarray, data_range: int = 255) -> np.ndarray:
    """SSIM `[P]` of the pictures that `pairs` `[P, 2]` names by row, by several threads."""
    scores = np.zeros(len(pairs))

    def fill(place: slice) -> int:
        for k in range(place.start, place.stop):
            scores[k] = ssim(pictures[pairs[k, 0]], pictures[pairs[k, 1]], data_range)
        return place.stop - place.start

    places = [slice(start, min(start + BLOCK, len(pairs))) for start in range(0, len(pairs), BLOCK)]
    with ThreadPoolExecutor(cores()) as pool, progress("SSIM", len(pairs), "pairs") as bar:
        for done in pool.map(fill, places):
            bar.advance(done)
    return scores


def to_own_mean(features: np.ndarray, persons: np.ndarray) -> np.ndarray:
    """Cosine `[N]` of each picture's features `[N, D]` to the mean of its person's other pictures; nan if it has none.

    The mean of the others, not the first picture: one odd first picture would discard all the rest. More pictures give
    a steadier mean and higher values, so compare persons with about equally many.
    """
    _, index, counts = np.unique(persons, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), features.shape[1]))
    np.add.at(sums, index, features)
    cosine = np.zeros(len(features))
    for start in range(0, len(features), ROWS):  # all of them at once would be many times the features in memory
        own = features[start : start + ROWS]
        others = sums[index[start : start + ROWS]] - own
        cosine[start : start + ROWS] = np.sum(others * own, axis=1) / _lengths(others, own)
    return np.where(counts[index] > 1, cosine, np.nan)


def to_real_mean(
    features: np.ndarray,
    persons: np.ndarray,
    parents: np.ndarray,
    real: np.ndarray,
    real_persons: np.ndarray,
    real_sha256: np.ndarray,
) -> np.ndarray:
    """Cosine `[N]` of each variation's features `[N, D]` to the mean of its person's other real pictures.

    `parents`, objects `[N]`, are the sets of `sha256` of the person's pictures that a variation comes from; the mean
    goes over the rows of `real` `[M, D]` of the same person without those, so that the number is of one kind with
    `to_own_mean` of real pictures, who do not count themselves either. Where none is left it goes over all of them,
    which gives higher values. Raises KeyError for a person without a real picture.
    """
    members = {real_persons[rows[0]]: rows for rows in groups(real_persons)}
    means = np.empty((len(features), real.shape[1]))
    for k, (person, own) in enumerate(zip(persons, parents, strict=True)):
        others = [row for row in members[person] if real_sha256[row] not in own]
        means[k] = real[others if others else members[person]].mean(0, dtype=np.float64)
    cosine: np.ndarray = np.sum(means * features, axis=1) / _lengths(means, features)
    return cosine


def to_other_mean(features: np.ndarray, persons: np.ndarray, seed: int = 0) -> np.ndarray:
    """Cosine `[N]` of each picture to the mean of another person drawn at random: what a wrong picture would score."""
    names, index = np.unique(persons, return_inverse=True)
    if len(names) < 2:
        return np.full(len(features), np.nan)
    sums = np.zeros((len(names), features.shape[1]))
    np.add.at(sums, index, features)
    rng = np.random.default_rng(seed)
    other = (index + rng.integers(1, len(names), size=len(index))) % len(names)
    cosine: np.ndarray = np.sum(sums[other] * features, axis=1) / _lengths(sums[other], features)
    return cosine


def rank_of_person(values: np.ndarray, persons: np.ndarray) -> np.ndarray:
    """Rank `[N]` of each picture within its person, 1 for the highest value; nan comes last, ties in their order."""
    ranks = np.zeros(len(values))
    for rows in groups(persons):
        order = np.argsort(-values[rows], kind="stable")
        ranks[rows[order]] = np.arange(1, len(rows) + 1)
    return ranks


def to_earlier(pictures: Pictures, persons: np.ndarray) -> np.ndarray:
    """Smallest mean absolute difference `[N]` to an earlier picture of the person; nan for a person's first picture.

    In grey levels of 255, at 16x8 pixels.
    """
    pixels = PixelEmbedder()
    small = np.concatenate([pixels.embed(part) for part in _blocks(pictures)] or [np.zeros((0, 1), dtype=np.float32)])
    nearest = np.full(len(pictures), np.nan)
    for rows in groups(persons):
        for place in range(1, len(rows)):
            differences = np.abs(small[rows[:place]] - small[rows[place]]).mean(1)
            nearest[rows[place]] = 255.0 * differences.min()
    return nearest


def _finite(features: np.ndarray, embedder: Embedder) -> np.ndarray:
    if not np.isfinite(features).all():
        raise UserError(f"{embedder.name} gives features that are not finite numbers; check it, or take another one.")
    return features


def _blocks(pictures: Pictures) -> Iterator[np.ndarray]:
    return (np.asarray(pictures[start : start + BLOCK]) for start in range(0, len(pictures), BLOCK))


def _first_of_person(persons: np.ndarray) -> np.ndarray:
    _, first, index = np.unique(persons, return_index=True, return_inverse=True)
    of_each: np.ndarray = first[index]
    return of_each


def _lengths(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12))
