"""Sheets show every picture once, with its caption and frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synreid.data.sheets import GAP, GREEN, RED, sheet, write_picture


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (5, 12, 6, 3), dtype=np.uint8)


def times_found(page: np.ndarray, part: np.ndarray) -> int:
    views = np.lib.stride_tricks.sliding_window_view(page, part.shape)[:, :, 0]
    return int(np.all(views == part, axis=(2, 3, 4)).sum())


def test_every_picture_is_there_once_in_a_grid(pictures: np.ndarray) -> None:
    page = sheet(pictures, columns=2)
    assert page.shape == (3 * (12 + GAP) + GAP, 2 * (6 + GAP) + GAP, 3)
    assert [times_found(page, picture) for picture in pictures] == [1] * 5


def test_scale_repeats_pixels(pictures: np.ndarray) -> None:
    big = np.kron(pictures[0], np.ones((3, 3, 1), dtype=np.uint8))
    assert times_found(sheet(pictures, columns=5, scale=3), big) == 1


def test_captions_widen_cells_and_are_drawn(pictures: np.ndarray) -> None:
    plain, long = sheet(pictures, 5), sheet(pictures, 5, captions=["pedestrian 0.12\nbelow 0.5"] * 5)
    assert long.shape[1] > plain.shape[1]
    assert long.shape[0] > plain.shape[0]
    below = long[GAP + 12 + 1 :]
    assert np.all(below.min(axis=(1, 2))[3:9] < 120), "there is dark text below the pictures"
    assert np.all(long[:, -1] == 255), "no text is cut at the edge"


def test_frames_have_their_colours(pictures: np.ndarray) -> None:
    page = sheet(pictures, 5, frames=[GREEN, RED, None, GREEN, RED])
    counts = [int(np.all(page == colour, axis=2).sum()) for colour in (GREEN, RED)]
    assert counts[0] == counts[1] > 0
    assert [times_found(page, picture) for picture in pictures] == [1] * 5


def test_captions_of_another_number_are_refused(pictures: np.ndarray) -> None:
    with pytest.raises(ValueError, match="2 captions for 5"):
        sheet(pictures, 5, captions=["a", "b"])


def test_nothing_to_show_is_said(pictures: np.ndarray) -> None:
    page = sheet(pictures[:0], 5)
    assert page.ndim == 3
    assert page.min() < 120, "there is text on it"


def test_written_pictures_are_png_and_the_same_bytes(pictures: np.ndarray, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", pictures[0])
    write_picture(tmp_path / "b.png", pictures[0])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), pictures[0])
