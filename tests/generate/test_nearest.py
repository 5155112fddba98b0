"""Nearest training pictures: a copy or its mirror image is never missed, and stands first on the sheet."""

from __future__ import annotations

import numpy as np
import pytest

from synreid.features.embedders import PixelEmbedder
from synreid.generate.nearest import compare, nearest_sheet, pixel_vectors
from synreid.quality.neighbours import Measure, mirror, unit_vectors


def places_of(page: np.ndarray, part: np.ndarray) -> list[tuple[int, int]]:
    """Return where on the page (top, left) the part stands."""
    h, w = part.shape[:2]
    corners = np.argwhere(np.all(page[: len(page) - h + 1, : page.shape[1] - w + 1] == part[0, 0], axis=2))
    return [(y, x) for y, x in corners.tolist() if np.array_equal(page[y : y + h, x : x + w], part)]


@pytest.fixture
def real() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 16, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("measure", [pixel_vectors, unit_vectors(PixelEmbedder())])
def test_copy_and_mirrored_copy_are_found(real: np.ndarray, measure: Measure) -> None:
    made = np.stack([real[5] // 2 + 60, real[17], real[31, :, ::-1]])
    found, own = compare(measure, real, made, 3)
    assert found.index[1:, 0].tolist() == [17, 31]
    assert found.mirrored[1:, 0].tolist() == [False, True]
    assert np.all(found.distance[1:, 0] == 0)
    assert found.order().tolist() == [1, 2, 0]
    assert own is not None
    assert own > 0


def test_own_nearest_of_training_pictures_is_another_one(real: np.ndarray) -> None:
    vectors, flipped = (pixel_vectors(x).astype(float) for x in (real, mirror(real)))
    distance = np.minimum(*(np.linalg.norm(vectors[:, None] - x, axis=2) for x in (vectors, flipped)))
    distance = np.minimum(distance, distance.T)
    np.fill_diagonal(distance, np.inf)
    assert compare(pixel_vectors, real, real[:1], 1)[1] == pytest.approx(np.median(distance.min(axis=1)))
    assert compare(pixel_vectors, np.repeat(real[:1], 2, axis=0), real[:1], 1)[1] == 0, "a duplicate is another one"
    assert compare(pixel_vectors, real[:1], real[:1], 4)[1] is None


def test_large_pictures_are_shrunk_before_pixels_are_compared() -> None:
    assert pixel_vectors(np.zeros((2, 128, 48, 3), np.uint8)).shape == (2, 64 * 24 * 3)
    assert pixel_vectors(np.zeros((2, 64, 32, 3), np.uint8)).shape == (2, 64 * 32 * 3)


def test_sheet_shows_the_closest_pairs_first(real: np.ndarray) -> None:
    made = np.random.default_rng(1).integers(0, 256, (6, 16, 8, 3), dtype=np.uint8)
    made[4] = real[9, :, ::-1]
    page, numbers = nearest_sheet(real, made, range(100, 106), PixelEmbedder(), neighbours=2, pairs=3)
    for by, best in zip(numbers, (1.0, 0.0), strict=True):  # cosine, difference
        assert len(by["pairs"]) == 3
        first = by["pairs"][0]
        assert (first["seed"], first["rows"][0], first["mirrored"][0], first["values"][0]) == (104, 9, True, best)
    assert "pixels-16x8" in numbers[0]["by"]
    own = compare(pixel_vectors, real, made, 1)[1]
    assert own is not None
    assert numbers[1]["training_median"] == pytest.approx(own / np.sqrt(16 * 8 * 3))
    big = np.kron(made[4], np.ones((8, 8, 1), np.uint8))
    places = places_of(page, big)
    assert len({y for y, _ in places}) == 1, "the sample and its mirrored copy stand in one row, the first"
    assert len(places) == 4, "in either half the sample and its copy, which is shown mirrored"


def test_sheet_of_one_training_picture(real: np.ndarray) -> None:
    page, numbers = nearest_sheet(real[:1], real[1:3], [0, 1], PixelEmbedder(), neighbours=4, pairs=5)
    assert page.dtype == np.uint8
    assert numbers[0]["training_median"] is None
    assert [len(pair["rows"]) for pair in numbers[0]["pairs"]] == [1, 1]
