"""Thresholds from real training pictures, shown at the resolution of the made ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from synreid.data.pixels import pixels
from synreid.data.table import column, groups, pick, rows
from synreid.features.detectors import Detector
from synreid.features.embedders import Embedder
from synreid.select.scores import embed, pedestrian, to_other_mean, to_own_mean
from synreid.stage.errors import UserError

ACCEPT = 0.90  # share of real training pictures that the pedestrian rule must let through
DETECTOR_SAMPLE = 300
PERSON_SAMPLE = 100
SEED = 0


@dataclass(frozen=True)
class PedestrianCalibration:
    """What a detector makes of real training pictures."""

    threshold: float
    """The detector's own threshold, or the lower one that 90 % of them reach."""
    own_threshold: float
    accepted_at_own: float
    """Share of real pictures that reach the detector's own threshold, 0 to 1."""
    pictures: int


@dataclass(frozen=True)
class ConsistencyCalibration:
    """What an embedder makes of real training persons."""

    threshold: float
    same_low: float
    """Cosine to the own person's mean that all but `consistency_percentile` percent of real pictures reach."""
    other_high: float
    """Cosine to another person's mean that only as many percent reach."""
    other_pass: float
    """Share of real pictures, 0 to 1, that would pass as another person at the threshold."""
    persons: int
    pictures: int


def training_rows(table: pa.Table) -> pa.Table:
    """The rows of a picture table that thresholds may be taken from: real, training split, with an identity."""
    chosen = pick(table, split="train", junk=False, origin="real")
    chosen = rows(chosen, np.array([pid is not None for pid in column(chosen, "pid")], dtype=bool))
    if len(chosen) == 0:
        raise UserError("The data has no training pictures with an identity, and thresholds come from no others.")
    return chosen


def calibrate_pedestrian(real: pa.Table, detector: Detector, height: int, width: int) -> PedestrianCalibration:
    """Threshold for `detector` on up to 300 of the training rows `real`, reduced to `height`x`width`.

    A detector can be blind to a kind of picture (drawn, seen from above): then its own threshold would discard good
    pictures for what they share with all real ones, so it is lowered until 90 % of the real ones pass.
    """
    rng = np.random.default_rng(SEED)
    chosen = np.sort(rng.permutation(len(real))[:DETECTOR_SAMPLE])
    scores = pedestrian(pixels(rows(real, chosen), height, width), detector)
    return PedestrianCalibration(
        threshold=min(detector.threshold, float(np.quantile(scores, 1.0 - ACCEPT))),
        own_threshold=detector.threshold,
        accepted_at_own=float((scores >= detector.threshold).mean()),
        pictures=len(scores),
    )


def calibrate_consistency(
    real: pa.Table, embedder: Embedder, height: int, width: int, pictures: int, percentile: float
) -> ConsistencyCalibration:
    """Threshold for the cosine to the own person's mean, from up to 100 persons of the training rows `real`.

    Each person lends at most `pictures` pictures, as many as a made person has, or the real person of a variation. The
    threshold is what all but `percentile` percent of the pictures reach, but not above what only `percentile` percent
    of pictures reach with another person's mean. The second bound is for embedders that were trained on these very
    persons, as the real arm's own model is: it draws their pictures together far more than those of anyone unseen.
    """
    sample = rows(real, _sample_persons(column(real, "pid").astype(str), max(pictures, 2)))
    persons = column(sample, "pid").astype(str)
    if len(np.unique(persons)) < 2:
        raise UserError(
            "The training split has fewer than two persons with two pictures each, too few to take the consistency "
            "threshold from; give consistency as a number, or leave the rule out."
        )
    features = embed(pixels(sample, height, width), embedder)
    same, other = to_own_mean(features, persons), to_other_mean(features, persons, SEED)
    same_low = float(np.nanpercentile(same, percentile))
    other_high = float(np.nanpercentile(other, 100.0 - percentile))
    threshold = min(same_low, other_high)
    return ConsistencyCalibration(
        threshold=threshold,
        same_low=same_low,
        other_high=other_high,
        other_pass=float((other >= threshold).mean()),
        persons=len(np.unique(persons)),
        pictures=len(sample),
    )


def _sample_persons(pids: np.ndarray, pictures: int) -> np.ndarray:
    """Row numbers of up to 100 persons with two pictures or more, at most `pictures` of each."""
    rng = np.random.default_rng(SEED)
    several = [members for members in groups(pids) if len(members) > 1]
    chosen = [several[k] for k in np.sort(rng.permutation(len(several))[:PERSON_SAMPLE])]
    drawn = [np.sort(rng.permutation(members)[:pictures]) for members in chosen]
    return np.concatenate(drawn) if drawn else np.zeros(0, dtype=np.int64)
