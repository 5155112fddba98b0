"""Sheets: many small pictures in one, to look at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from synreid.stage.files import atomic_path, writing

GAP = 4  # pixels between cells
FRAME = 3  # pixels of a coloured frame
GUTTER = 24  # pixels between two sheets beside each other
FONT_SIZE = 11
WRITERS = 4  # files written at a time
SHOWN_HEIGHT = 128  # smaller pictures are enlarged to about this height
Colour = tuple[int, int, int]
GREEN: Colour = (20, 160, 60)
RED: Colour = (205, 40, 40)
BLUE: Colour = (40, 90, 190)
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (20, 20, 20)


def sheet(
    pictures: np.ndarray | Sequence[np.ndarray],
    columns: int,
    captions: Sequence[str] | None = None,
    frames: Sequence[Colour | None] | None = None,
    scale: int = 1,
    heads: Sequence[str] | None = None,
    sides: Sequence[str] | None = None,
) -> np.ndarray:
    """Return pictures, uint8 [N, H, W, 3], as one sheet, uint8 [H', W', 3], row by row from the left.

    `captions` stand under their pictures, `heads` above the columns, `sides` left of the rows (several lines where they
    have line breaks); cells grow where texts need room. `frames` are colours around single pictures, None for no frame;
    `scale` enlarges by whole pixels. Raises ValueError where texts or frames are not as many as the pictures, columns
    or rows that they belong to.
    """
    if len(pictures) == 0:
        return _nothing()
    columns = max(min(columns, len(pictures)), 1)
    lines = -(-len(pictures) // columns)
    _check_counts(len(pictures), columns, lines, captions, frames, heads, sides)
    height, width = (side * scale for side in np.shape(pictures[0])[:2])
    font = ImageFont.load_default(FONT_SIZE)
    border = FRAME if frames is not None else 0
    text_width, text_height = _text_size(captions, font)
    head_width, head_height = _text_size(heads, font)
    side_width, side_height = _text_size(sides, font)
    cell_width = max(width + 2 * border, text_width, head_width) + GAP
    cell_height = max(height + 2 * border + text_height, side_height) + GAP
    x0, y0 = GAP + side_width, GAP + head_height
    page = Image.new("RGB", (x0 + columns * cell_width, y0 + lines * cell_height), WHITE)
    draw = ImageDraw.Draw(page)
    for index, picture in enumerate(pictures):
        left = x0 + index % columns * cell_width + (cell_width - GAP - width) // 2
        top = y0 + index // columns * cell_height + border
        colour = frames[index] if frames is not None else None
        if colour is not None:
            draw.rectangle((left - border, top - border, left + width + border - 1, top + height + border - 1), colour)
        page.paste(Image.fromarray(enlarged(picture, scale)), (left, top))
        if captions is not None:
            _write(draw, left + width / 2, top + height + border + 1, captions[index], font)
    for column, text in enumerate(heads or ()):
        _write(draw, x0 + column * cell_width + (cell_width - GAP) / 2, GAP - 1, text, font)
    for line, text in enumerate(sides or ()):
        middle = y0 + line * cell_height + (cell_height - GAP - text_height) / 2
        _write(draw, x0 - GAP, middle, text, font, anchor="rm", align="right")
    return np.asarray(page)


def titled(page: np.ndarray, title: str) -> np.ndarray:
    """Return a sheet, uint8 [H, W, 3], with `title` (several lines where it has line breaks) above it."""
    font = ImageFont.load_default(FONT_SIZE)
    width, height = _text_size([title], font)
    whole = Image.new("RGB", (max(page.shape[1], width + 2 * GAP), page.shape[0] + height + GAP), WHITE)
    whole.paste(Image.fromarray(page), (0, height + GAP))
    _write(ImageDraw.Draw(whole), GAP, GAP, title, font, anchor="la", align="left")
    return np.asarray(whole)


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return two sheets, uint8 [H, W, 3] each, as one."""
    height = max(len(left), len(right))
    page = np.full((height, left.shape[1] + GUTTER + right.shape[1], 3), 255, dtype=np.uint8)
    page[: len(left), : left.shape[1]] = left
    page[: len(right), -right.shape[1] :] = right
    return page


