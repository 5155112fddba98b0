from __future__ import annotations

import math

import numpy as np
import pytest

from synreid.reid import rerank as module
from synreid.reid.rerank import rerank_distances, rerank_features
from synreid.stage.errors import UserError

QUERIES, K1, K2, LAMBDA = 12, 7, 3, 0.3


def features(seed=0, noise=1.0):
    """Twelve queries and 28 gallery pictures of eight persons, near enough to each other to be mistaken."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(8, 6))
    pictures = centres[np.arange(40) % 8] + noise * draw.normal(size=(40, 6))
    return pictures[:QUERIES].astype(np.float32), pictures[QUERIES:].astype(np.float32)


def euclidean(query, gallery):
    """Distances of features at unit length, all to all."""
    both = np.concatenate([query, gallery]).astype(np.float64)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    return np.array([[math.dist(left, right) for right in both] for left in both])


def by_loops(distances, queries, k1, k2, lambda_value):
    """The paper's equations, one picture and one neighbour at a time; returns final distances and the joined sets."""
    count = len(distances)
    d = [[value**2 / max(line) ** 2 for value in line] for line in distances.tolist()]
    order = [sorted(range(count), key=lambda j, i=i: (j != i, d[i][j])) for i in range(count)]

    def reciprocal(p, k):
        return {g for g in order[p][: k + 1] if p in order[g][: k + 1]}

    whole, half = ([reciprocal(p, k) for p in range(count)] for k in (k1, round(k1 / 2)))
    joined, weights = 0, []
    for p in range(count):
        members = set(whole[p])
        for q in whole[p]:
            if len(half[q] & whole[p]) > 2 / 3 * len(half[q]):
                joined += len(half[q] - members)
                members |= half[q]
        total = sum(math.exp(-d[p][g]) for g in members)
        weights.append([math.exp(-d[p][g]) / total if g in members else 0.0 for g in range(count)])
    mean = [[sum(weights[n][g] for n in order[p][:k2]) / k2 for g in range(count)] for p in range(count)]
    final = np.zeros((queries, count - queries))
    for p in range(queries):
        for g in range(queries, count):
            smaller = sum(min(a, b) for a, b in zip(mean[p], mean[g], strict=True))
            larger = sum(max(a, b) for a, b in zip(mean[p], mean[g], strict=True))
            final[p, g - queries] = (1 - lambda_value) * (1 - smaller / larger) + lambda_value * d[p][g]
    return final, joined


@pytest.mark.parametrize(("k1", "k2", "lambda_value"), [(K1, K2, LAMBDA), (9, 1, 0.0), (10, 10, 0.7), (1, 1, 0.3)])
def test_both_functions_are_what_plain_loops_say(k1, k2, lambda_value):
    query, gallery = features()
    whole = euclidean(query, gallery)
    expected, joined = by_loops(whole, QUERIES, k1, k2, lambda_value)
    assert joined or k1 == 1  # else the expansion of the sets is not tested
    numbers = (k1, k2, lambda_value)
    parts = whole[:QUERIES, :QUERIES], whole[:QUERIES, QUERIES:], whole[QUERIES:, QUERIES:]
    np.testing.assert_allclose(rerank_distances(*parts, *numbers), expected, atol=1e-5)
    np.testing.assert_allclose(rerank_features(query, gallery, *numbers), expected, atol=1e-5)


def test_lambda_one_is_the_original_distance():
    query, gallery = features()
    whole = euclidean(query, gallery) ** 2
    expected = whole[:QUERIES, QUERIES:] / whole[:QUERIES].max(axis=1, keepdims=True)
    np.testing.assert_allclose(rerank_features(query, gallery, K1, K2, 1.0), expected, atol=1e-5)


def test_blocks_do_not_change_the_result(monkeypatch):
    whole = rerank_features(*features(), K1, K2)
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 40 * 5)  # the third block has queries and gallery
    monkeypatch.setattr(module, "PAIRS", 7)
    np.testing.assert_allclose(rerank_features(*features(), K1, K2), whole, atol=1e-6)


def test_the_distances_given_are_left_as_they_are():
    whole = euclidean(*features()).astype(np.float32)
    parts = [whole[:QUERIES, :QUERIES], whole[:QUERIES, QUERIES:], whole[QUERIES:, QUERIES:]]
    before = whole.copy()
    rerank_distances(*parts, K1, K2)
    np.testing.assert_array_equal(whole, before)


def test_pictures_that_are_all_the_same_are_all_as_near():
    same = np.ones((30, 4), dtype=np.float32)
    distances = rerank_features(same[:5], same[5:], 4, 2)
    assert np.isfinite(distances).all() and distances.min() >= 0 and distances.max() <= 1


@pytest.mark.parametrize(
    ("numbers", "match"),
    [
        ((29, 6, 0.3), "k1 is 29, but the gallery has only 28 pictures"),
        ((5, 6, 0.3), "k2 is 6 and its k1 5"),
        ((5, 0, 0.3), "k2 is 0"),
        ((5, 2, 1.5), "lambda is 1.5"),
    ],
)
def test_numbers_that_cannot_be(numbers, match):
    with pytest.raises(UserError, match=match):
        rerank_features(*features(), *numbers)


def test_features_and_distances_that_cannot_be_reranked():
    query, gallery = features()
    whole = euclidean(query, gallery)
    parts = [whole[:QUERIES, :QUERIES], whole[:QUERIES, QUERIES:], whole[QUERIES:, QUERIES:]]
    with pytest.raises(UserError, match=r"must be \[Q, Q\], \[Q, G\] and \[G, G\]"):
        rerank_distances(parts[1], parts[0], parts[2])
    parts[2][0, 1] = np.nan
    with pytest.raises(UserError, match="not finite"):
        rerank_distances(*parts, K1, K2)
    query[3] = np.nan
    with pytest.raises(UserError, match="query features hold 1 rows that are not finite"):
        rerank_features(query, gallery, K1, K2)
