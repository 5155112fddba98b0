"""What a few seeds allow one to say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.polynomial import polynomial
from scipy import stats

LEVEL = 0.95
MOST_SEEDS = 100  # that anybody is told to train
LIKELY = 0.8  # share of studies whose interval is to leave out zero


@dataclass(frozen=True)
class Difference:
    """A paired difference between two arms: mean, 95 % interval and p (nan where the seeds do not give them)."""

    mean: float
    low: float
    high: float
    p: float
    per_seed: tuple[float, ...]


@dataclass(frozen=True)
class Trend:
    """Whether values rise or fall along ordered conditions, and the two-sided p (nan where nothing scatters)."""

    direction: Literal["rising", "falling"]
    p: float


@dataclass(frozen=True)
class SeedsNeeded:
    """The fewest seeds, from 2 up, that would do; None where no number up to `MOST_SEEDS` does."""

    zero: int | None
    """So that the interval, as wide as it is to be expected, leaves out zero; about half of all intervals then do."""
    zero_likely: int | None
    """So that the intervals of four studies in five leave out zero."""
    precision: int | None
    """So that the interval reaches no further than the wanted precision to either side."""


def paired_difference(treated: Sequence[float], control: Sequence[float], level: float = LEVEL) -> Difference:
    """Return mean, t interval and two-sided p of `treated - control`, paired by seed (Student 1908).

    Both have one value a seed, in the same order. With one seed there is neither interval nor p, and without any
    scatter between seeds there is no p.
    """
    if len(treated) != len(control):
        raise ValueError(f"{len(treated)} and {len(control)} values cannot be paired")
    differences = np.asarray(treated, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    low, high, p = (float(value) for value in t_interval(differences, level))
    return Difference(float(differences.mean()), low, high, p, tuple(differences.tolist()))


def t_interval(differences: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both ends of the t interval of the mean and the two-sided p of no difference, each [...], of [..., S].

    With one value all are nan. Values without scatter give an interval of no width, and nan for p.
    """
    seeds = differences.shape[-1]
    mean, scatter = differences.mean(-1), np.ptp(differences, axis=-1)
    if seeds < 2:
        nothing = np.full(mean.shape, math.nan)
        return nothing, nothing, nothing
    error = np.where(scatter > 0, differences.std(-1, ddof=1), 0.0) / math.sqrt(seeds)
    half = stats.t.ppf(0.5 + level / 2, seeds - 1) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(error > 0, 2 * stats.t.sf(np.abs(mean / error), seeds - 1), math.nan)
    return mean - half, mean + half, p


def holm(p: np.ndarray) -> np.ndarray:
    """Return p corrected for a family of comparisons [..., M], by Holm's step-down procedure (Holm 1979).

    Of a family in which nothing differs, at most 1 in 20 has a corrected value below 0.05, however its comparisons
    depend on each other, as those against real pictures do that share seeds and test pictures.
    """
    order = np.argsort(p, axis=-1)
    kept = np.arange(p.shape[-1], 0, -1)  # how many hypotheses are left at each step
    stepped = np.maximum.accumulate(np.take_along_axis(p, order, -1) * kept, axis=-1)
    corrected = np.empty_like(stepped)
    np.put_along_axis(corrected, order, np.minimum(stepped, 1.0), axis=-1)
    return corrected


def slopes(amounts: Sequence[float], values: np.ndarray) -> np.ndarray:
    """Return the least-squares slope of values [..., A] over A different amounts, [...]: change for one more.

    Each seed's slope is one value, so that the t interval of them holds even where the values of a seed's amounts
    depend on each other, as they do where smaller amounts lie within larger ones.
    """
    flat = values.reshape(-1, values.shape[-1])
    slope: np.ndarray = polynomial.polyfit(np.asarray(amounts, dtype=np.float64), flat.T, 1)[1]
    return slope.reshape(values.shape[:-1])


def trend(values: np.ndarray) -> Trend | None:
    """Return whether values [S, A] of S seeds rise or fall over A amounts in ascending order, in whatever steps.

    Each seed's values are weighed by `monotone_contrast`, and the weighed sums of the seeds go through the t test.
    Page's trend test (1963) would be the usual one, but takes the values of a seed for independent of each other.
    Where smaller amounts lie within larger ones they are not, and of sweeps without any effect it then finds a trend
    in many (`results/statistics.md`). None for fewer than two seeds or three amounts.
    """
    if values.shape[0] < 2 or values.shape[1] < 3:
        return None
    weighed = values @ monotone_contrast(values.shape[1])
    _, _, p = t_interval(weighed)
    return Trend("rising" if weighed.mean() >= 0 else "falling", float(p))


def monotone_contrast(amounts: int) -> np.ndarray:
    """Return weights [A] that sum to 0 and correlate as well as any can with every rise: Abelson & Tukey (1963).

    Early, late and steady rises alike; the lowest of the correlations is as high as it can be.
    """
    edge = np.arange(amounts + 1)
    root = np.sqrt(edge * (1 - edge / amounts))
    weights: np.ndarray = root[:-1] - root[1:]
    return weights


def seeds_needed(mean: float, deviation: float, precision: float, level: float = LEVEL) -> SeedsNeeded:
    """Return how many seeds would settle it, were the true mean and deviation over seeds those that were seen.

    They are not: with few seeds the deviation itself is known badly (5 seeds: by a factor of 0.6 to 2.9), so this is a
    figure to plan by. `precision` is the wanted half of the interval's width, in the unit of the others.
    """
    n = np.arange(2, MOST_SEEDS + 1)
    reach = stats.t.ppf(0.5 + level / 2, n - 1)
    half = reach * deviation / np.sqrt(n)
    power = np.full(len(n), float(mean != 0))
    if deviation > 0:
        moved = abs(mean) / deviation * np.sqrt(n)  # non-centrality of t
        power = np.asarray(stats.nct.sf(reach, n - 1, moved) + stats.nct.cdf(-reach, n - 1, moved))
    return SeedsNeeded(_first(n, half < abs(mean)), _first(n, power >= LIKELY), _first(n, half <= precision))


def _first(n: np.ndarray, enough: np.ndarray) -> int | None:
    return int(n[enough.argmax()]) if enough.any() else None


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation over seeds (n - 1); the deviation of one value is nan."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else math.nan


def or_none(value: float) -> float | None:
    """Return the value, or None for nan, which JSON does not know."""
    return None if math.isnan(value) else value
