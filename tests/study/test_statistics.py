from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from synreid.study.statistics import mean_and_deviation, paired_difference


def test_interval_is_that_of_the_paired_t_test() -> None:
    treated, control = [0.31, 0.29, 0.36, 0.33], [0.30, 0.30, 0.31, 0.29]
    found = paired_difference(treated, control)
    expected = stats.ttest_rel(treated, control).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(treated) - np.mean(control))
    assert found.per_seed == pytest.approx((0.01, -0.01, 0.05, 0.04))


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        shared = rng.normal(size=5)  # what a seed does to both arms
        found = paired_difference(shared + rng.normal(0.5, 0.3, 5), shared + rng.normal(0, 0.3, 5))
        hits += found.low <= 0.5 <= found.high
    assert 0.93 < hits / 2000 < 0.97


def test_one_seed_has_no_interval() -> None:
    found = paired_difference([0.4], [0.3])
    assert found.mean == pytest.approx(0.1)
    assert math.isnan(found.low)
    assert math.isnan(mean_and_deviation([0.4])[1])


def test_arms_with_different_seeds_are_not_paired() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference([0.4], [0.3, 0.2])
