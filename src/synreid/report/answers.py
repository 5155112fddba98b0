"""The sentence under each question of the report: the answer, with its interval where chance has a part in it."""

from __future__ import annotations

import numpy as np

from synreid.report.entries import Difference, Study
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
)
from synreid.study.statistics import paired_difference

HARD_LABELS = ("new-identity", "shuffled", "extra-class", "pseudo")  # one class a picture: such a loss may reach zero


def verdict(headline: Difference | None) -> str:
    """Say in plain words what the headline's interval allows one to believe."""
    if headline is None:
        return "The study lists no difference of an augmented arm against a control, so it gives no interval."
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
        bounds = interval(headline.persons["low"], headline.persons["high"])
        told.append(
            f"{both}, for other test persons too and not only for other seeds: 95 % interval {bounds} points of mAP."
        )
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
        f"Between {first_kimg:g} and {last_kimg:g} thousand pictures its Fréchet distance to real pictures {went} from "
        f"{first:.3g} to {last:.3g}. It is one generator, so there is no interval: another one may come nearer."
    )


def learning(study: Study, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Say how far the training loss of every arm fell, of curves as `folder.learning_curves` returns them."""
    left = {arm: float(y[-1] / y.max()) for arm, (_, y) in curves.items() if len(y) > 1 and y.max() > 0}
    if not left:
        return ""
    reach = " to ".join(percent(value, 0) for value in (min(left.values()), max(left.values()))[: len(left)])
    told = (
        f"At the end the training loss is {reach} % of its highest value in "
        f"{'the arm' if len(left) == 1 else f'all {len(left)} arms'}"
    )
    if soft := sum(arm.name in left and arm.labels not in HARD_LABELS for arm in study.arms):
        told += f"; in {several(soft, 'arm')} with soft labels it cannot fall to zero"
    return told + "."


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