def shown_scale(height: int) -> int:
    """Return how often pixels of a picture of that height are repeated, so that it is seen at about 128 pixels."""
    return max(1, round(SHOWN_HEIGHT / height))


def enlarged(picture: np.ndarray, scale: int) -> np.ndarray:
    """Return a picture, uint8 [H, W, 3], with every pixel repeated `scale` times each way."""
    return np.repeat(np.repeat(np.asarray(picture, dtype=np.uint8), scale, axis=0), scale, axis=1)


def _check_counts(
    pictures: int,
    columns: int,
    lines: int,
    captions: Sequence[str] | None,
    frames: Sequence[Colour | None] | None,
    heads: Sequence[str] | None,
    sides: Sequence[str] | None,
) -> None:
    for name, given, count, what in (
        ("captions", captions, pictures, "pictures"),
        ("frames", frames, pictures, "pictures"),
        ("heads", heads, columns, "columns"),
        ("sides", sides, lines, "rows"),
    ):
        if given is not None and len(given) != count:
            raise ValueError(f"{len(given)} {name} for {count} {what}.")


def _write(
    draw: ImageDraw.ImageDraw,
    x: float,
    y: float,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    anchor: str = "ma",
    align: str = "center",
) -> None:
    draw.multiline_text((x, y), text, BLACK, font, anchor=anchor, align=align, spacing=1)


def _text_size(texts: Sequence[str] | None, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> tuple[int, int]:
    """Return width and height, in pixels, that every text fits in."""
    if texts is None:
        return 0, 0
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    boxes = [draw.multiline_textbbox((0, 0), text, font, anchor="ma", spacing=1) for text in set(texts)]
    return int(max(box[2] - box[0] for box in boxes)) + 3, int(max(box[3] for box in boxes)) + 4


def _nothing() -> np.ndarray:
    page = Image.new("RGB", (100, 24), WHITE)
    ImageDraw.Draw(page).text((8, 5), "no pictures", BLACK, ImageFont.load_default(FONT_SIZE))
    return np.asarray(page)


def write_picture(path: Path, rgb: np.ndarray) -> None:
    """Write a picture, uint8 [H, W, 3], as PNG, whole or not at all; the same pixels give the same bytes."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(_png(rgb))


def write_pictures(paths: Sequence[Path], pictures: np.ndarray) -> None:
    """Write pictures, uint8 [N, H, W, 3], as PNG, several at a time; the files are those of `write_picture`.

    A file may be cut short if the process ends: for the folder of a stage, which begins again where it did not finish.
    """
    for parent in {path.parent for path in paths}:
        with writing(parent):
            parent.mkdir(parents=True, exist_ok=True)

    def write(share: slice) -> None:
        for path, rgb in zip(paths[share], pictures[share], strict=True):
            with writing(path):
                path.write_bytes(_png(rgb))

    with ThreadPoolExecutor(WRITERS) as threads:
        list(threads.map(write, [slice(first, None, WRITERS) for first in range(WRITERS)]))  # raises what they raised


def _png(rgb: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb, dtype=np.uint8)).save(file, format="PNG", compress_level=6)
    return file.getvalue()


def write_animation(path: Path, pages: Sequence[np.ndarray], milliseconds: int) -> None:
    """Write pages, uint8 [H, W, 3] each, as an endless animated picture, whole or not at all.

    Lossless WebP: a GIF's 256 colours would add a grain that the pictures do not have, and is larger; an animated PNG
    is half as large again (measured on 64 pages of made persons). Every browser plays it.
    """
    first, *rest = (Image.fromarray(np.ascontiguousarray(page, dtype=np.uint8)) for page in pages)
    with atomic_path(Path(path)) as temporary:
        first.save(
            temporary,
            format="WEBP",
            save_all=True,
            append_images=rest,
            duration=milliseconds,
            loop=0,
            lossless=True,
            method=1,
            quality=50,  # with `lossless` it is the effort: more takes many times as long for a hundredth of the size
        )
