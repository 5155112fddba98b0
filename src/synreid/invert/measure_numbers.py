"""Numbers over queries with their errors, for which pictures of one person are not independent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from synreid.data.table import column, rows
from synreid.quality.neighbours import unit_length
from synreid.reid.evaluate import Evaluation
from synreid.reid.ranking import same_person

SEED = 0  # of the draws that intervals are taken from


def mean_and_error(values: np.ndarray, persons: np.ndarray) -> dict[str, float | None]:
    """Return mean and standard error of values [N], nan left out; pictures of one person do not count as independent.

    The error is the cluster-robust one: persons' sums of residuals are squared, not each picture's. With one picture a
    person it is the usual one. It is None for fewer than two persons, as the mean is without values.
    """
    values, persons = values[~np.isnan(values)].astype(np.float64), persons[~np.isnan(values)]
    if not len(values):
        return {"mean": None, "se": None}
    _, index = np.unique(persons, return_inverse=True)
    residuals = np.bincount(index, values - values.mean())
    count = len(residuals)
    error = float(np.sqrt(np.square(residuals).sum() * count / (count - 1)) / len(values)) if count > 1 else None
    return {"mean": float(values.mean()), "se": error}


def mean_and_interval(values: np.ndarray, persons: np.ndarray, resamples: int) -> dict[str, float | None]:
    """Return the mean of values [N], and its 95 % percentile interval by drawing whole persons with replacement.

    Efron 1979, with persons [N] as what is drawn. The ends are None for fewer than two persons.
    """
    _, index = np.unique(persons, return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    low = high = None
    if len(counts) > 1:
        drawn = np.random.default_rng(SEED).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), resamples)
        low, high = (float(end) for end in np.quantile((drawn @ sums) / (drawn @ counts), (0.025, 0.975)))
    return {"mean": float(np.mean(values)), "low": low, "high": high}


def compared(evaluations: dict[str, Evaluation], against: str, resamples: int) -> dict[str, dict[str, Any]]:
    """Return Rank-1 and mAP (standard) of evaluations of the same queries, and how far each is from `against`.

    All are fractions. `rank1_difference` and `map_difference`, paired by query, hold mean, low and high (95 %).
    """
    control = _by_query(evaluations[against])
    found: dict[str, dict[str, Any]] = {}
    for name, evaluation in evaluations.items():
        found[name] = {metric: evaluation.summary[metric] for metric in ("rank1", "map")}
        if name != against:
            persons = column(evaluation.per_query, "pid").astype(str)[column(evaluation.per_query, "valid")]
            for metric, values in _by_query(evaluation).items():
                change = mean_and_interval(values - control[metric], persons, resamples)
                found[name][f"{metric}_difference"] = change
    return found


def same_and_other(
    query_features: np.ndarray, gallery_features: np.ndarray, query: pa.Table, gallery: pa.Table
) -> dict[str, np.ndarray]:
    """Return the mean cosine of each query's features to gallery pictures of its person by another camera, `same`, and
    to those of all other known persons, `other`; float64 [Q] each, nan where there are none. Junk does not count.
    """
    known = np.array([pid is not None for pid in column(gallery, "pid")], dtype=bool) & ~column(gallery, "junk")
    left, right, gallery = unit_length(query_features), unit_length(gallery_features)[known], rows(gallery, known)
    names = (column(table, name) for table in (query, gallery) for name in ("pid", "camera"))
    start, own, positive = same_person(*names)
    total = right.sum(axis=0, dtype=np.float64)
    same, other = np.full(len(left), np.nan), np.full(len(left), np.nan)
    for k, feature in enumerate(left):
        mine = slice(start[k], start[k + 1])
        cosine = right[own[mine]] @ feature
        if positive[mine].any():
            same[k] = cosine[positive[mine]].mean()
        if len(right) > len(cosine):
            other[k] = (total @ feature - cosine.sum()) / (len(right) - len(cosine))
    return {"same": same, "other": other}


def _by_query(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """Return Rank-1 and AP of each query that has a positive, float64."""
    valid = column(evaluation.per_query, "valid")
    hits = column(evaluation.per_query, "first_hit")[valid] == 1
    return {"rank1": hits.astype(np.float64), "map": column(evaluation.per_query, "ap")[valid]}
