"""Neighbours: as brute force finds them, whatever the blocks, and a copy has distance 0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synreid.quality.neighbours import BLOCK, mirror, nearest, unit_length


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 30), m=st.integers(1, 5), k=st.integers(1, 30), seed=st.integers(0, 1000))
def test_neighbours_are_those_of_brute_force(n: int, m: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    real, made, mirrored = (rng.standard_normal((count, 6)) for count in (n, m, m))
    found = nearest(real, made, mirrored, k)
    for row in range(m):
        straight, flipped = (np.linalg.norm(real - own[row], axis=1) for own in (made, mirrored))
        order = np.argsort(np.minimum(straight, flipped))[:k]
        np.testing.assert_array_equal(found.index[row], order)
        np.testing.assert_array_equal(found.mirrored[row], (flipped < straight)[order])
        np.testing.assert_allclose(found.distance[row], np.minimum(straight, flipped)[order])


def test_neighbours_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    real = np.random.default_rng(0).integers(0, 256, (40, 384), dtype=np.uint8)
    made = real[::-1] // 2
    whole = nearest(real, made, made, 7)
    monkeypatch.setattr("synreid.quality.neighbours.BLOCK", 3)
    parts = nearest(real, made, made, 7)
    assert len(real) < BLOCK
    np.testing.assert_array_equal(whole.index, parts.index)
    np.testing.assert_array_equal(whole.distance, parts.distance)


def test_a_copy_has_distance_0_and_a_mirrored_one_says_so() -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (9, 8, 4, 3), dtype=np.uint8)
    made = np.stack([pictures[3], pictures[7, :, ::-1]])
    found = nearest(*(x.reshape(len(x), -1) / 255 for x in (pictures, made, mirror(made))), 1)
    assert found.index[:, 0].tolist() == [3, 7]
    assert found.distance[:, 0].tolist() == [0, 0]
    assert found.mirrored[:, 0].tolist() == [False, True]


def test_unit_length_keeps_directions_and_zeros() -> None:
    unit = unit_length(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0]])
