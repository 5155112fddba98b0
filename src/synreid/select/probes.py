"""Pictures that a score should refuse, made from pictures of persons: no person at all, or a broken one."""

from __future__ import annotations

import cv2
import numpy as np

from synreid.features.framing import resized

REAL = "real"
CORNER = (0.3, 2 / 9)  # of height and width: an upper corner of a crop shows what is behind the person
TILES = (4, 2)
GRAINS = (16, 8)
COPY_QUALITY = 75


def probes(pictures: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return pictures, uint8 `[N, H, W, 3]`, as they are ("real") and by what was done to them, all of one shape.

    Of no person: "background", "texture". Broken persons: "shuffled", "upside down", "legs". Each is made from the
    picture in the same place; the same seed gives the same bytes.
    """
    rng = np.random.default_rng(seed)
    return {
        REAL: np.asarray(pictures),
        "background": background(pictures),
        "texture": shuffled(pictures, GRAINS, rng),
        "shuffled": shuffled(pictures, TILES, rng),
        "upside down": np.ascontiguousarray(pictures[:, ::-1]),
        "legs": legs(pictures),
    }


def background(pictures: np.ndarray) -> np.ndarray:
    """Return an upper corner of each picture, left and right in turn, blown up to the whole `[N, H, W, 3]`."""
    height, width = pictures.shape[1:3]
    h, w = (max(1, round(share * side)) for share, side in zip(CORNER, (height, width), strict=True))
    corners = [picture[:h, -w:] if k % 2 else picture[:h, :w] for k, picture in enumerate(pictures)]
    return resized(np.stack(corners), height, width)


def legs(pictures: np.ndarray) -> np.ndarray:
    """Return the lower half of each picture, stretched to the whole `[N, H, W, 3]`."""
    return resized(pictures[:, pictures.shape[1] // 2 :], *pictures.shape[1:3])


def shuffled(pictures: np.ndarray, tiles: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return pictures with their tiles moved, each to another's place, `[N, H, W, 3]`.

    `tiles` is how many there are from top to bottom and from left to right; rows and columns of pixels that do not
    make up a whole tile stay. No tile keeps its place: all move along one random cycle.
    """
    h, w = pictures.shape[1] // tiles[0], pictures.shape[2] // tiles[1]
    out = np.array(pictures)
    for picture, moved in zip(pictures, out, strict=True):
        order = rng.permutation(tiles[0] * tiles[1])
        for place, source in zip(order, np.roll(order, 1), strict=True):
            (y, x), (v, u) = divmod(int(place), tiles[1]), divmod(int(source), tiles[1])
            moved[y * h : (y + 1) * h, x * w : (x + 1) * w] = picture[v * h : (v + 1) * h, u * w : (u + 1) * w]
    return out


def copies(pictures: np.ndarray) -> np.ndarray:
    """Return near-duplicates of pictures, uint8 `[N, H, W, 3]`: the same after JPEG of quality 75."""
    out = np.empty_like(pictures)
    for k, picture in enumerate(pictures):
        _, file = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, COPY_QUALITY])
        out[k] = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))[..., ::-1]
    return out
