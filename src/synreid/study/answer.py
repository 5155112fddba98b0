"""From the results of all trainings to a sentence with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from synreid.study.arms import Arm
from synreid.study.statistics import mean_and_deviation, paired_difference

COMPARED = ("map", "rank1")
SUMMARISED = ("rank1", "rank5", "rank10", "map", "map_trapezoid", "minp")
SEEDS_FOR_A_CLAIM = 5


def _values(results: Sequence[dict[str, Any]], arm: str, metric: str) -> list[float]:
    """Return one arm's values in the order of seeds."""
    return [float(row[metric]) for row in sorted(results, key=lambda row: row["seed"]) if row["arm"] == arm]


def summary_of(arms: Sequence[Arm], results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean and standard deviation over seeds of each arm, as fractions."""
    rows = []
    for arm in arms:
        row: dict[str, Any] = {"arm": arm.name}
        for metric in SUMMARISED:
            mean, deviation = mean_and_deviation(_values(results, arm.name, metric))
            row |= {f"{metric}_mean": mean, f"{metric}_sd": _or_none(deviation)}
        rows.append(row)
    return rows


def differences_of(arms: Sequence[Arm], results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the paired differences, as fractions, of each arm against each arm that it names."""
    rows = []
    for arm in arms:
        for against in arm.against:
            for metric in COMPARED:
                found = paired_difference(_values(results, arm.name, metric), _values(results, against, metric))
                rows.append(
                    {
                        "arm": arm.name,
                        "against": against,
                        "metric": metric,
                        "mean": found.mean,
                        "low": _or_none(found.low),
                        "high": _or_none(found.high),
                        "n": len(found.per_seed),
                        "per_seed": list(found.per_seed),
                    }
                )
    return rows


def headline_arm(arms: Sequence[Arm]) -> Arm:
    """Return the arm that the answer is about: the largest amount of persons, or else of variations.

    Of several with that amount of variations it is the last. This is fixed before the run, so it is no best of several.
    """
    persons = [arm for arm in arms if arm.persons and arm.real and arm.labels == "new-identity"]
    if persons:
        return max(persons, key=lambda arm: arm.persons)
    return max(reversed(arms), key=lambda arm: arm.variations)


def answer_of(arms: Sequence[Arm], differences: Sequence[dict[str, Any]], seeds: int) -> str:
    """Return the answer: the headline arm against real pictures with as many steps, in mAP points."""
    added = headline_arm(arms)
    row = next(
        row
        for row in differences
        if row["arm"] == added.name and row["against"] == added.against[0] and row["metric"] == "map"
    )
    mean = row["mean"] * 100
    what = f"{_added(added)} changed mAP by {mean:+.1f} points"
    control = "against the real pictures alone, trained for as many steps"
    if row["low"] is None:
        return f"{what} {control}; with one seed there is no interval, so this says nothing yet."
    low, high = row["low"] * 100, row["high"] * 100
    verdict = "they helped" if low > 0 else "they did harm" if high < 0 else "no effect is shown"
    caution = "" if seeds >= SEEDS_FOR_A_CLAIM else " This is a look, not a claim: a claim takes five seeds or more."
    interval = f"95 % interval {low:+.1f} to {high:+.1f}, {seeds} seeds, given this generator"
    return f"{what} {control} ({interval}): {verdict}.{caution}"


def _added(arm: Arm) -> str:
    if arm.persons:
        return f"Adding {arm.persons} artificial persons"
    return f"Adding {arm.title.removeprefix('real + ')}"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
