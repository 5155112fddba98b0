"""What a few seeds allow one to say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Difference:
    """A paired difference between two arms: its mean and 95 % interval (nan with fewer than two seeds)."""

    mean: float
    low: float
    high: float
    per_seed: tuple[float, ...]


def paired_difference(treated: Sequence[float], control: Sequence[float], level: float = 0.95) -> Difference:
    """Return mean and t interval of `treated - control`, paired by seed (Student 1908).

    Both have one value a seed, in the same order. With one seed the interval is nan.
    """
    if len(treated) != len(control):
        raise ValueError(f"{len(treated)} and {len(control)} values cannot be paired")
    differences = np.asarray(treated, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    mean, n = float(differences.mean()), len(differences)
    half = math.nan
    if n > 1:
        half = float(stats.t.ppf(0.5 + level / 2, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    return Difference(mean, mean - half, mean + half, tuple(differences.tolist()))


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation over seeds (n - 1); the deviation of one value is nan."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else math.nan
