"""What each training of a study made of each query, for statistics over test persons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from synreid.data.table import column
from synreid.reid.evaluate import read_evaluation


@dataclass(frozen=True)
class QueryScores:
    """One arm's scores of the queries that have a match: S seeds, N queries."""

    paths: np.ndarray
    """Names of the query pictures, [N]."""
    persons: np.ndarray
    """Whom they show, [N]."""
    values: Mapping[str, np.ndarray]
    """By metric: map, average precision in [0, 1]; rank1, whether the first place is right, 0 or 1; each [S, N]."""

    def same_queries(self, other: QueryScores) -> bool:
        """Whether both were scored on the same pictures of the same persons, in the same order."""
        return np.array_equal(self.paths, other.paths) and np.array_equal(self.persons, other.persons)


def read_query_scores(folder: Path, arms: Sequence[str], seeds: Sequence[int]) -> dict[str, QueryScores]:
    """Return the scores of each arm whose trainings in `folder` / arm / seed have all left theirs, of the same queries.

    Other arms, such as those whose user has cleared the folders, are left out: they have no interval over persons.
    Raises UserError for a damaged file.
    """
    found = {arm: _arm_scores(folder / arm, seeds) for arm in arms}
    return {arm: scores for arm, scores in found.items() if scores is not None}


def _arm_scores(folder: Path, seeds: Sequence[int]) -> QueryScores | None:
    parts = []
    for seed in sorted(seeds):
        if (evaluation := read_evaluation(folder / str(seed))) is None:
            return None
        parts.append(_scores(evaluation.per_query))
    if not all(part.same_queries(parts[0]) for part in parts):
        return None
    values = {metric: np.concatenate([part.values[metric] for part in parts]) for metric in parts[0].values}
    return QueryScores(parts[0].paths, parts[0].persons, values)


def _scores(per_query: pa.Table) -> QueryScores:
    valid = column(per_query, "valid").astype(bool)
    paths, persons, ap, first = (column(per_query, name)[valid] for name in ("path", "pid", "ap", "first_hit"))
    values = {"map": ap.astype(np.float64)[None], "rank1": (first == 1).astype(np.float64)[None]}
    return QueryScores(paths.astype(str), persons.astype(str), values)
