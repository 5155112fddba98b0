"""Intervals and tests that keep all queries of a test person together, since they are alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from synreid.reid.bootstrap import cluster_sums, resampled_means
from synreid.study.statistics import LEVEL

RESAMPLES = 1000


@dataclass(frozen=True)
class PersonsInterval:
    """An interval over other training seeds and other test persons, in the unit of the values."""

    low: float
    high: float
    sd_seeds: float
    """Standard error of the mean that comes from the seeds."""
    sd_persons: float
    """Standard error of the mean that comes from the persons, as far as they are alike for all seeds."""
    persons: int


@dataclass(frozen=True)
class McNemar:
    """Queries, over all seeds, whose first place is right with one model only, and the p of that being chance."""

    gained: int
    lost: int
    p: float


def persons_interval(treated: np.ndarray, control: np.ndarray, persons: np.ndarray) -> PersonsInterval:
    """Return the interval of the mean of `treated - control`, values [S, N] of S >= 2 seeds and N queries.

    `persons` [N] names whom each query shows. The persons are drawn anew with all their queries, the same ones for
    every seed (see `two_way_interval`); the gallery stays the same.
    """
    differences = np.asarray(treated, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    sums, counts = cluster_sums(differences.T, persons)
    means = differences.mean(axis=1)
    half, seeds, drawn = two_way_interval(means, resampled_means(sums, counts, RESAMPLES), len(counts))
    centre = float(means.mean())
    return PersonsInterval(centre - float(half), centre + float(half), float(seeds), float(drawn), len(counts))


def two_way_interval(
    means: np.ndarray, draws: np.ndarray, clusters: int, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return half the width of the interval over seeds and clusters, and the standard errors by each, all [...].

    `means` [..., S] has one mean a seed, `draws` [R, ..., S] those of R draws of the clusters, of which there are
    `clusters`. The variances of both ways are added (two-way clustering: Cameron, Gelbach & Miller 2011): that of the
    seeds' means, which holds what a seed makes of single clusters, and the bootstrap's, less that part, which it holds
    too. Degrees of freedom are Satterthwaite's (1946), since of seeds there are few. Nor is the interval narrower than
    that of the seeds alone. To draw seeds anew as well and take percentiles (Owen 2007) is right for many seeds only;
    `results/statistics.md` has how often each of them holds the truth.
    """
    n = means.shape[-1]
    by_seed = means.var(-1, ddof=1) / n
    by_cluster = draws.mean(-1).var(0)
    of_both = (draws.var(0).mean(-1) - by_cluster) / (n - 1)
    by_cluster = np.maximum(by_cluster - of_both, 0.0)
    total = by_seed + by_cluster
    spread = by_seed**2 / (n - 1) + by_cluster**2 / max(clusters - 1, 1)
    freedom = np.divide(total**2, spread, out=np.full_like(total, math.inf), where=spread > 0)
    both, seeds = (stats.t.ppf(0.5 + level / 2, df) * np.sqrt(of) for df, of in ((freedom, total), (n - 1, by_seed)))
    return np.maximum(both, seeds), np.sqrt(by_seed), np.sqrt(by_cluster)


def clustered_mcnemar(treated: np.ndarray, control: np.ndarray, persons: np.ndarray) -> McNemar:
    """Return McNemar's test of right first places [S, N], bool, of S seeds and N queries of `persons` [N].

    McNemar's exact test (1947) lets each query that only one of two models gets right fall to either side by chance.
    The queries of one person do not fall independently, so what a person has gained or lost, over all queries and
    seeds, falls to one side or the other as a whole: Fisher's randomisation of signs by clusters (for other tests of
    clustered matched pairs see Durkalski et al. 2003). With one seed and one query a person it is McNemar's own test.

    What is tested: whether these models differ on other persons than those of the test. That is not whether the method
    differs: two trainings of one recipe differ too, which the seeds' t test is for (Dietterich 1998, section 3.1).
    """
    net = np.asarray(treated, dtype=np.int64) - np.asarray(control, dtype=np.int64)
    sums, _ = cluster_sums(net.sum(axis=0)[:, None], persons)
    p = sign_flip_p(sums[:, 0].astype(np.int64))
    return McNemar(int((net > 0).sum()), int((net < 0).sum()), p)


def sign_flip_p(values: np.ndarray) -> float:
    """Return the exact two-sided p of the sum of integers [N], each as likely to have the other sign.

    The law of the sum of those that fall to the positive side is put together size by size: of `count` integers of one
    size, Binomial(count, 1/2) fall there.
    """
    sizes, counts = np.unique(np.abs(values[values != 0]), return_counts=True)
    law = np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        steps = np.zeros(size * count + 1)
        steps[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        law = np.convolve(law, steps)
    total = len(law) - 1
    as_far = np.abs(2 * np.arange(total + 1) - total) >= abs(values.sum())
    return min(1.0, float(law[as_far].sum()))
