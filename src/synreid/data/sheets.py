"""Sheets: many small pictures in one, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from synreid.stage.files import atomic_path

GAP = 4  # pixels between cells
FRAME = 3  # pixels of a coloured frame
FONT_SIZE = 11
Colour = tuple[int, int, int]
GREEN: Colour = (20, 160, 60)
RED: Colour = (205, 40, 40)
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (20, 20, 20)


def sheet(
    pictures: np.ndarray | Sequence[np.ndarray],
    columns: int,
    captions: Sequence[str] | None = None,
    frames: Sequence[Colour | None] | None = None,
    scale: int = 1,
) -> np.ndarray:
    """Return pictures, uint8 [N, H, W, 3], as one sheet, uint8 [H', W', 3], row by row from the left.

    `captions` stand under their pictures (several lines where they have line breaks) and widen the columns where they
    need room; `frames` are colours around single pictures, None for no frame; `scale` enlarges by whole pixels.
    Raises ValueError where captions or frames are not as many as the pictures.
    """
    if len(pictures) == 0:
        return _nothing()
    for name, given in (("captions", captions), ("frames", frames)):
        if given is not None and len(given) != len(pictures):
            raise ValueError(f"{len(given)} {name} for {len(pictures)} pictures.")
    height, width = (side * scale for side in np.shape(pictures[0])[:2])
    font = ImageFont.load_default(FONT_SIZE)
    border = FRAME if frames is not None else 0
    text_width, text_height = _text_size(captions, font)
    cell_width = max(width + 2 * border, text_width) + GAP
    cell_height = height + 2 * border + text_height + GAP
    columns = max(min(columns, len(pictures)), 1)
    lines = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * cell_width + GAP, lines * cell_height + GAP), WHITE)
    draw = ImageDraw.Draw(page)
    for index, picture in enumerate(pictures):
        left = GAP + index % columns * cell_width + (cell_width - GAP - width) // 2
        top = GAP + index // columns * cell_height + border
        colour = frames[index] if frames is not None else None
        if colour is not None:
            draw.rectangle((left - border, top - border, left + width + border - 1, top + height + border - 1), colour)
        big = np.repeat(np.repeat(np.asarray(picture, dtype=np.uint8), scale, axis=0), scale, axis=1)
        page.paste(Image.fromarray(big), (left, top))
        if captions is not None:
            place = (left + width / 2, top + height + border + 1)
            draw.multiline_text(place, captions[index], BLACK, font, anchor="ma", align="center", spacing=1)
    return np.asarray(page)


def _text_size(captions: Sequence[str] | None, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> tuple[int, int]:
    """Return width and height, in pixels, that every caption fits in."""
    if captions is None:
        return 0, 0
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    boxes = [draw.multiline_textbbox((0, 0), text, font, anchor="ma", spacing=1) for text in set(captions)]
    return int(max(box[2] - box[0] for box in boxes)) + 3, int(max(box[3] for box in boxes)) + 4


def _nothing() -> np.ndarray:
    page = Image.new("RGB", (100, 24), WHITE)
    ImageDraw.Draw(page).text((8, 5), "no pictures", BLACK, ImageFont.load_default(FONT_SIZE))
    return np.asarray(page)


def write_picture(path: Path, rgb: np.ndarray) -> None:
    """Write a picture, uint8 [H, W, 3], as PNG, whole or not at all; the same pixels give the same bytes."""
    with atomic_path(Path(path)) as temporary:
        Image.fromarray(np.ascontiguousarray(rgb, dtype=np.uint8)).save(temporary, format="PNG", compress_level=6)
