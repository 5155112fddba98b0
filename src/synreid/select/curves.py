"""One score over several kinds of pictures or pairs: quantiles, areas under ROC curves, thresholds, who passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from synreid.quality.origin import area_under_roc, auc_interval

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
DRAWS = 200  # of persons, for an interval
POINTS = 201  # thresholds of a curve, at most
PROPOSED, THESIS, DEFAULT = "proposed", "thesis", "default"


@dataclass
class ScoreSample:
    """Values of one score; a picture or pair passes where its value is at or above a threshold."""

    name: str
    good: str
    """The kind that should pass."""
    values: dict[str, np.ndarray]
    """Each kind's scores `[N]`."""
    persons: dict[str, np.ndarray]
    """The persons `[N]` whose pictures they come from; of a pair of two persons, the first one's.

    Intervals resample these, so those of pairs of two persons are somewhat too narrow.
    """
    thresholds: dict[str, float] = field(default_factory=dict)
    """Thresholds to report on beside the proposed one, by whose they are."""
    accept: float | None = None
    """Share of the good kind that the proposed threshold must let through, where it is not for the user to say."""

    def proposed(self, accept: float) -> float:
        """Return the highest threshold that a share `accept` of the good kind reaches, or the sample's own share."""
        share = accept if self.accept is None else self.accept
        values = np.sort(self.values[self.good])
        below = int(len(values) * (1.0 - share) + 1e-9)  # how many may fall below
        return float(values[min(below, len(values) - 1)])

    def passes(self, threshold: float) -> dict[str, float]:
        """Return the share of each kind, 0 to 1, that passes at a threshold."""
        return {kind: float((scores >= threshold).mean()) for kind, scores in self.values.items()}

    def numbers(self, accept: float, seed: int) -> dict[str, Any]:
        """Return all that a reader is told of the score, as plain values.

        `auc` holds the area under the ROC curve of the good kind against each other one, with its 95 % interval over
        persons: 0.5 tells nothing, 1 tells all apart, below 0.5 the other kind scores higher.
        """
        thresholds = {PROPOSED: self.proposed(accept), **self.thresholds}
        return {
            "should_pass": self.good,
            "kinds": {kind: self._kind(kind) for kind in self.values},
            "auc": {kind: self._auc(kind, seed) for kind in self.values if kind != self.good},
            "thresholds": {whose: {"value": t, "passes": self.passes(t)} for whose, t in thresholds.items()},
        }

    def curve(self) -> pa.Table:
        """Return a table of score, kind, threshold and the share that passes: a row a kind and threshold.

        The thresholds are quantiles of all kinds taken together, rising. A ROC curve is the share of the good kind over
        that of another one.
        """
        every = np.concatenate(list(self.values.values()))
        thresholds = np.unique(np.quantile(every, np.linspace(0, 1, POINTS), method="lower"))
        thresholds = np.append(thresholds, np.nextafter(thresholds[-1], np.inf))  # where nothing passes
        tables = []
        for kind, scores in self.values.items():
            below = np.searchsorted(np.sort(scores), thresholds, side="left")
            columns = {"threshold": thresholds.astype(np.float64), "passes": 1.0 - below / len(scores)}
            names = {"score": [self.name] * len(thresholds), "kind": [kind] * len(thresholds)}
            tables.append(pa.table({**names, **columns}))
        return pa.concat_tables(tables)

    def _kind(self, kind: str) -> dict[str, Any]:
        scores = self.values[kind]
        quantiles = np.quantile(scores, QUANTILES)
        return {
            "count": len(scores),
            "persons": len(np.unique(self.persons[kind])),
            "mean": float(scores.mean()),
            "quantiles": {f"{q:g}": float(value) for q, value in zip(QUANTILES, quantiles, strict=True)},
        }

    def _auc(self, kind: str, seed: int) -> dict[str, float]:
        bad, good = self.values[kind], self.values[self.good]
        low, high = auc_interval(bad, good, self.persons[kind], self.persons[self.good], seed, DRAWS)
        return {"auc": area_under_roc(bad, good), "low": low, "high": high}
