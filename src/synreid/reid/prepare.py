"""From a picture table to the pixels that a re-ID network sees, by way of a smaller resolution where asked."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from synreid.data.decode import read_picture
from synreid.data.pixels import pixels
from synreid.data.table import paths, rows, spread
from synreid.features.framing import resized
from synreid.reid.options import ReidOptions
from synreid.stage.log import warn

LOOKED_AT = 20  # pictures whose sizes stand for all


def prepare(table: pa.Table, options: ReidOptions) -> np.ndarray:
    """Return the pictures of `table`, uint8 RGB [N, H, W, 3] of `options`' size.

    With `options.through` every picture, real or made, is brought to that resolution first and enlarged after, so
    that sharpness does not tell made pictures from real ones (rule 6 of the design).
    """
    return resized(pixels(table, *options.through_size), *options.size)


def warn_of_sharpness(real: pa.Table, made: pa.Table, options: ReidOptions) -> None:
    """Warn where real and made pictures, one each at least, are unequally sharp as the network sees them.

    So they are where their usual sizes differ, one of them is below the network's own in height or width, and
    `options.through` does not bring all to one size first.
    """
    sizes = [_usual_size(table) for table in (real, made)]
    smaller = min(sizes, key=np.prod)
    if options.through or sizes[0] == sizes[1] or all(np.greater_equal(smaller, options.size)):
        return
    (real_height, real_width), (made_height, made_width) = sizes
    warn(
        f"real pictures have {real_height}x{real_width} pixels and made ones {made_height}x{made_width}, so sharpness "
        f"tells them apart; give --through {smaller[0]}x{smaller[1]} to bring all to one resolution first."
    )


def _usual_size(table: pa.Table) -> tuple[int, int]:
    """Return the median height and width of a few pictures of `table`, evenly spread."""
    sizes = [read_picture(path).shape[:2] for path in paths(rows(table, spread(len(table), LOOKED_AT)))]
    height, width = np.median(sizes, axis=0).astype(int)
    return int(height), int(width)
