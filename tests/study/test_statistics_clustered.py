from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from synreid.study.clustered import clustered_mcnemar, persons_interval, sign_flip_p, two_way_interval


def test_of_persons_who_all_gain_alike_only_the_seeds_are_left() -> None:
    """Then nothing comes from the persons, and the interval is the t interval over seeds."""
    gains = np.array([0.01, 0.03, 0.02, 0.05])
    control = np.random.default_rng(0).random((4, 60))
    found = persons_interval(control + gains[:, None], control, np.repeat(np.arange(20), 3))
    expected = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.sd_seeds == pytest.approx(stats.sem(gains))
    assert found.sd_persons == pytest.approx(0, abs=1e-9)
    assert found.persons == 20


def test_of_seeds_that_all_gain_alike_only_the_persons_are_left() -> None:
    """The interval is then that over persons, whose queries are alike: their standard error is the persons' own."""
    rng = np.random.default_rng(0)
    gains = np.repeat(rng.normal(0.02, 0.1, 50), 4)
    control = rng.random((3, 200))
    found = persons_interval(control + gains, control, np.repeat(np.arange(50), 4))
    error = stats.sem(gains[::4], ddof=0)
    assert found.sd_seeds == pytest.approx(0, abs=1e-9)
    assert found.sd_persons == pytest.approx(error, rel=0.1)  # of 1000 resamples
    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, 49) * error, rel=0.1)
    assert (found.low + found.high) / 2 == pytest.approx(gains.mean())


def test_what_a_seed_makes_of_one_person_is_not_counted_twice() -> None:
    """Noise of seed and person alone: its variance stands in the seeds' means, and nothing is left for the persons."""
    rng = np.random.default_rng(1)
    seeds = []
    for _ in range(40):
        noise = np.repeat(rng.normal(0, 0.1, (5, 80)), 2, axis=1)
        found = persons_interval(noise, np.zeros_like(noise), np.repeat(np.arange(80), 2))
        seeds.append((found.sd_seeds**2, found.sd_persons**2))
    truth = 0.1**2 / 80 / 5
    by_seed, by_person = np.mean(seeds, axis=0)
    assert by_seed == pytest.approx(truth, rel=0.35)
    assert by_person < 0.35 * truth


def test_interval_covers_other_persons_where_that_over_seeds_does_not() -> None:
    """30 persons whose common part scatters as much as the seeds: 400 studies of five seeds."""
    rng = np.random.default_rng(2)
    studies, seeds, persons = 400, 5, 30
    by_person = rng.normal(0, 0.01 * np.sqrt(persons), (studies, 1, persons))
    values = rng.normal(0, 0.015, (studies, seeds, 1)) + by_person
    sums = values.transpose(2, 0, 1)
    draws = np.random.default_rng(0).multinomial(persons, np.full(persons, 1 / persons), 300)
    means = values.mean(-1)
    half, by_seed, _ = two_way_interval(means, np.tensordot(draws, sums, 1) / persons, persons)
    covered = (np.abs(means.mean(-1)) <= half).mean()
    assert 0.92 < covered < 0.98
    assert (np.abs(means.mean(-1)) <= stats.t.ppf(0.975, seeds - 1) * by_seed).mean() < covered - 0.05


def test_mcnemar_of_single_queries_is_the_exact_test() -> None:
    rng = np.random.default_rng(0)
    treated, control = rng.random((1, 200)) < 0.5, rng.random((1, 200)) < 0.4
    found = clustered_mcnemar(treated, control, np.arange(200))
    gained, lost = int((treated & ~control).sum()), int((~treated & control).sum())
    assert (found.gained, found.lost) == (gained, lost)
    assert found.p == pytest.approx(stats.binomtest(gained, gained + lost, 0.5).pvalue)


def test_mcnemar_keeps_a_person_together() -> None:
    """One person gains all six of her queries: she may as well have lost them, so p is 1, not 2 / 2 ** 6."""
    treated, control = np.ones((2, 3), bool), np.zeros((2, 3), bool)
    found = clustered_mcnemar(treated, control, np.array(["a", "a", "a"]))
    assert (found.gained, found.lost, found.p) == (6, 0, 1.0)


def test_sign_flips_are_those_of_scipy() -> None:
    values = np.array([3, -1, 2, 2, 0, 5, -2, 1, 4])
    expected = stats.permutation_test(
        (values,), lambda x, axis: x.sum(axis), permutation_type="samples", vectorized=True, n_resamples=1000
    )
    assert sign_flip_p(values) == pytest.approx(expected.pvalue)  # all 2 ** 9 of them
    assert sign_flip_p(np.zeros(4, dtype=np.int64)) == 1.0
