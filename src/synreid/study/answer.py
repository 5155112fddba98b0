"""From the results of all trainings to a sentence with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from synreid.study.arms import Arm
from synreid.study.clustered import clustered_mcnemar, persons_interval
from synreid.study.dose import dose_of, matched_control
from synreid.study.jobs import COMPARED, MEASURES, SEEDS_FOR_A_CLAIM, is_identical
from synreid.study.query_scores import QueryScores, read_query_scores
from synreid.study.statistics import (
    LEVEL,
    MOST_SEEDS,
    holm,
    mean_and_deviation,
    or_none,
    paired_difference,
    seeds_needed,
)

ALIKE = "the same training, scores at their limit, or a command that does not look at {train}"
PRECISION = 0.005  # half an interval's width that is fine enough for most: half a point


def findings_of(arms: Sequence[Arm], results: Sequence[dict[str, Any]], trainings: Path) -> dict[str, Any]:
    """Return all that the results say: answer, summary, differences, dose and seeds_needed, fractions in [0, 1].

    `trainings` holds the folder of each training, arm / seed, with its scores by query; raises UserError for a damaged
    one.
    """
    seeds = sorted({int(row["seed"]) for row in results})
    scores = read_query_scores(trainings, [arm.name for arm in arms], seeds)
    differences = differences_of(arms, results, scores)
    dose = dose_of(arms, differences, headline_arm(arms))
    return {
        "answer": answer_of(arms, differences, len(seeds), dose),
        "summary": summary_of(arms, results),
        "differences": differences,
        "dose": dose,
        "seeds_needed": seeds_needed_of(arms, differences),
    }


def _values(results: Sequence[dict[str, Any]], arm: str, metric: str) -> list[float]:
    """Return one arm's values in the order of seeds."""
    return [float(row[metric]) for row in sorted(results, key=lambda row: row["seed"]) if row["arm"] == arm]


