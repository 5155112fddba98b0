"""The sentence under each question of the report: the answer, with its interval where chance has a part in it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from synreid.report.entries import Arm, Difference, Study
from synreid.report.ranked import RankedLists
from synreid.report.words import (
    METRIC_NAMES,
    count,
    in_brackets,
    interval,
    mean_sd,
    p_value,
    percent,
    points,
    several,
    thousands,
)
from synreid.study.jobs import SEEDS_FOR_A_CLAIM
from synreid.study.statistics import paired_difference

HARD_LABELS = ("new-identity", "shuffled", "extra-class", "pseudo")  # one class a picture: such a loss may reach zero
STILL_HIGH = 0.8  # of its highest value: a training loss that ends above it has hardly fallen
IDENTITY = ("identity", "different persons")  # what calibration calls the judge, and whom it should tell apart
WEAK_JUDGE = 0.75  # AUC below which it is named as a limit

Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]


def verdict(headline: Difference | None) -> str:
    """Say in plain words what the headline's interval allows one to believe."""
    if headline is None:
        return "The study lists no difference of an augmented arm against a control, so it gives no interval."
    if headline.per_seed and not any(headline.per_seed):
        return "Both arms are identical in every seed: one training, or a command that does not look at its pictures."
    return {
        "above": "The whole interval lies above zero: chance between seeds alone does not explain the gain.",
        "below": "The whole interval lies below zero: chance between seeds alone does not explain the loss.",
        "across": "The interval contains zero: these seeds do not settle whether made pictures help or harm.",
        "none": "One seed gives no interval: nothing can be said about chance.",
    }[headline.verdict]


def differences(study: Study) -> str:
    """Say where the study's intervals lie, and what is left after Holm's correction."""
    of_map = [d for d in study.differences if d.metric == "map"]
    if not of_map:
        return ""
    if all(d.verdict == "none" for d in of_map):
        return "One seed gives no interval, so no difference can be told from chance."
    above, below = (sum(d.verdict == kind for d in of_map) for kind in ("above", "below"))
    told = (
        f"Of {several(len(of_map), 'difference')} in mAP, {above} lie wholly above zero, {below} wholly below it, and "
        f"{len(of_map) - above - below} cannot be told from zero."
    )
    if corrected := [d.p_holm for d in of_map if d.p_holm is not None]:
        left = sum(p < 0.05 for p in corrected)
        told += (
            f" Corrected for looking at {several(len(corrected), 'arm')} against their controls (Holm), {left} of them "
            f"{'has' if left == 1 else 'have'} p below 0.05."
        )
    return told


def of_headline(study: Study) -> list[str]:
    """Return what other intervals and tests say of the headline, a sentence or two each."""
    headline = study.headline
    if headline is None:
        return []
    both = f"{study.title(headline.arm)} against {study.title(headline.against)}"
    told = []
    if headline.persons.get("low") is not None:
        low, high = headline.persons["low"], headline.persons["high"]
        wider = f"95 % interval {interval(low, high)} points of mAP."
        if _same(low, headline.low) and _same(high, headline.high):  # as it is where few seeds scatter most
            wider = f"with {several(headline.n, 'seed')} the 95 % interval is no wider than that for other seeds alone."
        told.append(f"{both}, for other test persons too and not only for other seeds: {wider}")
    pair = (headline.arm, headline.against, "rank1")
    ranked = next((d for d in study.differences if (d.arm, d.against, d.metric) == pair), None)
    if ranked is not None and ranked.mcnemar.get("gained") is not None:
        gained, lost = (count(ranked.mcnemar[key]) for key in ("gained", "lost"))
        told.append(
            f"{both}, at first place: {gained} queries are right with the former alone, {lost} with the latter alone, "
            "where a query counts once a seed (McNemar's test, a person's queries kept together: "
            f"{p_value(ranked.mcnemar['p'])}). That speaks of these trained models on other persons, not of the "
            "method: two trainings of one arm differ too."
        )
    return [*told, study.seeds_needed] if study.seeds_needed else told


