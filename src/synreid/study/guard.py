"""The leak guard: a generator that has seen a test picture makes every answer worthless."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from synreid.data.table import column, paths
from synreid.stage.errors import UserError

TEST = ("query", "gallery", "val")


def check_no_leak(learned: frozenset[str], table: pa.Table, subset: pa.Table) -> int:
    """Raise UserError if a generator learned from pictures that it must not have seen; return how many are unknown.

    `learned` are the SHA-256 digests of all pictures it learned from, `table` is the whole data set and `subset` the
    training pictures of this study. Forbidden are test pictures, and training pictures outside the subset (they hold
    persons whom the study pretends not to have). Pictures that are in neither, such as those of a shipped generator,
    are counted.
    """
    digests, split = column(table, "sha256"), column(table, "split")
    allowed = set(column(subset, "sha256"))
    seen = np.array([digest in learned for digest in digests], dtype=bool)
    outside = np.array([digest not in allowed for digest in digests], dtype=bool)
    for forbidden, what in (
        (seen & np.isin(split.astype(str), TEST), "a test picture"),
        (seen & outside, "a training picture outside this study's subset"),
    ):
        if forbidden.any():
            place = int(np.flatnonzero(forbidden)[0])
            raise UserError(
                f"the generator learned from {paths(table)[place]}, {what} ({int(forbidden.sum())} such pictures); "
                "leave --gan, or the recipe's gan.start, out: the study then trains one on its own training pictures."
            )
    return len(learned - allowed)
