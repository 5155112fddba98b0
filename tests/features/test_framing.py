"""Crops as networks are shown them: proportions, place and surroundings."""

from __future__ import annotations

import numpy as np

from synreid.features.framing import bordered, pasted


def test_pasted_keeps_shape_and_stands_in_the_middle() -> None:
    crops = np.zeros((2, 64, 32, 3), dtype=np.uint8)
    canvas = pasted(crops, 100, 0.6, 114)
    dark = (canvas == 0).all(3)
    assert canvas.shape == (2, 100, 100, 3)
    assert dark.sum(1).max() == 60
    assert dark.sum(2).max() == 30
    assert dark[0, 20:80, 35:65].all()
    assert (canvas[~dark] == 114).all()


def test_a_wide_crop_stays_inside() -> None:
    assert pasted(np.zeros((1, 8, 64, 3), dtype=np.uint8), 50, 0.6, 114).shape == (1, 50, 50, 3)


def test_bordered_is_the_crop_with_one_colour_around_it() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 12, 6, 3), dtype=np.uint8)
    canvas = bordered(crops, 12, 5, (152, 52, 101))
    assert canvas.shape == (2, 22, 16, 3)
    np.testing.assert_array_equal(canvas[:, 5:17, 5:11], crops)
    around = np.ones((22, 16), dtype=bool)
    around[5:17, 5:11] = False
    assert (canvas[:, around] == (152, 52, 101)).all()


def test_bordered_brings_a_crop_to_its_height() -> None:
    assert bordered(np.zeros((1, 64, 32, 3), dtype=np.uint8), 128, 150, (1, 2, 3)).shape == (1, 428, 364, 3)
