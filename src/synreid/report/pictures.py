"""Pictures inside the page: small JPEGs as data: URIs, so that one file holds everything."""

from __future__ import annotations

import base64
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

SHEET_BYTES = 320_000
SHEET_STEPS = ((1280, 85), (1000, 80), (800, 70), (600, 60))  # longest width in pixels, JPEG quality
PERSON_HEIGHT = 128
MAX_PIXELS = 64_000_000


@dataclass(frozen=True)
class Embedded:
    """A picture that stands in the page: its data: URI and its size in pixels."""

    uri: str
    width: int
    height: int


def embed_sheet(path: Path) -> Embedded | None:
    """Return a sheet of pictures, narrowed until its file is small; None where it is missing or damaged."""
    picture = _open(path)
    if picture is None:
        return None
    for width, quality in SHEET_STEPS:
        small = _shrunk(picture, width=width)
        data = _jpeg(small, quality)
        if len(data) <= SHEET_BYTES:
            break
    return _embedded(data, small)


def embed_person(path: Path) -> Embedded | None:
    """Return one person's picture, at most 128 pixels high; None where it is missing or damaged."""
    picture = _open(path)
    if picture is None:
        return None
    small = _shrunk(picture, height=PERSON_HEIGHT)
    return _embedded(_jpeg(small, 82), small)


def numbered(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a pattern ordered by the numbers in their names, so that 9 comes before 10."""
    found = folder.glob(pattern) if folder.is_dir() else ()
    return sorted(found, key=lambda path: ([int(digits) for digits in re.findall(r"\d+", path.name)], path.name))


def _open(path: Path) -> Image.Image | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is checked below
            with Image.open(path) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    return None
                return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises on damaged files
        return None


def _shrunk(picture: Image.Image, width: int | None = None, height: int | None = None) -> Image.Image:
    ratio = min(width / picture.width if width else 1.0, height / picture.height if height else 1.0, 1.0)
    if ratio == 1.0:
        return picture
    size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _embedded(data: bytes, picture: Image.Image) -> Embedded:
    return Embedded("data:image/jpeg;base64," + base64.b64encode(data).decode("ascii"), picture.width, picture.height)
