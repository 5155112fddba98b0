"""Ranking by Market-1501's protocol: CMC, average precision in both conventions, and mINP, without sorting.

A query's *positives* are the gallery pictures of its identity by another camera. Taken out before ranking are junk
pictures and those of its identity by its own camera. All others are *negatives*, distractors among them.

Ties: a negative as near as a positive counts as ranked before it. The result is then a function of the distances
alone, never of the gallery's order, and a model that answers all the same gets the worst rank and not the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from synreid.stage.errors import UserError

MANY = 60  # limits from which on sorting 16,000 values is cheaper than comparing them with each limit


@dataclass(frozen=True)
class Ranking:
    """What became of each of Q queries; where a query has no positive the numbers are 0 or NaN."""

    valid: np.ndarray
    """bool [Q]: whether the query has a positive; the others are counted and left out of every mean."""
    positives: np.ndarray
    """int64 [Q]: how many."""
    first_hit: np.ndarray
    """int64 [Q]: rank of the nearest positive, from 1; 0 where there is none."""
    ap: np.ndarray
    """float64 [Q]: average precision as torchreid and fast-reid have it, the mean of precisions at the positives."""
    ap_trapezoid: np.ndarray
    """float64 [Q]: average precision as Market-1501's own code has it, by trapezoids between those precisions."""
    inp: np.ndarray
    """float64 [Q]: inverse negative penalty, positives over the rank of the farthest one (arXiv 2001.04193, eq. 2)."""

    def cmc(self, depth: int) -> np.ndarray:
        """Return the share of valid queries with a positive among the first 1 to `depth`, float64 [depth]."""
        hits = self.first_hit[self.valid]
        return np.cumsum(np.bincount(hits, minlength=depth + 1)[1 : depth + 1]) / len(hits)

    def summary(self) -> dict[str, Any]:
        """Return fractions in [0, 1] and counts; raises UserError when not one query has a positive."""
        if not self.valid.any():
            raise UserError(
                f"none of the {len(self.valid)} queries has a gallery picture of its person by another camera, "
                "so nothing can be ranked; check the identities and cameras of query and gallery."
            )
        cmc = self.cmc(10)
        return {
            "rank1": float(cmc[0]),
            "rank5": float(cmc[4]),
            "rank10": float(cmc[9]),
            "map": float(self.ap[self.valid].mean()),
            "map_trapezoid": float(self.ap_trapezoid[self.valid].mean()),
            "minp": float(self.inp[self.valid].mean()),
            "queries": int(self.valid.sum()),
            "unmatched": int((~self.valid).sum()),
        }


def join(parts: Sequence[Ranking]) -> Ranking:
    """Return the rankings of blocks of queries as one."""
    return Ranking(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Ranking)})


def rank(
    distances: np.ndarray,
    query_pid: np.ndarray,
    query_camera: np.ndarray,
    gallery_pid: np.ndarray,
    gallery_camera: np.ndarray,
    junk: np.ndarray | None = None,
) -> Ranking:
    """Rank a gallery of G for each of Q queries by `distances`, floats [Q, G], smaller is nearer.

    Identities [Q], [G] and cameras [Q], [G] are strings or integers. A missing (None) identity matches nobody, and a
    missing camera is no other picture's camera. `junk` is bool [G], rows that are neither right nor wrong.
    Raises UserError for a distance that is not a number, and for an infinite one of a positive.
    """
    _check_shapes(distances, query_pid, query_camera, gallery_pid, gallery_camera, junk)
    if distances.size and np.isnan(distances.min()):
        raise UserError("a distance between query and gallery is not a number; check the features.")
    keep = np.arange(len(gallery_pid)) if junk is None else np.flatnonzero(~np.asarray(junk, dtype=bool))
    start, column, positive = same_person(query_pid, query_camera, gallery_pid[keep], gallery_camera[keep])
    query = np.repeat(np.arange(len(distances)), np.diff(start))[positive]
    found = distances[query, keep[column[positive]]]
    if not np.isfinite(found).all():
        raise UserError(f"query {query[~np.isfinite(found)][0]} is infinitely far from its person; check the features.")
    found = found[np.lexsort((found, query))]
    count = np.bincount(query, minlength=len(distances))
    border = np.concatenate([[0], np.cumsum(count)])
    before = np.empty(len(found), dtype=np.int64)
    for row in np.flatnonzero(count):
        negatives = distances[row].take(keep) if len(keep) < distances.shape[1] else distances[row].copy()
        negatives[column[start[row] : start[row + 1]]] = np.inf
        mine = slice(border[row], border[row + 1])
        before[mine] = at_most(negatives, found[mine])
    return _scores(before, count, border)


