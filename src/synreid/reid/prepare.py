"""From a picture table to the pixels that a re-ID network sees, by way of a smaller resolution where asked."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from synreid.data.pixels import pixels
from synreid.features.framing import resized
from synreid.reid.options import ReidOptions


def prepare(table: pa.Table, options: ReidOptions) -> np.ndarray:
    """Return the pictures of `table`, uint8 RGB [N, H, W, 3] of `options`' size.

    With `options.through` every picture, real or made, is brought to that resolution first and enlarged after, so
    that sharpness does not tell made pictures from real ones (rule 6 of the design).
    """
    return resized(pixels(table, *options.through_size), *options.size)
