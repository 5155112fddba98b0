"""Sheets show every picture once, with its caption and frame."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from synreid.data.sheets import (
    GAP,
    GREEN,
    GUTTER,
    RED,
    beside,
    sheet,
    shown_scale,
    titled,
    write_animation,
    write_picture,
    write_pictures,
)
from synreid.stage.errors import UserError


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


def test_heads_and_sides_stand_in_margins_of_their_own(pictures: np.ndarray) -> None:
    plain, named = sheet(pictures, 2), sheet(pictures, 2, heads=["psi\n0.25", "layer\n13"], sides=["a", "b", "seed\n7"])
    assert named.shape[0] > plain.shape[0] + 20, "two lines of text"
    assert [times_found(named, picture) for picture in pictures] == [1] * 5
    assert named[:20].min() < 120, "there is dark text above the columns"
    assert named[40:, :8].min() < 120, "there is dark text left of the rows"
    assert all(edge.min() == 255 for edge in (named[0], named[-1], named[:, 0], named[:, -1])), "no text is cut"


def test_heads_widen_the_columns(pictures: np.ndarray) -> None:
    wide = sheet(pictures, 5, heads=["a long head"] * 5)
    assert wide.shape[1] > sheet(pictures, 5).shape[1] + 5 * 30
    assert [times_found(wide, picture) for picture in pictures] == [1] * 5


def test_title_stands_above_the_page_and_is_not_cut(pictures: np.ndarray) -> None:
    page = sheet(pictures, 5)
    whole = titled(page, "A title that is longer than the page is wide,\nand of two lines")
    assert whole.shape[1] > page.shape[1]
    assert np.array_equal(whole[-len(page) :, : page.shape[1]], page)
    assert np.all(whole[:, -GAP:] == 255)
    assert whole[: -len(page)].min() < 120


@pytest.mark.parametrize(("height", "scale"), [(16, 8), (64, 2), (96, 1), (128, 1), (512, 1)])
def test_small_pictures_are_shown_at_about_128_pixels(height: int, scale: int) -> None:
    assert shown_scale(height) == scale


def test_heads_and_sides_of_another_number_are_refused(pictures: np.ndarray) -> None:
    with pytest.raises(ValueError, match="2 heads for 3 columns"):
        sheet(pictures, 3, heads=["a", "b"])
    with pytest.raises(ValueError, match="1 sides for 2 rows"):
        sheet(pictures, 3, sides=["a"])


def test_animation_keeps_every_pixel(pictures: np.ndarray, tmp_path: Path) -> None:
    for name in ("a.webp", "b.webp"):
        write_animation(tmp_path / name, list(pictures), 40)
    assert (tmp_path / "a.webp").read_bytes() == (tmp_path / "b.webp").read_bytes()
    with Image.open(tmp_path / "a.webp") as image:
        assert image.info["loop"] == 0
        shown = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    assert np.array_equal(np.stack(shown), pictures)


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


def test_many_pictures_are_the_files_of_one_at_a_time(tmp_path: Path) -> None:
    made = np.random.default_rng(0).integers(0, 256, (11, 16, 8, 3), dtype=np.uint8)
    paths = [tmp_path / f"{k % 3}" / f"{k}.png" for k in range(len(made))]
    write_pictures(paths, made)
    for path, picture in zip(paths, made, strict=True):
        write_picture(tmp_path / "one.png", picture)
        assert path.read_bytes() == (tmp_path / "one.png").read_bytes()


def test_a_disk_that_fills_up_while_many_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.stem == "7":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"7\.png cannot be written: the disk is full"):
        write_pictures([tmp_path / f"{k}.png" for k in range(11)], np.zeros((11, 16, 8, 3), dtype=np.uint8))


def test_sheets_of_unlike_heights_stand_beside_each_other(pictures: np.ndarray) -> None:
    left, right = sheet(pictures[:2], columns=2), sheet(pictures[2:], columns=1)
    page = beside(left, right)
    assert page.shape == (len(right), left.shape[1] + GUTTER + right.shape[1], 3)
    np.testing.assert_array_equal(page[: len(left), : left.shape[1]], left)
    np.testing.assert_array_equal(page[:, -right.shape[1] :], right)
    assert (page[len(left) :, : left.shape[1] + GUTTER] == 255).all()
