from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from synreid.reid.bootstrap import cluster_intervals, query_intervals
from synreid.stage.errors import UserError


def test_two_persons_give_the_values_that_can_be_drawn():
    """One always right with one query, one always wrong with three: draws give 0, 1/4 or 1, each end in a quarter."""
    table = pa.table(
        {
            "pid": ["a", "b", "b", "b", "c"],
            "valid": [True, True, True, True, False],
            "first_hit": [1, 4, 2, 9, 0],
            "ap": [1.0, 0.5, 0.5, 0.5, np.nan],
        }
    )
    found = query_intervals(table, 200)
    assert found["rank1"] == {"value": 0.25, "low": 0.0, "high": 1.0}
    assert found["map"] == {"value": 0.625, "low": 0.5, "high": 1.0}
    assert (found["persons"], found["resamples"]) == (2, 200)
    assert query_intervals(table, 200) == found


def test_clusters_of_one_are_scipys_bootstrap():
    values = np.random.default_rng(0).random(60)
    low, high = cluster_intervals(values[:, None], np.arange(60), 4000)
    expected = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile").confidence_interval
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=0.01)  # width 0.15


def test_intervals_hold_the_truth_where_those_by_query_do_not():
    """Sets of 40 persons whose five queries are alike: of 60 intervals at 95 %, at least 50 must hold the mean."""
    draw = np.random.default_rng(1)
    persons = np.repeat(np.arange(40), 5)
    held = {"person": 0, "query": 0}
    for _ in range(60):
        values = (draw.normal(size=40)[persons] + 0.1 * draw.normal(size=200))[:, None]
        for name, clusters in (("person", persons), ("query", np.arange(200))):
            low, high = cluster_intervals(values, clusters, 200)
            held[name] += bool(low[0] <= 0.0 <= high[0])
    assert held["person"] >= 50 > held["query"]


def test_too_few_resamples_are_an_error():
    with pytest.raises(UserError, match="intervals of 99 resamples"):
        cluster_intervals(np.ones((3, 1)), np.arange(3), 99)
