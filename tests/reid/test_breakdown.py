from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from synreid.data.table import column, from_columns, rows
from synreid.reid.breakdown import by_camera, by_camera_pair, by_positives
from synreid.reid.evaluate import evaluate_distances


def scene(seed=0):
    """Distances of 30 queries to 90 pictures by three cameras, some junk, distractors, or without a camera."""
    draw = np.random.default_rng(seed)
    query = from_columns(
        path=[f"q{k}" for k in range(30)],
        sha256="0",
        pid=[f"p{k}" for k in draw.integers(0, 8, 30)],
        camera=[f"c{k}" for k in draw.integers(0, 3, 30)],
    )
    gallery = from_columns(
        path=[f"g{k}" for k in range(90)],
        sha256="0",
        pid=[None if k > 9 else f"p{k}" for k in draw.integers(0, 12, 90)],
        camera=[None if k > 2 else f"c{k}" for k in draw.integers(0, 4, 90)],
        junk=(draw.random(90) < 0.1).tolist(),
    )
    return draw.random((30, 90)).astype(np.float32), query, gallery


def test_a_pair_of_cameras_is_an_evaluation_of_these_pictures_alone():
    distances, query, gallery = scene()
    found = by_camera_pair([distances[:11], distances[11:]], query, gallery)
    assert [(row["query_camera"], row["gallery_camera"]) for row in found] == [
        (a, b) for a in ("c0", "c1", "c2") for b in ("c0", "c1", "c2") if a != b
    ]
    for row in found:
        mine = np.flatnonzero(column(query, "camera") == row["query_camera"])
        theirs = np.flatnonzero(column(gallery, "camera") == row["gallery_camera"])
        alone = evaluate_distances([distances[np.ix_(mine, theirs)]], rows(query, mine), rows(gallery, theirs)).summary
        assert all(row[key] == pytest.approx(alone[key]) for key in ("rank1", "map", "queries"))
        assert row["gallery"] == alone["gallery"] - alone["gallery_junk"]


def test_one_camera_has_no_pairs():
    distances, query, gallery = scene()
    one = rows(gallery, column(gallery, "camera") == "c1")
    mine = column(query, "camera") == "c1"
    assert by_camera_pair([distances[mine][:, : len(one)]], rows(query, mine), one) == []


def per_query():
    return pa.table(
        {
            "camera": ["b", "b", "a", None, "b", "z"],
            "valid": [True, True, True, True, False, False],
            "positives": [1, 2, 2, 9, 0, 0],
            "first_hit": [1, 3, 1, 2, 0, 0],
            "ap": [1.0, 0.5, 0.7, 0.2, np.nan, np.nan],
        }
    )


def test_by_camera_leaves_unmatched_queries_out():
    assert by_camera(per_query()) == [
        {"camera": None, "queries": 1, "rank1": 0.0, "map": 0.2},
        {"camera": "a", "queries": 1, "rank1": 1.0, "map": 0.7},
        {"camera": "b", "queries": 2, "rank1": 0.5, "map": 0.75},
        {"camera": "z", "queries": 0, "rank1": None, "map": None},
    ]


def test_by_positives_keeps_equal_numbers_together():
    """Of 1, 2, 2, 9 the thirds end at 2 and 2, so that the middle one is empty."""
    few, many = by_positives(per_query())
    assert (few["positives"], few["fewest"], few["most"], few["queries"]) == ("few", 1, 2, 3)
    assert (few["rank1"], few["map"]) == pytest.approx((2 / 3, 2.2 / 3))
    assert many == {"positives": "many", "fewest": 9, "most": 9, "queries": 1, "rank1": 0.0, "map": 0.2}
