"""The origin classifier: sees a coding trace, does not see what is not there, and is seeded."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from synreid.quality.origin import _in_test, area_under_roc, auc_interval, origin_auc


def people(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coloured boxes, four of each 'person'."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(30, 226, (n // 4, 2, 3))
    pictures = np.repeat(colours, [8, 8], axis=1).repeat(4, axis=0)[:, :, None, :].repeat(8, axis=2)
    noisy = pictures + rng.normal(0, 8, pictures.shape)
    return noisy.clip(0, 255).astype(np.uint8), np.repeat(np.arange(n // 4), 4)


def test_area_is_the_share_of_right_pairs() -> None:
    negative, positive = np.array([0.1, 0.4, 0.4]), np.array([0.4, 0.9])
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for n in negative for p in positive]
    assert area_under_roc(negative, positive) == pytest.approx(np.mean(pairs))


def test_interval_holds_the_area_and_shrinks_with_persons() -> None:
    rng = np.random.default_rng(0)

    def width(persons: int) -> float:
        names = np.repeat(np.arange(persons), 5)
        n, p = rng.normal(size=len(names)), rng.normal(size=len(names)) + 1
        low, high = auc_interval(n, p, names, names)
        assert low < area_under_roc(n, p) < high
        return high - low

    assert width(80) < width(8)


def test_a_blur_is_told_and_nothing_is_not() -> None:
    real, real_names = people(240, 0)
    made, made_names = people(240, 1)
    plain = origin_auc(real, made, real_names, made_names, 16, 8, steps=80)
    assert plain == origin_auc(real, made, real_names, made_names, 16, 8, steps=80)
    assert plain["low"] <= 0.5 <= plain["high"]
    blurred = np.stack([cv2.GaussianBlur(x, (3, 3), 0) for x in made])
    seen = origin_auc(real, blurred, real_names, made_names, 16, 8, steps=80)
    assert seen["low"] > 0.9
    assert seen["resolution"] == "16x8"
    assert seen["test_real"] == seen["test_made"] == 120


def test_one_person_is_refused() -> None:
    real, names = people(8, 0)
    with pytest.raises(ValueError, match="two persons"):
        origin_auc(real, real, names, np.zeros(8), 16, 8, steps=1)


def test_a_person_of_both_kinds_is_on_one_side() -> None:
    sides: dict[str, bool] = {}
    rng = np.random.default_rng(0)
    real, made = np.array([*"aabbccddeeff"]), np.array([*"abcdefgghh"])
    tested = [_in_test(groups, sides, rng) for groups in (real, made)]
    held = [set(groups[test]) for groups, test in zip((real, made), tested, strict=True)]
    left = [set(groups[~test]) for groups, test in zip((real, made), tested, strict=True)]
    assert not (held[0] | held[1]) & (left[0] | left[1])
    assert held[1] - held[0] and held[0] <= held[1]


def test_pictures_of_the_same_persons_are_not_told_by_the_person() -> None:
    """Made pictures that are real ones of the same persons: knowing persons must not help, nor hurt."""
    real, names = people(240, 0)
    found = origin_auc(real[::2], real[1::2], names[::2], names[1::2], 16, 8, steps=80)
    assert found["low"] <= 0.5 <= found["high"]
