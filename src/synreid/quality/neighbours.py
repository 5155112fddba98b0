"""Which pictures of one set lie nearest to those of another, mirror images included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from synreid.features.embedders import Embedder

BLOCK = 1024  # training pictures at a time

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


def unit_length(features: np.ndarray) -> np.ndarray:
    """Return features [N, D] at length 1; zeros stay zeros.

    Between those, the Euclidean distance d and the cosine are one thing: the cosine is 1 - d^2 / 2.
    """
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def unit_vectors(embedder: Embedder) -> Measure:
    """Return a function from pictures, uint8 [N, H, W, 3], to the embedder's features at length 1, float32 [N, D]."""
    return lambda pictures: unit_length(embedder.embed(pictures))


def mirror(pictures: np.ndarray) -> np.ndarray:
    """Return pictures [N, H, W, 3] with left and right exchanged."""
    return np.ascontiguousarray(pictures[:, :, ::-1])


SPARE = 4  # more are searched than are wanted, since float32 may order near ones wrongly


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
        kept = np.argsort(squared, axis=1, kind="stable")[:, : k + SPARE]
        index, squared, flipped = (np.take_along_axis(x, kept, axis=1) for x in (index, squared, flipped))
    distance = np.zeros(index.shape)
    for row in range(m):
        own = np.where(flipped[row, :, None], mirrored[row], made[row]).astype(np.float64)
        distance[row] = np.linalg.norm(own - real[index[row]], axis=1)
    exact = np.argsort(distance, axis=1, kind="stable")[:, :k]
    return Neighbours(*(np.take_along_axis(x, exact, axis=1) for x in (index, flipped, distance)))
