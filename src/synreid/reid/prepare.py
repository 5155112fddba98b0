"""From a picture table to the pixels that a re-ID network sees, by way of a smaller resolution where asked."""

from __future__ import annotations

import cv2
import numpy as np
import pyarrow as pa

from synreid.data.pixels import pixels
from synreid.reid.options import ReidOptions


def prepare(table: pa.Table, options: ReidOptions) -> np.ndarray:
    """Return the pictures of `table`, uint8 RGB [N, H, W, 3] of `options`' size.

    With `options.through` every picture, real or made, is brought to that resolution first and enlarged after, so
    that sharpness does not tell made pictures from real ones (rule 6 of the design).
    """
    return enlarge(pixels(table, *options.through_size), *options.size)


def enlarge(pictures: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 [N, h, w, 3] to [N, height, width, 3]: bilinear upwards, by area where both sides shrink."""
    if pictures.shape[1:3] == (height, width):
        return pictures
    shrinks = pictures.shape[1] >= height and pictures.shape[2] >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    out = np.empty((len(pictures), height, width, 3), dtype=np.uint8)
    for source, target in zip(pictures, out, strict=True):
        target[...] = cv2.resize(source, (width, height), interpolation=method)
    return out