def _same(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and math.isclose(a, b, abs_tol=1e-9)


def arms(study: Study) -> str:
    """Say where the headline's two arms stand, each with the interval of its mean, and how far seeds scatter."""
    headline = study.headline
    named = [headline.arm, headline.against] if headline else [arm.name for arm in (study.base, study.largest) if arm]
    told = [
        f"{study.title(name)} reaches {_mean(study.values(name, 'map'))}" for name in named if study.values(name, "map")
    ]
    if not told:
        return ""
    spread = [float(np.std(v, ddof=1)) for arm in study.arms if len(v := study.values(arm.name, "map")) > 1]
    said = f"In mAP, percent: {', '.join(told)}."
    if not spread:
        return said
    return f"{said} Between seeds of one arm it scatters by {percent(min(spread))} to {percent(max(spread))} points."


def _mean(values: list[float]) -> str:
    found = paired_difference(values, [0.0] * len(values))
    if len(values) < 2:
        return f"{percent(found.mean)} (one seed, no interval)"
    return f"{percent(found.mean)} (95 % interval {percent(found.low)} to {percent(found.high)})"


def generator(study: Study) -> str:
    """Say how its distance to real pictures went, from its first snapshot to its last."""
    curve = [(e["kimg"], e["frechet"]) for e in study.quality if None not in (e["kimg"], e["frechet"])]
    if len(curve) < 2:
        return ""
    (first_kimg, first), (last_kimg, last) = min(curve), max(curve)
    went = "fell" if last < first else "rose"
    return (
        f"Between {thousands(first_kimg)} and {thousands(last_kimg)} thousand pictures its Fréchet distance to real "
        f"pictures {went} from {first:.3g} to {last:.3g}. It is one generator, so there is no interval: another one "
        "may come nearer."
    )


def learning(study: Study, curves: Curves) -> str:
    """Say how far the training loss of every arm fell, of curves as `folder.learning_curves` returns them."""
    left = _left(curves)
    if not left:
        return ""
    reach = " to ".join(percent(value, 0) for value in (min(left.values()), max(left.values()))[: len(left)])
    judged, slow = _judged(study, left)
    told = (
        f"{'No: at' if slow else 'Yes: at' if judged else 'At'} the end the training loss is {reach} % of its highest "
        f"value in {'the arm' if len(left) == 1 else f'all {len(left)} arms'}"
    )
    if soft := sum(arm.name in left and arm.labels not in HARD_LABELS for arm in study.arms):
        told += f"; in {several(soft, 'arm')} with soft labels it cannot fall to zero"
    return f"{told}. {_hardly(slow, judged)}" if slow else told + "."


def _left(curves: Curves) -> dict[str, float]:
    """Return for each arm the last training loss over its highest, those left out whose loss is one number or zero."""
    return {arm: float(y[-1] / y.max()) for arm, (_, y) in curves.items() if len(y) > 1 and y.max() > 0}


def _judged(study: Study, left: Mapping[str, float]) -> tuple[list[Arm], list[Arm]]:
    """Return the arms whose loss says whether they learned, and those of them whose loss says that they did not."""
    judged = [arm for arm in study.arms if arm.name in left and arm.labels in HARD_LABELS]
    return judged, [arm for arm in judged if left[arm.name] > STILL_HIGH]


def _hardly(slow: list[Arm], judged: list[Arm]) -> str:
    return (
        f"In {len(slow)} of {several(len(judged), 'arm')} with hard labels the training loss stays above "
        f"{percent(STILL_HIGH, 0)} % of its highest value: these models have hardly learned anything."
    )


def limits(study: Study, curves: Curves) -> list[str]:
    """Return what falls short by the study's own numbers, a sentence each, after what it noted itself."""
    told = list(study.notes)
    if 0 < len(study.seeds) < SEEDS_FOR_A_CLAIM:
        told.append(f"{several(len(study.seeds), 'seed')}: a claim takes {SEEDS_FOR_A_CLAIM} or more.")
    judged, slow = _judged(study, _left(curves))
    if slow:
        told.append(_hardly(slow, judged))
    judges = [row for row in study.calibration if (row.get("score"), row.get("against")) == IDENTITY]
    for row in judges:
        if None not in (row["auc"], row["passes"]) and row["auc"] < WEAK_JUDGE:
            told.append(
                f"The judge of identity hardly tells these persons apart (AUC {row['auc']:.2f}, where 0.5 is chance): "
                f"at its proposed threshold {percent(row['passes'], 0)} % of pairs of two persons would pass as one."
            )
    return told


def ranked(study: Study, lists: RankedLists) -> str:
    """Say in how many of the shown queries the first hit is right, and what all queries say."""
    told = []
    for arm, _ in lists.arms:
        rows = [hits for query in lists.queries for title, hits in query.rows if title == arm.title and hits]
        right = sum(hits[0].right for hits in rows)
        values = study.values(arm.name, "rank1")
        of_all = f"; of all queries {mean_sd(values)} % over the seeds" if values else ""
        told.append(f"{arm.title}: first hit right in {right} of these {len(rows)}{of_all}")
    difference = study.paired(lists.arms[-1][0].name, lists.arms[0][0].name, "rank1") if len(lists.arms) > 1 else None
    if difference is not None:
        told.append(
            f"a difference of {points(difference.mean)} points in {METRIC_NAMES['rank1']} "
            f"{in_brackets(difference.low, difference.high)}"
        )
    return "; ".join(told) + "."
