"""How a crop is shown to a network: at its size, or, where it learnt from whole scenes, with something around it."""

from __future__ import annotations

import cv2
import numpy as np


def resized(pictures: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pictures `[N, h, w, 3]` at `[N, height, width, 3]`, both uint8: by area where both sides shrink, else bilinear.

    Of the size that they have already they are returned as they are.
    """
    h, w = pictures.shape[1:3]
    if (h, w) == (height, width):
        return np.ascontiguousarray(pictures)
    how = cv2.INTER_AREA if height <= h and width <= w else cv2.INTER_LINEAR
    out = np.empty((len(pictures), height, width, 3), dtype=np.uint8)
    for source, target in zip(pictures, out, strict=True):
        cv2.resize(np.asarray(source), (width, height), dst=target, interpolation=how)
    return out


def pasted(pictures: np.ndarray, size: int, share: float, grey: int) -> np.ndarray:
    """Crops `[N, H, W, 3]` in the middle of grey squares `[N, size, size, 3]`, `share` of their height, both uint8.

    Detectors learnt from whole scenes: a tight crop that fills the input scores much lower than one with a margin.
    """
    h, w = pictures.shape[1:3]
    height = round(size * share)
    width = max(1, min(round(height * w / h), size))
    top, left = (size - height) // 2, (size - width) // 2
    canvas = np.full((len(pictures), size, size, 3), grey, dtype=np.uint8)
    for k, picture in enumerate(pictures):
        crop = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=cv2.INTER_LINEAR)
        canvas[k, top : top + height, left : left + width] = crop
    return canvas


def bordered(pictures: np.ndarray, height: int, border: int, colour: tuple[int, int, int]) -> np.ndarray:
    """Crops `[N, H, W, 3]` brought to `height` rows, with `border` pixels of one RGB colour on every side, both uint8.

    Returns `[N, height + 2 border, width + 2 border, 3]`; the crop's proportions are kept.
    """
    h, w = pictures.shape[1:3]
    width = max(1, round(height * w / h))
    canvas = np.empty((len(pictures), height + 2 * border, width + 2 * border, 3), dtype=np.uint8)
    canvas[:] = colour
    for k, picture in enumerate(pictures):
        crop = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=cv2.INTER_LINEAR)
        canvas[k, border : border + height, border : border + width] = crop
    return canvas
