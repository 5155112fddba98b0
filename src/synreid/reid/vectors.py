"""The nearest of many feature vectors: by comparing all of them, or by faiss among those of the nearest clusters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from synreid.reid.index_options import IndexOptions
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path
from synreid.stage.progress import progress

TOP = 10  # what recall counts
BLOCK_BYTES = 256 * 2**20  # of products at a time
ADDED = 65_536  # vectors put into clusters at a time
LEARNED = 64  # vectors a cluster that centres are learned from; four times as many take four times as long
FIRST_PROBES = 8
ROUNDING = 1e-6  # of a product of two vectors of unit length, in float32


def nearest_exact(vectors: np.ndarray, queries: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the `top` of `vectors` [G, D] with the largest product with each of `queries` [Q, D], the largest first.

    Products, float32 [Q, top], and rows, int64 [Q, top]; equal products stand by their rows. Raises ValueError where a
    product is not a number, or `top` is not in 1 to G.
    """
    if not 1 <= top <= len(vectors):
        raise ValueError(f"{top} of {len(vectors)} vectors cannot be found.")
    products, rows = np.empty((len(queries), top), dtype=np.float32), np.empty((len(queries), top), dtype=np.int64)
    block = max(1, BLOCK_BYTES // (4 * len(vectors)))
    for start in range(0, len(queries), block):
        for query, line in enumerate(queries[start : start + block] @ vectors.T, start):
            if np.isnan(line).any():
                raise ValueError(f"the product of vector {np.isnan(line).argmax()} and query {query} is not a number.")
            limit = np.partition(line, -top)[-top]
            near = np.flatnonzero(line >= limit)
            rows[query] = near[np.lexsort((near, -line[near]))[:top]]
            products[query] = line[rows[query]]
    return products, rows


def load_faiss() -> Any:
    """Return the library; raises UserError where it is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            "a gallery above exact_limit is searched by faiss, which is not installed: pip install 'synreid[search]', "
            "or raise exact_limit, and each search takes longer."
        ) from error
    return faiss


class Clusters:
    """Vectors in clusters (faiss's IndexIVFFlat), of which a search looks into the `probes` nearest.

    Vectors are kept as they are, since quantised ones would be ordered wrongly among the near ones. Clusters and not
    a graph (HNSW): looking into more of them comes as near to exact as is asked, in the end into all.
    """

    def __init__(self, index: Any) -> None:
        self.index = index

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self.index.d)

    @property
    def probes(self) -> int:
        """Clusters that a search looks into."""
        return int(self.index.nprobe)

    @property
    def count(self) -> int:
        """Clusters in all."""
        return int(self.index.nlist)

    def nearest(self, queries: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """Return products and rows as `nearest_exact` does, of the vectors that are found; `queries` float32 [Q, D].

        Where the nearest clusters hold fewer than `top`, all are looked into.
        """
        products, rows = self.index.search(np.ascontiguousarray(queries, dtype=np.float32), top)
        short = (rows < 0).any(axis=1)
        if short.any():
            probes, self.index.nprobe = self.index.nprobe, self.index.nlist
            products[short], rows[short] = self.index.search(np.ascontiguousarray(queries[short]), top)
            self.index.nprobe = probes
        return products, rows


def build_clusters(vectors: np.ndarray, options: IndexOptions) -> tuple[Clusters, float]:
    """Return `vectors`, float32 [G, D] of unit length, in clusters, and the recall that was measured.

    Four times the root of G clusters; `probes` is doubled until `options.recall` is reached. Raises UserError where
    faiss is not installed.
    """
    faiss = load_faiss()
    count, width = vectors.shape
    lists = min(count, round(4 * count**0.5))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.max_points_per_centroid = options.seed, LEARNED
    index.cp.min_points_per_centroid = 1  # below, faiss prints a warning, which small galleries need not see
    with progress("sorting vectors into clusters", total=count, unit="vectors") as bar:
        index.train(vectors)
        for start in range(0, count, ADDED):
            block = np.ascontiguousarray(vectors[start : start + ADDED])
            index.add(block)
            bar.advance(len(block))
    clusters = Clusters(index)
    return clusters, _probe(clusters, vectors, options)


def _probe(clusters: Clusters, vectors: np.ndarray, options: IndexOptions) -> float:
    """Raise the probes of `clusters` until the recall is reached, and return it."""
    drawn = np.random.default_rng(options.seed).choice(len(vectors), min(options.sample, len(vectors)), replace=False)
    queries, top = np.ascontiguousarray(vectors[drawn]), min(TOP + 1, len(vectors))
    exact = _without(drawn, *nearest_exact(vectors, queries, top))
    clusters.index.nprobe = min(FIRST_PROBES, clusters.count)
    while True:
        reached = recall(_without(drawn, *clusters.index.search(queries, top)), exact)
        if reached >= options.recall or clusters.probes == clusters.count:
            return reached
        clusters.index.nprobe = min(2 * clusters.probes, clusters.count)


def _without(own: np.ndarray, products: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return products [Q, K] as [Q, K - 1]: without that of each query's own row [Q], else without the last."""
    order = np.argsort(rows == own[:, None], axis=1, kind="stable")
    return np.take_along_axis(products, order, axis=1)[:, :-1]


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the share of the K nearest that were found, from the products of both, [Q, K], the largest first.

    Whoever is as near as the true K-th is right, so that equal pictures may stand for each other.
    """
    if exact.shape[1] == 0:
        return 1.0
    return float((found >= exact[:, -1:] - ROUNDING).mean())


def write_clusters(clusters: Clusters, path: Path) -> None:
    """Write faiss's own file, whole or not at all; raises UserError where it cannot be written."""
    faiss = load_faiss()
    with atomic_path(path) as temporary:
        try:
            faiss.write_index(clusters.index, str(temporary))
        except RuntimeError as error:  # faiss does not tell a full disk from a folder that may not be written to
            raise UserError(f"{path} cannot be written ({error}); see that the disk has room.") from error


def read_clusters(path: Path) -> Clusters:
    """Open what `write_clusters` wrote; vectors stay on the disk until they are looked at. Raises UserError."""
    faiss = load_faiss()
    try:
        # on Windows faiss cannot leave them there
        return Clusters(faiss.read_index(str(path), 0 if os.name == "nt" else faiss.IO_FLAG_MMAP))
    except RuntimeError as error:
        raise UserError(f"{path} is not readable as an index of faiss; remove its folder and index again.") from error
