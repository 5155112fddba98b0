from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synreid.reid.ranking import MANY, Ranking, at_most, join, nearest, rank
from synreid.stage.errors import UserError

NAMES = ["a", "b", "c", None]


def by_loops(distances, query_pid, query_camera, gallery_pid, gallery_camera, junk):
    """The protocol, one query and one gallery picture at a time."""
    answers = []
    for q, line in enumerate(distances):
        ranked = []
        for g, distance in enumerate(line):
            same = query_pid[q] is not None and query_pid[q] == gallery_pid[g]
            own_camera = query_camera[q] is not None and query_camera[q] == gallery_camera[g]
            if junk[g] or (same and own_camera):
                continue
            ranked.append((distance, same, g))  # False before True: a tied negative stands first
        ranked.sort()
        hits = [place for place, entry in enumerate(ranked) if entry[1]]
        if not hits:
            answers.append((False, 0, 0, np.nan, np.nan, np.nan, ranked))
            continue
        ap = trapezoid = 0.0
        for number, place in enumerate(hits):
            precision = (number + 1) / (place + 1)
            earlier = number / place if place else 1.0
            ap += precision / len(hits)
            trapezoid += (earlier + precision) / 2 / len(hits)
        answers.append((True, len(hits), hits[0] + 1, ap, trapezoid, len(hits) / (hits[-1] + 1), ranked))
    return answers


@st.composite
def galleries(draw):
    queries, gallery = draw(st.integers(1, 4)), draw(st.integers(1, 14))

    def names(count):
        return np.array(draw(st.lists(st.sampled_from(NAMES), min_size=count, max_size=count)), dtype=object)

    # few distinct distances, so that ties of all kinds are common
    flat = draw(st.lists(st.integers(0, 4), min_size=queries * gallery, max_size=queries * gallery))
    distances = np.array(flat, dtype=np.float32).reshape(queries, gallery) / 4
    junk = np.array(draw(st.lists(st.booleans(), min_size=gallery, max_size=gallery)), dtype=bool)
    return distances, names(queries), names(queries), names(gallery), names(gallery), junk


@settings(max_examples=300, deadline=None)
@given(galleries())
def test_rank_is_what_plain_loops_say(case):
    ranking = rank(*case)
    expected = by_loops(*case)
    for place, name in enumerate(("valid", "positives", "first_hit", "ap", "ap_trapezoid", "inp")):
        np.testing.assert_allclose(getattr(ranking, name), [line[place] for line in expected], err_msg=name)


@settings(max_examples=100, deadline=None)
@given(galleries(), st.integers(1, 12))
def test_nearest_is_what_plain_loops_say(case, depth):
    rows, right = nearest(*case, depth=depth)
    for q, line in enumerate(by_loops(*case)):
        ranked = line[6][:depth]
        assert rows[q].tolist() == [g for _, _, g in ranked] + [-1] * (depth - len(ranked))
        assert right[q].tolist() == [same for _, same, _ in ranked] + [False] * (depth - len(ranked))


@settings(max_examples=50, deadline=None)
@given(galleries(), st.randoms(use_true_random=False))
def test_the_gallerys_order_does_not_matter(case, random):
    distances, query_pid, query_camera, gallery_pid, gallery_camera, junk = case
    order = list(range(len(junk)))
    random.shuffle(order)
    shuffled = rank(
        distances[:, order], query_pid, query_camera, gallery_pid[order], gallery_camera[order], junk[order]
    )
    for name in ("valid", "positives", "first_hit", "ap", "ap_trapezoid", "inp"):
        np.testing.assert_array_equal(getattr(rank(*case), name), getattr(shuffled, name))


def test_random_features_with_junk_distractors_and_many_positives():
    """The size at which the sort takes over is crossed, and names are integers."""
    draw = np.random.default_rng(0)
    query_pid, gallery_pid = draw.integers(0, 5, 20), draw.integers(0, 8, 900)
    query_camera, gallery_camera = draw.integers(0, 3, 20), draw.integers(0, 3, 900)
    distances = np.round(draw.random((20, 900)), 3).astype(np.float32)
    junk = draw.random(900) < 0.1
    case = distances, query_pid, query_camera, gallery_pid, gallery_camera, junk
    ranking = rank(*case)
    assert ranking.positives.min() < MANY < ranking.positives.max()
    np.testing.assert_allclose(ranking.ap, [line[3] for line in by_loops(*case)])


def test_a_hand_made_list_in_both_conventions():
    """Right, wrong, right: standard (1 + 2/3) / 2, by trapezoids (1 + (1/2 + 2/3) / 2) / 2."""
    pid, camera = np.array(["x"]), np.array(["1"])
    ranking = rank(np.array([[0.1, 0.2, 0.3]]), pid, camera, np.array(["x", "y", "x"]), np.array(["2", "2", "3"]))
    assert ranking.ap[0] == pytest.approx(5 / 6)
    assert ranking.ap_trapezoid[0] == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert ranking.inp[0] == pytest.approx(2 / 3)


def test_a_model_that_answers_all_the_same_gets_the_worst_rank():
    pid, camera = np.array(["x"]), np.array(["1"])
    gallery = np.array(["x", "y", "y", "y"])
    ranking = rank(np.zeros((1, 4), dtype=np.float32), pid, camera, gallery, np.array(["2"] * 4))
    assert ranking.first_hit[0] == 4


def test_summary_counts_unmatched_queries_and_leaves_them_out():
    pid, camera = np.array(["x", "z"]), np.array(["1", "1"])
    ranking = rank(np.array([[0.2, 0.1], [0.0, 0.0]]), pid, camera, np.array(["x", "y"]), np.array(["2", "2"]))
    summary = ranking.summary()
    assert (summary["queries"], summary["unmatched"]) == (1, 1)
    assert (summary["rank1"], summary["rank5"], summary["map"]) == (0.0, 1.0, 0.5)
    assert ranking.cmc(3).tolist() == [0, 1, 1]


def test_no_query_with_a_positive_is_an_error():
    ranking = rank(np.zeros((1, 1)), np.array(["x"]), np.array(["1"]), np.array(["x"]), np.array(["1"]))
    with pytest.raises(UserError, match="none of the 1 queries"):
        ranking.summary()


@pytest.mark.parametrize(("value", "match"), [(np.nan, "not a number"), (np.inf, "infinitely far")])
def test_distances_that_are_not_finite_are_errors(value, match):
    distances = np.array([[value, 0.5]], dtype=np.float32)
    with pytest.raises(UserError, match=match):
        rank(distances, np.array(["x"]), np.array(["1"]), np.array(["x", "y"]), np.array(["2", "2"]))


def test_blocks_joined_are_the_whole():
    draw = np.random.default_rng(1)
    distances, pid, camera = draw.random((6, 30)), draw.integers(0, 3, 6), draw.integers(0, 2, 6)
    gallery = draw.integers(0, 3, 30), draw.integers(0, 2, 30)
    whole = rank(distances, pid, camera, *gallery)
    parts = join([rank(distances[part], pid[part], camera[part], *gallery) for part in (slice(0, 2), slice(2, 6))])
    assert isinstance(parts, Ranking)
    np.testing.assert_array_equal(whole.ap, parts.ap)


@pytest.mark.parametrize("count", [1, MANY, MANY + 1])
def test_at_most_counts_by_comparison_and_by_sort(count):
    draw = np.random.default_rng(2)
    values, limits = np.round(draw.random(200), 2), np.round(draw.random(count), 2)
    assert at_most(values, limits).tolist() == [sum(v <= limit for v in values) for limit in limits]
