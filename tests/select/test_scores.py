"""Scores against plain loops and hand-made cases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from synreid.features.ssim import ssim
from synreid.select import scores


def noise(n: int, height: int = 20, width: int = 14, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def test_ssim_to_first_takes_each_persons_own_first() -> None:
    pictures, persons = noise(5), np.array(["b", "a", "b", "a", "c"])
    expected = [1, 1, ssim(pictures[0], pictures[2]), ssim(pictures[1], pictures[3]), 1]
    np.testing.assert_allclose(scores.ssim_to_first(pictures, persons), expected)


def test_no_more_threads_score_than_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int | None) -> None:
            asked.append(workers)
            super().__init__(workers)

    monkeypatch.setattr(scores, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(scores, "cores", lambda: 3)
    scores.ssim_of_pairs(noise(2), np.array([[0, 1]]))
    assert asked == [3]


def test_own_mean_is_the_loop() -> None:
    features = np.random.default_rng(0).normal(size=(6, 4))
    persons = np.array(["a", "b", "a", "a", "c", "b"])
    found = scores.to_own_mean(features, persons)
    for k in range(6):
        others = [features[j] for j in range(6) if j != k and persons[j] == persons[k]]
        if not others:
            assert np.isnan(found[k])
            continue
        mean = np.mean(others, axis=0)
        assert found[k] == pytest.approx(mean @ features[k] / np.linalg.norm(mean) / np.linalg.norm(features[k]))


def test_other_mean_is_never_ones_own() -> None:
    features = np.repeat(np.eye(3), 4, axis=0)
    persons = np.repeat(["a", "b", "c"], 4)
    np.testing.assert_allclose(scores.to_other_mean(features, persons), 0)
    assert np.isnan(scores.to_other_mean(features, np.repeat("a", 12))).all()


def test_real_mean_is_the_loop_without_the_parent() -> None:
    rng = np.random.default_rng(0)
    real, features = rng.normal(size=(7, 4)), rng.normal(size=(5, 4))
    real_persons = np.array(["b", "a", "b", "a", "c", "a", "a"])
    real_sha256 = np.array(["0", "1", "2", "3", "4", "1", "6"], dtype=object)  # a has one picture twice
    persons, parents = np.array(["a", "b", "c", "a", "b"]), np.empty(5, dtype=object)
    parents[:] = [frozenset(own) for own in (["1"], ["2"], ["4"], ["6", "3"], ["elsewhere"])]
    found = scores.to_real_mean(features, persons, parents, real, real_persons, real_sha256)
    for k in range(5):
        own = [j for j in range(7) if real_persons[j] == persons[k]]
        others = [j for j in own if real_sha256[j] not in parents[k]]
        mean = sum(real[j] for j in others or own)
        cosine = sum(mean * features[k]) / (sum(mean**2) * sum(features[k] ** 2)) ** 0.5
        assert found[k] == pytest.approx(cosine)
    with pytest.raises(KeyError):
        scores.to_real_mean(features[:1], np.array(["d"]), parents[:1], real, real_persons, real_sha256)


def test_a_real_picture_scores_among_its_persons_as_its_own_variation_does() -> None:
    features = np.random.default_rng(0).normal(size=(6, 4))
    persons, sha256 = np.array(["a", "b", "a", "a", "b", "b"]), np.arange(6).astype(str)
    parents = np.empty(6, dtype=object)
    parents[:] = [frozenset([one]) for one in sha256]
    found = scores.to_real_mean(features, persons, parents, features, persons, sha256)
    np.testing.assert_allclose(found, scores.to_own_mean(features, persons))


def test_earlier_is_the_nearest_earlier_picture_of_the_person() -> None:
    flat = np.stack([np.full((16, 8, 3), level, np.uint8) for level in (10, 50, 12, 10, 13)])
    found = scores.to_earlier(flat, np.array(["a", "a", "a", "b", "a"]))
    assert np.isnan(found[[0, 3]]).all()
    np.testing.assert_allclose(found[[1, 2, 4]], [40, 2, 1], atol=1e-4)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    from synreid.features.detectors import HogDetector
    from synreid.features.embedders import PixelEmbedder

    pictures, rows = noise(9, 32, 16), np.array([8, 0, 3, 4, 5])
    lazily = scores.Rows(pictures, rows)
    whole = (
        scores.pedestrian(pictures[rows], HogDetector()),
        scores.embed(pictures[rows], PixelEmbedder()),
        scores.to_earlier(pictures[rows], np.zeros(5)),
    )
    monkeypatch.setattr(scores, "BLOCK", 2)
    np.testing.assert_array_equal(scores.pedestrian(lazily, HogDetector()), whole[0])
    np.testing.assert_array_equal(scores.embed(lazily, PixelEmbedder()), whole[1])
    np.testing.assert_array_equal(scores.to_earlier(lazily, np.zeros(5)), whole[2])
