"""Multi-query features: a query stands for all pictures of its person by its camera, as Market-1501's protocol has it.

Zheng et al. (ICCV 2015) take them from `gt_bbox`, where every box of a query's person is drawn by hand. Of data without
that folder they are the query and gallery pictures of the same person and camera: the latter are left out of this
query's ranking anyway, so nothing that is ranked is looked at before.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from synreid.data.decode import picture_sha256, read_picture
from synreid.data.layouts.market1501 import NAME
from synreid.data.table import column, from_columns, paths
from synreid.reid.evaluate import unit
from synreid.reid.ranking import same_person

HAND_DRAWN = "gt_bbox"


def hand_drawn(query: pa.Table) -> pa.Table | None:
    """Return the pictures in `gt_bbox` of the queries' persons and cameras, or None where there is no such folder.

    The folder stands beside the queries' own, with names as in Market-1501. Raises UserError for a damaged picture.
    """
    seen = zip(paths(query), column(query, "pid"), column(query, "camera"), strict=True)
    wanted = {(key, path.parent.parent): (pid, camera) for path, pid, camera in seen if (key := _key(path))}
    files = [
        (path, *wanted[key, folder])
        for folder in sorted({folder for _, folder in wanted})
        if (folder / HAND_DRAWN).is_dir()
        for path in sorted((folder / HAND_DRAWN).iterdir())
        if (key := _key(path)) and (key, folder) in wanted
    ]
    if not files:
        return None
    found, pids, cameras = zip(*files, strict=True)
    return from_columns(
        path=[str(path) for path in found],
        sha256=[picture_sha256(read_picture(path)) for path in found],
        pid=list(pids),
        camera=list(cameras),
    )


def multi_query_features(
    query: pa.Table, query_features: np.ndarray, pictures: pa.Table, features: np.ndarray
) -> np.ndarray:
    """Return for each query the mean of the features of its person's `pictures` by its camera, float32 [Q, D].

    Features are raw, [Q, D] and [P, D], and brought to unit length first, so that every picture counts alike. A query
    without such pictures, or without an identity or a camera, keeps its own feature, at unit length.
    """
    names = (column(table, name) for table in (query, pictures) for name in ("pid", "camera"))
    start, place, other_camera = same_person(*names)
    own = np.concatenate([[0], np.cumsum(~other_camera)])[start]  # where each query's pictures begin
    count = np.diff(own)
    shares = np.repeat(1 / np.maximum(count, 1), count).astype(np.float32)
    means = csr_array((shares, place[~other_camera], own), shape=(len(query), len(pictures))) @ unit(features).numpy()
    means[count == 0] = unit(query_features[count == 0]).numpy()
    return np.asarray(means, dtype=np.float32)


def _key(path: Path) -> tuple[int, int] | None:
    """Return person and camera as the name has them."""
    found = NAME.fullmatch(path.name)
    return (int(found[1]), int(found[2])) if found else None
