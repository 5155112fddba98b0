"""Whether more made pictures do more: the slope of the paired differences over the amounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from synreid.study.arms import Arm
from synreid.study.statistics import or_none, paired_difference, slopes, trend

PERSONS_UNITS, VARIATIONS_UNITS = (100, 50, 20, 10, 5, 2), (10, 5, 2)  # that a slope is said per, or else per one


def matched_control(arm: Arm, arms: Sequence[Arm]) -> str | None:
    """Return the arm of real pictures alone with as many steps that `arm` is held against; None where there is none.

    Only an arm of made pictures beside real ones has one.
    """
    if not arm.augmented or not arm.real:
        return None
    matched = {other.name for other in arms if other.control and other.steps_of is not None and not other.changes}
    return next((name for name in arm.against if name in matched), None)


def dose_of(arms: Sequence[Arm], differences: Sequence[dict[str, Any]], headline: Arm) -> list[dict[str, Any]]:
    """Return, for each kind of made pictures with two amounts or more and each metric, slope, interval and trend.

    A kind is what differs in nothing but the amount. Slopes are those of the differences against the matched controls,
    as fractions for 100 persons or for 10 variations a person, or for fewer where the amounts lie nearer. Amount 0,
    where the difference is 0 without being measured, has no part: a gain of the first amount that no further one adds
    to has slope 0.
    """
    kinds: dict[tuple[Any, ...], list[Arm]] = defaultdict(list)
    for arm in arms:
        if matched_control(arm, arms) is not None:
            kinds[_kind(arm)].append(arm)
    rows = []
    for kind, members in kinds.items():
        members.sort(key=_amount)
        if len({_amount(arm) for arm in members}) < len(members) or len(members) < 2:
            continue
        against = [matched_control(arm, arms) for arm in members]
        for metric in dict.fromkeys(row["metric"] for row in differences):
            found = {(row["arm"], row["against"]): row for row in differences if row["metric"] == metric}
            per_seed = [found[arm.name, control]["per_seed"] for arm, control in zip(members, against, strict=True)]
            facts = {"metric": metric, "of": _words(members[0]), "arms": [arm.name for arm in members]}
            facts |= {
                "against": against,
                **_slope(members, np.asarray(per_seed).T),
                "headline": kind == _kind(headline),
            }
            rows.append(facts)
    return rows


def _kind(arm: Arm) -> tuple[Any, ...]:
    return bool(arm.persons), arm.pool, arm.labels, tuple(sorted(arm.changes.items())), arm.resolution, arm.baseline


def _amount(arm: Arm) -> int:
    return arm.persons or arm.variations


def _words(arm: Arm) -> str:
    return arm.title.replace(f"real + {_amount(arm)} ", "")


def _slope(members: Sequence[Arm], values: np.ndarray) -> dict[str, Any]:
    """Return the slope's numbers, of differences [S, A]."""
    amounts = [_amount(arm) for arm in members]
    units = PERSONS_UNITS if members[0].persons else VARIATIONS_UNITS
    per = next((unit for unit in units if unit <= amounts[-1] - amounts[0]), 1)  # none larger than what was tried
    each = slopes(amounts, values) * per
    slope, rise = paired_difference(each.tolist(), [0.0] * len(each)), trend(values)
    return {
        "amounts": amounts,
        "per": per,
        "slope": slope.mean,
        "low": or_none(slope.low),
        "high": or_none(slope.high),
        "p": or_none(slope.p),
        "per_seed": list(slope.per_seed),
        "trend": rise.direction if rise else None,
        "trend_p": or_none(rise.p) if rise else None,
    }
