"""k-reciprocal re-ranking (Zhong et al., CVPR 2017, arXiv 1701.08398): pictures with common neighbours come nearer.

The N pictures are the queries, then the gallery. N(p, k) are the k + 1 nearest of all pictures to p, itself first, and
R(p, k) those of them that have p among theirs. In the conventions that the paper leaves open this follows
the authors' code, and so torchreid's `re_ranking`, whose results it has:

- a given distance is squared, and divided by the largest of its row: that is the original distance d(p, g);
- R(q, k1/2) of a candidate q joins R(p, k1) where more than 2/3 of it, not just 2/3, is in R(p, k1) already;
- a row of weights exp(-d) is divided by its sum before it is averaged over the k2 nearest (local query expansion).

Other than there, a picture is its own nearest neighbour also among exact copies. Copies otherwise have no order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array

from synreid.reid.evaluate import check_features, unit
from synreid.reid.evaluate_options import check_reranking
from synreid.stage.errors import UserError

K1, K2, LAMBDA = 20, 6, 0.3  # of the paper, for Market-1501
BLOCK_BYTES = 256 * 2**20  # of distances at a time
PAIRS = 2**15  # pairs of pictures whose features are compared at a time


def rerank_features(
    query: np.ndarray, gallery: np.ndarray, k1: int = K1, k2: int = K2, lambda_value: float = LAMBDA
) -> np.ndarray:
    """Return re-ranked distances, float32 [Q, G] in [0, 1], of features [Q, D] and [G, D] as they come.

    The given distance is the Euclidean one between features of unit length, so its square is 2 - 2 cos. `k1` and `k2`
    are numbers of neighbours; `lambda_value` in [0, 1] is the weight of the original distance, the rest being the
    Jaccard distance's. The whole matrix of N x N distances never stands in memory: it takes what is returned,
    a block of 256 MiB, and some hundred weights a picture. Time grows with the square of N.

    Raises UserError for features that are not finite, and unless 1 <= k2 <= k1 <= G.
    """
    for name, features in (("query", query), ("gallery", gallery)):
        check_features(features, len(features), name)
    _check_numbers(k1, k2, lambda_value, len(gallery))
    both = unit(np.concatenate([query, gallery]))

    def rows(part: slice) -> torch.Tensor:
        return (both[part] @ both.T).mul_(-2.0).add_(2.0).clamp_(min=0.0)

    def pairs(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        cosine = (both[torch.from_numpy(left)] * both[torch.from_numpy(right)]).sum(dim=1)
        return cosine.mul_(-2.0).add_(2.0).clamp_(min=0.0).numpy()

    return _rerank(_Squared(rows, pairs, len(query), len(both)), k1, k2, lambda_value)


def rerank_distances(
    query_query: np.ndarray,
    query_gallery: np.ndarray,
    gallery_gallery: np.ndarray,
    k1: int = K1,
    k2: int = K2,
    lambda_value: float = LAMBDA,
) -> np.ndarray:
    """Return re-ranked distances, float32 [Q, G] in [0, 1], from distances [Q, Q], [Q, G] and [G, G].

    The square matrices must be symmetric, with nought or nearly so on the diagonal. The rest is as in
    `rerank_features`, but one copy of all N x N distances is made. Raises UserError for distances that are not finite
    or whose shapes do not agree, and unless 1 <= k2 <= k1 <= G.
    """
    queries, gallery = query_gallery.shape
    shapes = (query_query.shape, query_gallery.shape, gallery_gallery.shape)
    if shapes != ((queries, queries), (queries, gallery), (gallery, gallery)):
        raise UserError(f"distances to re-rank are {shapes}, but must be [Q, Q], [Q, G] and [G, G]; check their order.")
    _check_numbers(k1, k2, lambda_value, gallery)
    whole = np.empty((queries + gallery, queries + gallery), dtype=np.float32)
    whole[:queries, :queries], whole[:queries, queries:] = query_query, query_gallery
    whole[queries:, :queries], whole[queries:, queries:] = query_gallery.T, gallery_gallery
    np.square(whole, out=whole)
    if not np.isfinite(whole.sum(axis=1)).all():
        raise UserError("a distance to re-rank is not finite, or its square is not; check the features.")
    squared = torch.from_numpy(whole)
    return _rerank(
        _Squared(lambda part: squared[part].clone(), lambda left, right: whole[left, right], queries, len(whole)),
        k1, k2, lambda_value,
    )  # fmt: skip


@dataclass(frozen=True)
class _Squared:
    """Squared distances between N pictures, the first of which are the queries."""

    rows: Callable[[slice], torch.Tensor]
    """Those of some pictures to all, float32 [B, N], ours to write into."""
    pairs: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """Those between pictures int64 [P] and [P], float32 [P]."""
    queries: int
    count: int


def _check_numbers(k1: int, k2: int, lambda_value: float, gallery: int) -> None:
    check_reranking(k1, k2, lambda_value)
    if k1 > gallery:
        raise UserError(
            f"re-ranking's k1 is {k1}, but the gallery has only {gallery} pictures; choose a smaller one, or do not "
            "re-rank."
        )


def _rerank(squared: _Squared, k1: int, k2: int, lambda_value: float) -> np.ndarray:
    nearest, largest, final = _neighbours(squared, k1 + 1)
    weights = _weights(squared, _expanded(nearest, k1), largest)
    weights = (_lists(nearest[:, :k2], 1 / k2) @ weights).tocsr()  # local query expansion, section 3.4
    final *= lambda_value
    for query, jaccard in enumerate(_jaccard(weights, squared.queries)):
        final[query] += (1 - lambda_value) * jaccard
    return final


def _neighbours(squared: _Squared, depth: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the `depth` nearest of each picture, int64 [N, depth], itself first; its largest squared distance,
    float32 [N]; and the original distances of queries to the gallery, float32 [Q, G] in [0, 1].
    """
    queries, count = squared.queries, squared.count
    nearest, largest = np.empty((count, depth), dtype=np.int64), np.empty(count, dtype=np.float32)
    original = np.empty((queries, count - queries), dtype=np.float32)
    size = max(1, BLOCK_BYTES // (4 * count))
    for start in range(0, count, size):
        block = squared.rows(slice(start, start + size))
        stop = start + len(block)
        largest[start:stop] = block.amax(dim=1).numpy()
        if start < queries:
            original[start:stop] = block[: queries - start, queries:].numpy()
        own = torch.arange(len(block))
        block[own, start + own] = -1.0
        nearest[start:stop] = block.topk(depth, dim=1, largest=False).indices.numpy()
    largest[largest == 0] = 1.0  # all pictures alike: all distances stay nought
    original /= largest[:queries, None]
    return nearest, largest, original


def _lists(columns: np.ndarray, value: float = 1.0) -> csr_array:
    """Return [N, N] with `value` at each picture's `columns`, int [N, K]."""
    count, width = columns.shape
    start = np.arange(0, count * width + 1, width)
    return csr_array((np.full(count * width, value, dtype=np.float32), columns.ravel(), start), shape=(count, count))


def _reciprocal(nearest: np.ndarray) -> csr_array:
    """Return R(p, k), ones in [N, N], of the k + 1 nearest, int [N, k + 1] (section 3.2)."""
    lists = _lists(nearest)
    return lists.multiply(lists.T).tocsr()


def _expanded(nearest: np.ndarray, k1: int) -> csr_array:
    """Return R*(p, k1), [N, N] with a number above 0 at each member (section 3.2)."""
    whole, half = _reciprocal(nearest), _reciprocal(nearest[:, : round(k1 / 2) + 1])
    size = np.diff(half.indptr)
    joined = (whole @ half.T).multiply(whole).tocsr()  # at p's candidates q: how many of R(q, k1/2) are in R(p, k1)
    joined.data = (3 * joined.data > 2 * size[joined.indices]).astype(np.float32)
    joined.eliminate_zeros()
    return (whole + joined @ half).tocsr()


def _weights(squared: _Squared, members: csr_array, largest: np.ndarray) -> csr_array:
    """Return V, float32 [N, N]: exp(-d) at the members of R*(p, k1), each row divided by its sum (section 3.3)."""
    lengths = np.diff(members.indptr)
    left, right = np.repeat(np.arange(len(lengths)), lengths), members.indices.astype(np.int64)
    values = np.empty(len(left), dtype=np.float32)
    for start in range(0, len(left), PAIRS):
        part = slice(start, start + PAIRS)
        values[part] = squared.pairs(left[part], right[part])
    values = np.exp(-values / largest[left])
    values /= np.bincount(left, values)[left]
    return csr_array((values, members.indices, members.indptr), shape=members.shape)


def _jaccard(weights: csr_array, queries: int) -> Iterator[np.ndarray]:
    """Yield each query's Jaccard distances to the gallery, [G] (section 3.3).

    Rows sum to 1, so the sum of the larger weights is 2 less that of the smaller ones, and only pictures that share a
    member with the query have any of the latter.
    """
    gallery = weights.shape[0] - queries
    holders = weights[queries:].T.tocsr()  # for each picture, in which gallery pictures' rows it has a weight
    for query in range(queries):
        own = slice(weights.indptr[query], weights.indptr[query + 1])
        found = holders[weights.indices[own]]
        smaller = np.minimum(found.data, np.repeat(weights.data[own], np.diff(found.indptr)))
        shared = np.bincount(found.indices, smaller, minlength=gallery)
        yield 1 - shared / (2 - shared)