def summary_of(arms: Sequence[Arm], results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean and standard deviation over seeds of each arm, as fractions."""
    rows = []
    for arm in arms:
        row: dict[str, Any] = {"arm": arm.name}
        for metric in MEASURES:
            mean, deviation = mean_and_deviation(_values(results, arm.name, metric))
            row |= {f"{metric}_mean": mean, f"{metric}_sd": or_none(deviation)}
        rows.append(row)
    return rows


def differences_of(
    arms: Sequence[Arm], results: Sequence[dict[str, Any]], scores: Mapping[str, QueryScores] | None = None
) -> list[dict[str, Any]]:
    """Return the paired differences, as fractions, of each arm against each arm that it names.

    `low` and `high` are over training seeds, on these test persons, and `p` is theirs; `p_holm` is corrected for all
    arms of made pictures against their matched controls, shuffled labels aside. `persons` and, of Rank-1, `mcnemar` are
    what `scores` say of other test persons, None where both arms have none of the same queries.
    """
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
                        "low": or_none(found.low),
                        "high": or_none(found.high),
                        "n": len(found.per_seed),
                        "per_seed": list(found.per_seed),
                        "p": or_none(found.p),
                        "p_holm": None,
                        **_over_persons((scores or {}).get(arm.name), (scores or {}).get(against), metric),
                    }
                )
    for metric in COMPARED:
        family = [row for row in _family(arms, rows) if row["metric"] == metric and row["p"] is not None]
        for row, p in zip(family, holm(np.array([row["p"] for row in family])).tolist(), strict=True):
            row["p_holm"] = p
    return rows


def _over_persons(treated: QueryScores | None, control: QueryScores | None, metric: str) -> dict[str, Any]:
    keys = ("persons", "mcnemar") if metric == "rank1" else ("persons",)
    found: dict[str, Any] = dict.fromkeys(keys)
    if treated is None or control is None or not treated.same_queries(control):
        return found
    values = treated.values[metric], control.values[metric], treated.persons
    if len(values[0]) > 1:
        found["persons"] = asdict(persons_interval(*values))
    if metric == "rank1":
        found["mcnemar"] = asdict(clustered_mcnemar(*values))
    return found


def _family(arms: Sequence[Arm], differences: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the differences of arms of made pictures against their matched controls.

    Shuffled labels are a check of the others, not a way that anyone would choose.
    """
    matched = {(arm.name, matched_control(arm, arms)) for arm in arms if arm.labels != "shuffled"}
    return [row for row in differences if (row["arm"], row["against"]) in matched]


def seeds_needed_of(arms: Sequence[Arm], differences: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return how many seeds would settle each difference that Holm's correction is over; None with one seed."""
    rows = []
    for row in _family(arms, differences):
        _, deviation = mean_and_deviation(row["per_seed"])
        if row["n"] > 1:
            needed = asdict(seeds_needed(row["mean"], deviation, PRECISION))
            rows.append({key: row[key] for key in ("arm", "against", "metric")} | {"sd": deviation} | needed)
    if not rows:
        return None
    headline = headline_arm(arms).name
    about = next((row for row in rows if row["arm"] == headline and row["metric"] == "map"), None)
    text = _seeds_text(about) if about else None
    return {"precision": PRECISION, "up_to": MOST_SEEDS, "level": LEVEL, "rows": rows, "text": text}


def _seeds_text(row: Mapping[str, Any]) -> str:
    def said(seeds: int | None) -> str:
        return f"no number up to {MOST_SEEDS}" if seeds is None else f"{seeds}"

    return (
        f"Were the true difference in mAP and its scatter between seeds (sd {row['sd'] * 100:.2f} points) those seen "
        f"here, it would take {said(row['zero'])} seeds for an interval that is expected to leave out zero, "
        f"{said(row['zero_likely'])} for one that does so in four studies of five, and {said(row['precision'])} for "
        f"one of at most {PRECISION * 100:.1f} points to either side."
    )


def headline_arm(arms: Sequence[Arm]) -> Arm:
    """Return the arm that the answer is about: the largest amount of persons, or else of variations.

    Of several with that amount of variations it is the last. This is fixed before the run, so it is no best of several.
    """
    persons = [arm for arm in arms if arm.persons and arm.real and arm.labels == "new-identity"]
    if persons:
        return max(persons, key=lambda arm: arm.persons)
    return max(reversed(arms), key=lambda arm: arm.variations)


def answer_of(
    arms: Sequence[Arm], differences: Sequence[dict[str, Any]], seeds: int, dose: Sequence[dict[str, Any]] = ()
) -> str:
    """Return the answer: the headline arm against real pictures with as many steps, in mAP points.

    Where there are several amounts of such pictures, a second sentence says what more of them do.
    """
    added = headline_arm(arms)
    row = next(
        row
        for row in differences
        if row["arm"] == added.name and row["against"] == added.against[0] and row["metric"] == "map"
    )
    mean = row["mean"] * 100
    what = f"{_added(added)} changed mAP by {mean:+z.1f} points"
    control = "against the real pictures alone, trained for as many steps"
    several = row["low"] is not None  # with one seed no difference has an interval
    beside = _beside_text(arms, differences) + _slope_text(dose) if several else ""
    if is_identical(row):
        return f"{what} {control}. The scores are identical in every seed: {ALIKE}.{beside}"
    if not several:
        return f"{what} {control}; with one seed there is no interval, so this says nothing yet."
    low, high = row["low"] * 100, row["high"] * 100
    verdict = "they helped" if low > 0 else "they did harm" if high < 0 else "no effect is shown"
    caution = "" if seeds >= SEEDS_FOR_A_CLAIM else " This is a look, not a claim: a claim takes five seeds or more."
    interval = f"95 % interval {low:+z.1f} to {high:+z.1f}, {seeds} seeds, given this generator"
    return f"{what} {control} ({interval}): {verdict}.{caution}{beside}"


def identical_note(arms: Sequence[Arm], differences: Sequence[dict[str, Any]]) -> list[str]:
    """Return a sentence that names the pairs of arms whose differences are all exactly 0; none where there are none."""
    titles = {arm.name: arm.title for arm in arms}
    pairs = dict.fromkeys((row["arm"], row["against"]) for row in differences)
    for row in differences:
        if not is_identical(row):
            pairs.pop((row["arm"], row["against"]), None)
    said = "; ".join(f"{titles[arm]}, against {titles[against]}" for arm, against in pairs)
    return [f"The scores are identical in every seed for {said}: {ALIKE}."] if pairs else []


def _beside_text(arms: Sequence[Arm], differences: Sequence[dict[str, Any]]) -> str:
    """Return what as many persons did with other labels or for other models, and what as many more real ones did."""
    most = headline_arm(arms).persons
    said = []
    for arm in arms:
        if most and most in (arm.persons, arm.more_real) and (opening := _opening(arm)):
            pair = (arm.name, arm.against[0], "map")
            row = next(row for row in differences if (row["arm"], row["against"], row["metric"]) == pair)
            mean, low, high = (row[name] * 100 for name in ("mean", "low", "high"))
            said.append(f" {opening} {mean:+z.1f} ({low:+z.1f} to {high:+z.1f}).")
    return "".join(said)


def _opening(arm: Arm) -> str | None:
    """Return how the sentence of an arm beside the headline's begins, None where the answer leaves it out."""
    if arm.baseline:
        return f"With the model {arm.baseline}:" if arm.persons else None
    if arm.more_real:
        return "As many more real persons changed it by"
    plain = arm.pool == "persons" and not arm.changes and arm.labels not in ("new-identity", "shuffled")
    return f"With labels {arm.labels}:" if plain else None


def _slope_text(dose: Sequence[dict[str, Any]]) -> str:
    row = next((row for row in dose if row["headline"] and row["metric"] == "map"), None)
    if row is None or row["low"] is None:
        return ""
    slope, low, high = (row[name] * 100 for name in ("slope", "low", "high"))
    return (
        f" From {row['amounts'][0]} to {row['amounts'][-1]} {row['of']}, each {row['per']} more changed mAP by "
        f"{slope:+z.2f} points (95 % interval {low:+z.2f} to {high:+z.2f})."
    )


def _added(arm: Arm) -> str:
    if arm.persons:
        return f"Adding {arm.persons} artificial persons"
    return f"Adding {arm.title.removeprefix('real + ')}"
