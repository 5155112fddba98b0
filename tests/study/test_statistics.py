from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from synreid.study.statistics import (
    Trend,
    holm,
    mean_and_deviation,
    monotone_contrast,
    paired_difference,
    seeds_needed,
    slopes,
    t_interval,
    trend,
)


def test_interval_and_p_are_those_of_the_paired_t_test() -> None:
    treated, control = [0.31, 0.29, 0.36, 0.33], [0.30, 0.30, 0.31, 0.29]
    found = paired_difference(treated, control)
    test = stats.ttest_rel(treated, control)
    expected = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.p == pytest.approx(test.pvalue)
    assert found.mean == pytest.approx(np.mean(treated) - np.mean(control))
    assert found.per_seed == pytest.approx((0.01, -0.01, 0.05, 0.04))


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(2000, 5))  # what a seed does to both arms
    low, high, _ = t_interval(shared + rng.normal(0.5, 0.3, (2000, 5)) - shared - rng.normal(0, 0.3, (2000, 5)))
    assert 0.93 < ((low <= 0.5) & (high >= 0.5)).mean() < 0.97


def test_one_seed_has_no_interval_and_no_scatter_no_p() -> None:
    found = paired_difference([0.4], [0.3])
    assert found.mean == pytest.approx(0.1)
    assert math.isnan(found.low)
    assert math.isnan(found.p)
    assert math.isnan(mean_and_deviation([0.4])[1])
    same = paired_difference([0.4, 0.3], [0.4, 0.3])
    assert (same.low, same.high) == (0.0, 0.0)
    assert math.isnan(same.p)


def test_arms_with_different_seeds_are_not_paired() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference([0.4], [0.3, 0.2])


def test_holm_by_hand() -> None:
    """Smallest times 4, next times 3, ..., never below the one before, never above 1; any order, any batch."""
    p = np.array([[0.02, 0.01, 0.03, 0.5], [0.9, 0.8, 0.001, 0.7]])
    assert holm(p) == pytest.approx(np.array([[0.06, 0.04, 0.06, 0.5], [1.0, 1.0, 0.004, 1.0]]))
    assert holm(np.array([0.04])).tolist() == [0.04]
    assert holm(np.array([])).size == 0


def test_slopes_are_those_of_linear_regression() -> None:
    amounts = [40, 80, 160, 320]
    values = np.random.default_rng(0).random((2, 3, 4))
    expected = [[stats.linregress(amounts, line).slope for line in block] for block in values]
    assert slopes(amounts, values) == pytest.approx(np.array(expected))


def test_contrast_finds_a_step_at_any_amount_equally_well() -> None:
    """Which is what makes its lowest correlation with a rise the highest: all rises are sums of such steps."""
    weights = monotone_contrast(6)
    found = [np.corrcoef(weights, np.arange(6) >= place)[0, 1] for place in range(1, 6)]
    assert found == pytest.approx([found[0]] * 5)
    assert found[0] > max(min(np.corrcoef(np.arange(6), np.arange(6) >= place)[0, 1] for place in range(1, 6)), 0.5)
    assert weights.sum() == pytest.approx(0)


def test_trend_of_three_amounts_is_the_paired_test_of_last_and_first() -> None:
    """Its weights are then -1, 0 and 1, up to their size."""
    values = np.random.default_rng(0).random((4, 3))
    expected = stats.ttest_rel(values[:, 2], values[:, 0])
    direction = "rising" if expected.statistic > 0 else "falling"
    assert trend(values) == Trend(direction, pytest.approx(expected.pvalue))
    assert trend(-values) == Trend("falling" if direction == "rising" else "rising", pytest.approx(expected.pvalue))
    assert trend(values[:1]) is None
    assert trend(values[:, :2]) is None


def test_seeds_needed_are_the_first_that_do() -> None:
    found = seeds_needed(0.01, 0.012, 0.005)

    def half(n: int) -> float:
        return float(stats.t.ppf(0.975, n - 1) * 0.012 / math.sqrt(n))

    assert found.zero is not None and found.precision is not None
    assert half(found.zero) < 0.01 <= half(found.zero - 1)
    assert half(found.precision) <= 0.005 < half(found.precision - 1)


def test_likely_seeds_have_a_power_of_four_in_five() -> None:
    """Power by numerical integration over the deviation that a study may see, not by the non-central t."""

    def power(n: int, mean: float, sd: float) -> float:
        reach, error = stats.t.ppf(0.975, n - 1), sd / math.sqrt(n)

        def shown(chi: float) -> float:
            seen = error * math.sqrt(chi / (n - 1))
            tails = stats.norm.sf(reach * seen, mean, error) + stats.norm.cdf(-reach * seen, mean, error)
            return float(tails * stats.chi2.pdf(chi, n - 1))

        return float(integrate.quad(shown, 0, np.inf)[0])

    found = seeds_needed(0.01, 0.012, 0.005).zero_likely
    assert found is not None
    assert power(found, 0.01, 0.012) >= 0.8 > power(found - 1, 0.01, 0.012)


def test_no_number_of_seeds_settles_what_is_too_small() -> None:
    found = seeds_needed(0.0001, 0.02, 0.001)
    assert (found.zero, found.zero_likely, found.precision) == (None, None, None)
    nothing = seeds_needed(0.0, 0.0, 0.001)
    assert (nothing.zero, nothing.zero_likely, nothing.precision) == (None, None, 2)