def at_most(values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return how many of `values` [G] are at most each of `limits` [K], int64 [K].

    A comparison with all values costs a few microseconds at Market's size, so one for each limit is cheaper than
    sorting the values, and takes as long on a hard set as on an easy one; only for many limits a sort pays.
    """
    if len(limits) > MANY:
        return np.searchsorted(np.sort(values), limits, side="right")
    below = np.empty(len(values), dtype=bool)
    return np.array([np.count_nonzero(np.less_equal(values, limit, below)) for limit in limits], dtype=np.int64)


def _check_shapes(
    distances: np.ndarray, query_pid: np.ndarray, query_camera: np.ndarray, gallery_pid: np.ndarray,
    gallery_camera: np.ndarray, junk: np.ndarray | None,
) -> None:  # fmt: skip
    queries, gallery = distances.shape
    sizes = [(len(query_pid), queries), (len(query_camera), queries), (len(gallery_pid), gallery)]
    sizes += [(len(gallery_camera), gallery), (gallery if junk is None else len(junk), gallery)]
    if any(given != wanted for given, wanted in sizes):
        raise ValueError(f"distances are {distances.shape}, but the names given have lengths {[s[0] for s in sizes]}")


def same_person(
    query_pid: np.ndarray, query_camera: np.ndarray, gallery_pid: np.ndarray, gallery_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all pairs of a query and a gallery picture of its identity, query by query.

    `start` int64 [Q+1], where each query's pairs begin; `column` int64 [P], their gallery rows; `positive` bool [P],
    whether by another camera.
    """
    query, gallery = _codes(query_pid, gallery_pid)
    order = np.argsort(gallery, kind="stable")
    first, last = (np.searchsorted(gallery[order], query, side) for side in ("left", "right"))
    start = np.concatenate([[0], np.cumsum(last - first)])
    column = order[np.arange(start[-1]) + np.repeat(first - start[:-1], last - first)]
    query_side, gallery_side = _codes(query_camera, gallery_camera)
    return start, column, np.repeat(query_side, last - first) != gallery_side[column]


def _codes(query: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return names as integers, equal where the names are; None equals nothing."""
    place: dict[Any, int] = {}
    answers = []
    for names, missing in ((query, -1), (gallery, -2)):
        listed = np.asarray(names).tolist()
        codes = (missing if name is None else place.setdefault(name, len(place)) for name in listed)
        answers.append(np.fromiter(codes, dtype=np.int64, count=len(listed)))
    return answers[0], answers[1]


def _scores(before: np.ndarray, count: np.ndarray, border: np.ndarray) -> Ranking:
    """Score each query from the negatives `before` each of its positives, int64 [P], nearest positive first."""
    valid = count > 0
    index = np.arange(len(before)) - np.repeat(border[:-1], count)  # positives nearer than this one
    place = before + index  # the positive's rank, from 0
    precision = (index + 1) / (place + 1)
    # Market's code: the precision just before the positive, 1 at the head of the list
    earlier = np.divide(index, place, out=np.ones(len(place)), where=place > 0)
    ends = border[1:][valid] - 1

    def mean(values: np.ndarray) -> np.ndarray:
        out = np.full(len(count), np.nan)
        if valid.any():
            out[valid] = np.add.reduceat(values, border[:-1][valid]) / count[valid]
        return out

    first_hit, inp = np.zeros(len(count), dtype=np.int64), np.full(len(count), np.nan)
    first_hit[valid] = place[border[:-1][valid]] + 1
    inp[valid] = count[valid] / (place[ends] + 1)
    return Ranking(valid, count, first_hit, mean(precision), mean((earlier + precision) / 2), inp)


def nearest(
    distances: np.ndarray,
    query_pid: np.ndarray,
    query_camera: np.ndarray,
    gallery_pid: np.ndarray,
    gallery_camera: np.ndarray,
    junk: np.ndarray | None = None,
    depth: int = 10,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each query's ranked list as the protocol has it: gallery rows int64 [Q, depth], and right or not, bool.

    Ties stand as `rank` counts them, wrong before right, then by gallery row. A shorter list is filled with -1.
    """
    start, column, positive = same_person(query_pid, query_camera, gallery_pid, gallery_camera)
    rows, right = np.full((len(distances), depth), -1), np.zeros((len(distances), depth), dtype=bool)
    usable = np.ones(distances.shape[1], dtype=bool) if junk is None else ~np.asarray(junk, dtype=bool)
    for query, line in enumerate(distances):
        own, hit = column[start[query] : start[query + 1]], positive[start[query] : start[query + 1]]
        line = np.where(usable, line, np.inf)
        line[own[~hit]] = np.inf
        limit = np.partition(line, depth - 1)[depth - 1] if len(line) > depth else np.inf
        near = np.flatnonzero((line <= limit) & (line < np.inf))
        good = np.isin(near, own[hit])
        order = np.lexsort((near, good, line[near]))[:depth]
        rows[query, : len(order)], right[query, : len(order)] = near[order], good[order]
    return rows, right
