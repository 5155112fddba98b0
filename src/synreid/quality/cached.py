"""Features of a fixed set of pictures, computed once and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from synreid.data.cache import cache_folder, keep
from synreid.features.embedders import Embedder
from synreid.stage.arrays import DAMAGED, read_array
from synreid.stage.fingerprint import fingerprint
from synreid.stage.progress import progress

VERSION = 1  # raise it when the same pictures and embedder would give other features
BLOCK = 1024  # pictures in memory at a time; whole batches of every embedder


def cached_features(pictures: np.ndarray, embedder: Embedder) -> np.ndarray:
    """Features, float32 `[N, D]`, of uint8 pictures `[N, H, W, 3]`, from the cache where they lie there.

    They are filed under the pictures' pixels (so their size and order, too) and the embedder's name and fingerprint.
    """
    path = cache_folder() / "features" / f"{_key(pictures, embedder)}.npy"
    found = _open(path, len(pictures))
    if found is None:
        found = embedded(blocks(pictures), len(pictures), embedder)
        keep(path, partial(np.save, arr=found))
    return found


def embedded(parts: Iterable[np.ndarray], total: int, embedder: Embedder) -> np.ndarray:
    """Features, float32 `[total, D]`, of pictures that come in parts, uint8 `[n, H, W, 3]`, of which none is kept."""
    features = []
    with progress(f"features of {embedder.name}", total, "pictures") as bar:
        for part in parts:
            features.append(embedder.embed(part).astype(np.float32, copy=False))
            bar.advance(len(part))
    return np.concatenate(features)


def blocks(pictures: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive parts of at most BLOCK pictures."""
    for start in range(0, len(pictures), BLOCK):
        yield pictures[start : start + BLOCK]


def _key(pictures: np.ndarray, embedder: Embedder) -> str:
    digest = hashlib.sha256()
    for part in blocks(pictures):
        digest.update(np.ascontiguousarray(part).data)
    return fingerprint(VERSION, pictures.shape, digest.hexdigest(), embedder.name, embedder.fingerprint)


def _open(path: Path, count: int) -> np.ndarray | None:
    """The stored array, or None where the file is missing, cut short or of another shape."""
    try:
        features = read_array(path)
    except DAMAGED:
        return None
    return features if features.ndim == 2 and len(features) == count and features.dtype == np.float32 else None
