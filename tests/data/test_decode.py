"""One decoder, strict about what is a picture."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synreid.data.decode import DAMAGED, NOT_A_PICTURE, TOO_LARGE, PictureError, picture_sha256, read_picture, resize


def png_head(height: int, width: int) -> bytes:
    """The head of a PNG that claims a size, without its pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def test_png_gives_the_very_pixels(tmp_path: Path, picture) -> None:
    rgb = picture(tmp_path / "a.png", 1)
    assert np.array_equal(read_picture(tmp_path / "a.png"), rgb)


def test_grey_palette_and_alpha_become_rgb(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    Image.fromarray(rgb[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(read_picture(tmp_path / "grey.png"), np.repeat(rgb[..., :1], 3, axis=2))
    Image.fromarray(rgb).convert("RGBA").save(tmp_path / "alpha.png")
    assert np.array_equal(read_picture(tmp_path / "alpha.png"), rgb)
    Image.fromarray(rgb).quantize(256).save(tmp_path / "palette.png")
    assert read_picture(tmp_path / "palette.png").shape == (6, 4, 3)


def test_exif_turns_the_picture_upright(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown upright after 90 degrees clockwise
    Image.fromarray(rgb).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "turned.png"), np.rot90(rgb, -1))


def test_each_bad_file_breaks_its_rule(tmp_path: Path, picture) -> None:
    picture(tmp_path / "whole.jpg", 1, 64, 64)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-700])
    (tmp_path / "text.jpg").write_text("this is not a picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "huge.png").write_bytes(png_head(20_000, 20_000))
    (tmp_path / "large.png").write_bytes(png_head(10_000, 6_401))
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(tmp_path / "deep.png")
    rules = {
        "cut.jpg": DAMAGED,
        "text.jpg": NOT_A_PICTURE,
        "empty.jpg": NOT_A_PICTURE,
        "huge.png": TOO_LARGE,
        "large.png": TOO_LARGE,
        "deep.png": DAMAGED,
        "none.png": DAMAGED,
    }
    for name, rule in rules.items():
        with pytest.raises(PictureError, match=name) as caught:
            read_picture(tmp_path / name)
        assert caught.value.rule == rule


def test_exactly_64_megapixels_are_not_refused_for_their_size(tmp_path: Path) -> None:
    (tmp_path / "edge.png").write_bytes(png_head(10_000, 6_400))
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / "edge.png")
    assert caught.value.rule == DAMAGED, "it has no pixels, but its size is allowed"


def test_sha256_is_of_shape_and_pixels(tmp_path: Path, picture) -> None:
    rgb = picture(tmp_path / "a.png", 1)
    picture(tmp_path / "a.bmp", 1)
    assert picture_sha256(rgb) == hashlib.sha256(b"16x8x3" + rgb.tobytes()).hexdigest()
    assert picture_sha256(read_picture(tmp_path / "a.bmp")) == picture_sha256(rgb)
    assert picture_sha256(rgb.reshape(8, 16, 3)) != picture_sha256(rgb)
    assert picture_sha256(rgb[:, ::-1]) == picture_sha256(rgb[:, ::-1].copy()), "memory layout does not count"


def test_resize_is_antialiased_and_keeps_flat_colour() -> None:
    stripes = np.zeros((32, 32, 3), dtype=np.uint8)
    stripes[::2] = 255  # finer than the small picture can show: must become grey, not black or white
    assert np.abs(resize(stripes, 8, 32)[1:-1].astype(int) - 127).max() < 12
    flat = np.full((7, 5, 3), 93, dtype=np.uint8)
    assert np.all(resize(flat, 20, 3) == 93)
    assert resize(flat, 7, 5) is flat
