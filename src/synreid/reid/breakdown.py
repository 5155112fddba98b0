"""Where a model is good and where not: scores by camera, by pair of cameras, and by how many positives a query has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from synreid.data.table import column
from synreid.reid.ranking import Ranking, join, rank

GROUPS = ("few", "middle", "many")


def by_camera(per_query: pa.Table) -> list[dict[str, Any]]:
    """Return Rank-1 and mAP (standard, fractions) of each camera's queries, against the whole gallery."""
    cameras = column(per_query, "camera")
    return [{"camera": name, **_scores(per_query, cameras == name)} for name in sorted(set(cameras), key=str)]


def by_positives(per_query: pa.Table) -> list[dict[str, Any]]:
    """Return Rank-1 and mAP of the third of queries with the fewest positives, the middle one, and the last.

    Difficulty is measured by the number of right pictures since it is the data's, not the model's: every model has
    the same queries in the same third. Queries with as many positives stay together, so thirds differ in size, and
    one that gets no query is left out.
    """
    valid, positives = column(per_query, "valid"), column(per_query, "positives")
    third = np.searchsorted(np.quantile(positives[valid], [1 / 3, 2 / 3]), positives)
    found = []
    for place, name in enumerate(GROUPS):
        chosen = valid & (third == place)
        if chosen.any():
            span = {"fewest": int(positives[chosen].min()), "most": int(positives[chosen].max())}
            found.append({"positives": name, **span, **_scores(per_query, chosen)})
    return found


def by_camera_pair(blocks: Iterable[np.ndarray], query: pa.Table, gallery: pa.Table) -> list[dict[str, Any]]:
    """Return Rank-1 and mAP of each camera's queries against the pictures of one other camera, distractors included.

    `blocks` are distances, floats [B, G], of the queries in their order. The gallery is restricted to that camera
    before ranking, so a pair says how well persons are found again from one camera in another. It does not compare with
    the whole gallery, which has more wrong pictures but also more right ones. Gallery pictures without a camera are
    left out.
    """
    names = [column(query, name) for name in ("pid", "camera")]
    pid, camera, junk = (column(gallery, name) for name in ("pid", "camera", "junk"))
    seen_by = {name: np.flatnonzero(camera == name) for name in sorted({name for name in camera if name is not None})}
    parts: dict[str, list[Ranking]] = {name: [] for name in seen_by}
    start = 0
    for distances in blocks:
        mine = slice(start, start + len(distances))
        start = mine.stop
        for name, columns in seen_by.items():
            other = pid[columns], camera[columns], junk[columns]
            parts[name].append(rank(distances[:, columns], names[0][mine], names[1][mine], *other))
    rankings = {name: join(part) for name, part in parts.items()}
    found = []
    for own in sorted({name for name in names[1] if name is not None}):
        for name, ranking in rankings.items():
            chosen = ranking.valid & (names[1] == own)
            if name != own and chosen.any():
                pair = {"query_camera": own, "gallery_camera": name, "gallery": int((~junk[seen_by[name]]).sum())}
                scores = {"rank1": ranking.first_hit[chosen] == 1, "map": ranking.ap[chosen]}
                means = {metric: float(values.mean()) for metric, values in scores.items()}
                found.append({**pair, "queries": int(chosen.sum()), **means})
    return found


def _scores(per_query: pa.Table, chosen: np.ndarray) -> dict[str, Any]:
    """Return the number of queries with a match among the `chosen`, bool [Q], and their scores, None without any."""
    chosen = chosen & column(per_query, "valid")
    queries = int(chosen.sum())
    if not queries:
        return {"queries": 0, "rank1": None, "map": None}
    rank1 = float((column(per_query, "first_hit")[chosen] == 1).mean())
    return {"queries": queries, "rank1": rank1, "map": float(column(per_query, "ap")[chosen].mean())}
