"""Intervals of Rank-1 and mAP over who the queries show: another draw of persons would give other numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from synreid.data.table import column
from synreid.reid.evaluate_options import FEWEST
from synreid.stage.errors import UserError

LEVEL = 0.95


def query_intervals(per_query: pa.Table, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Return Rank-1 and mAP (standard) with 95 % intervals, fractions {value, low, high}, from a per-query table.

    Persons are drawn with all their queries; queries without a match are left out as they are of the means. The
    gallery and the model stay the same, so the interval says nothing of other training seeds.
    Raises UserError for fewer than 100 resamples.
    """
    valid = column(per_query, "valid")
    hits = column(per_query, "first_hit")[valid] == 1
    values = np.column_stack([hits, column(per_query, "ap")[valid]]).astype(np.float64)
    persons = column(per_query, "pid")[valid].astype(str)
    low, high = cluster_intervals(values, persons, resamples, seed)
    found = {
        name: {"value": float(values[:, k].mean()), "low": float(low[k]), "high": float(high[k])}
        for k, name in enumerate(("rank1", "map"))
    }
    return {**found, "level": LEVEL, "persons": len(np.unique(persons)), "resamples": resamples, "seed": seed}


def cluster_intervals(
    values: np.ndarray, clusters: np.ndarray, resamples: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of percentile intervals of the means of values [N, M], float64 [M] each (Efron 1979).

    Whole clusters, named by [N], are drawn with replacement, as many as there are: values of one cluster are alike, and
    drawn one by one would give an interval that is too narrow. One cluster alone gives an interval of no width.
    Raises UserError for fewer than 100 resamples.
    """
    if resamples < FEWEST:
        raise UserError(f"intervals of {resamples} resamples say little; ask for {FEWEST} or more, such as 1000.")
    means = resampled_means(*cluster_sums(values, clusters), resamples, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def cluster_sums(values: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of values [N, M] over each cluster, float64 [C, M], and how many values each has, [C].

    Clusters are named by [N] and stand in the order of their names.
    """
    _, index = np.unique(clusters, return_inverse=True)
    counts = np.bincount(index)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, index, values)
    return sums, counts


def resampled_means(sums: np.ndarray, counts: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
    """Return the means of M kinds of values in each draw of as many clusters as there are, float64 [resamples, M].

    `sums` [C, M] and `counts` [C] are those of `cluster_sums`; every kind of value sees the same draws.
    """
    clusters = len(counts)
    drawn = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), resamples)
    means: np.ndarray = (drawn @ sums) / (drawn @ counts)[:, None]
    return means
