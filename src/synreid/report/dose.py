"""How a measure changes with the amount of made pictures, beside its controls and beside what others published."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from synreid.report.entries import Arm, Difference, Published, Slope, Study
from synreid.report.tables import Cell, Table
from synreid.report.words import METRIC_NAMES, count, in_brackets, interval, mean_sd, p_value, percent, points

SHOWN = ("map", "rank1")
COMPARED = ("rank1", "map_trapezoid")  # what others publish: their mAP is the trapezoid's


@dataclass(frozen=True)
class Sweep:
    """Arms that differ in nothing but the amount of one kind of made pictures, in its order.

    `of` says of which kind, `controls` are the arms of real pictures with as many steps, None where there is none.
    """

    of: str
    arms: list[Arm]
    controls: list[Arm | None]
    headline: bool


def sweeps_of(study: Study) -> list[Sweep]:
    """Return each kind of made pictures that has two amounts or more, the one that the answer is about first."""
    listed = [_listed(study, slope) for slope in study.slopes if slope.metric == "map"]
    found = [sweep for sweep in listed if len(sweep.arms) > 1] or _by_title(study)
    return sorted(found, key=lambda sweep: not sweep.headline)


def _listed(study: Study, slope: Slope) -> Sweep:
    named = [(study.arm(arm), study.arm(control)) for arm, control in zip(slope.arms, slope.against, strict=True)]
    known = [(arm, control) for arm, control in named if arm is not None]
    return Sweep(slope.of, [arm for arm, _ in known], [control for _, control in known], slope.headline)


def _by_title(study: Study) -> list[Sweep]:
    """Group the arms of a study that lists no slopes by their titles without the amount."""
    groups: dict[str, list[Arm]] = {}
    for arm in study.arms:
        if arm.amount and not arm.control and arm.pictures_real != 0:
            title = re.sub(rf"\b{arm.amount}\b ?", "", arm.title, count=1)
            groups.setdefault(re.sub(r"^real \+ ", "", title, flags=re.IGNORECASE), []).append(arm)
    found = []
    for of, arms in groups.items():
        arms.sort(key=lambda arm: arm.amount)
        if len({arm.amount for arm in arms}) > 1:
            headline = any(arm == study.largest for arm in arms)
            found.append(Sweep(of, arms, [matched_control(study, arm) for arm in arms], headline))
    return found


def matched_control(study: Study, arm: Arm) -> Arm | None:
    """Return the arm of real pictures with as many steps that `arm` is held against, None where there is none."""
    named = [study.arm(d.against) for d in study.differences if d.arm == arm.name]
    return next((control for control in named if control is not None and control.matched), None)


def against_control(study: Study, sweep: Sweep, metric: str) -> list[tuple[int, Difference]]:
    """Return amount and difference of each arm against its control, those that the study lists."""
    found = []
    for arm, control in zip(sweep.arms, sweep.controls, strict=True):
        for d in study.differences:
            if control is not None and (d.arm, d.against, d.metric) == (arm.name, control.name, metric):
                found.append((arm.amount, d))
    return found


def dose_answer(study: Study, sweeps: Sequence[Sweep]) -> str:
    """Say in a sentence or two what more of it does to mAP, of the kind that the study's answer is about."""
    if not sweeps:
        amounts = sorted({arm.amount for arm in study.arms if arm.amount})
        named = f"only one amount ({amounts[0]})" if len(amounts) == 1 else "no two amounts of one kind"
        return f"The study has {named}, so it cannot say what more would do; a recipe with several amounts can."
    sweep = sweeps[0]
    slope = next((s for s in study.slopes if s.metric == "map" and s.of == sweep.of), None)
    if slope is not None:
        return _slope_words(slope)
    told = [
        f"with {count(amount)} by {points(d.mean)} points {in_brackets(d.low, d.high)}"
        for amount, d in against_control(study, sweep, "map")
    ]
    if not told:
        return "The study lists no difference of these amounts against controls with as many steps."
    return f"Of {sweep.of}, mAP changes {', '.join(told)}, each against real pictures with as many steps."


def _slope_words(slope: Slope) -> str:
    told = (
        f"{count(slope.per)} more {slope.of} change mAP by {points(slope.slope)} points "
        f"{in_brackets(slope.low, slope.high)}, each amount held against real pictures with as many steps"
    )
    if slope.low is not None and slope.high is not None:
        settled = slope.low > 0 or slope.high < 0
        told += f". The interval {'leaves out zero' if settled else 'contains zero: no steady change is settled'}"
    if slope.trend is not None and slope.trend_p is not None:
        told += "; Abelson and Tukey's contrast over the amounts, in a t test over the seeds: "
        told += f"{slope.trend}, {p_value(slope.trend_p)}"
    return told + "."


def dose_table(study: Study, sweeps: Sequence[Sweep]) -> Table:
    """Each amount with its control and the difference between them."""
    rows: list[list[str]] = []
    csv_rows: list[list[Cell]] = []
    for sweep in sweeps:
        for arm, control in zip(sweep.arms, sweep.controls, strict=True):
            shown = [sweep.of, count(arm.amount)]
            cells: list[Cell] = [sweep.of, arm.amount, arm.name, control.name if control else None]
            for metric in SHOWN:
                own = study.values(arm.name, metric)
                beside = study.values(control.name, metric) if control else []
                listed = (d for amount, d in against_control(study, sweep, metric) if amount == arm.amount)
                d = next(listed, None)
                shown += [mean_sd(own), mean_sd(beside), points(d.mean if d else None)]
                shown += [interval(d.low, d.high) if d else "", p_value(d.p_holm if d else None, bare=True)]
                cells += [_mean(own), _mean(beside), *((d.mean, d.low, d.high, d.p_holm) if d else [None] * 4)]
            rows.append(shown)
            csv_rows.append(cells)
    parts = ("mean", "control_mean", "difference", "low", "high", "p_holm")
    heads = [
        h for m in SHOWN for h in (METRIC_NAMES[m], "its control", "difference", "95 % interval", "p, Holm-corrected")
    ]
    return Table(
        name="amounts",
        caption="Each amount beside real pictures with as many steps: mean ± standard deviation over the seeds in "
        "percent, differences in percentage points.",
        head=["made pictures", "amount", *heads],
        rows=rows,
        csv_head=["of", "amount", "arm", "control", *(f"{metric}_{part}" for metric in SHOWN for part in parts)],
        csv_rows=csv_rows,
    )


def published_answer(study: Study, published: Published) -> str:
    """Say what others saw between no made pictures and their largest amount, and what our study saw, in Rank-1."""
    told = []
    first = next((row for row in published.rows if row["amount"] == 0), None)
    last = next((row for row in reversed(published.rows) if not row.get("note") and row["amount"]), None)
    if first and last and None not in (first["rank1"], last["rank1"]):
        change = points(last["rank1"] - first["rank1"])
        told.append(
            f"From 0 to {count(last['amount'])} {published.unit}, published Rank-1 changes by {change} points, in one "
            "training each, so without an interval"
        )
    if changes := changes_from_real(study, our_arms(study, published), "rank1"):
        amount, d = changes[-1]
        told.append(
            f"ours changes by {points(d.mean)} points with {count(amount)} {in_brackets(d.low, d.high)}, "
            "against real pictures with their own steps, as the published numbers are"
        )
    return "; ".join(told) + "." if told else "None of these amounts is an arm of this study."


def our_arms(study: Study, published: Published) -> list[tuple[int, Arm]]:
    """Return the published amounts above zero that this study has, each with its arm."""
    named = [(int(row["amount"]), study.arm(str(row.get("arm")))) for row in published.rows if row["amount"]]
    return [(amount, arm) for amount, arm in named if arm is not None]


def changes_from_real(study: Study, arms: Sequence[tuple[int, Arm]], metric: str) -> list[tuple[int, Difference]]:
    """Return amount and paired difference of each arm against real pictures with their own number of steps."""
    if study.base is None:
        return []
    found = [(amount, study.paired(arm.name, study.base.name, metric)) for amount, arm in arms]
    return [(amount, d) for amount, d in found if d is not None]


def published_table(study: Study, published: Published) -> Table:
    """What others published for each amount, and the same of this study where it has that amount."""
    rows: list[list[str]] = []
    csv_rows: list[list[Cell]] = []
    for row in published.rows:
        arm = study.arm(str(row.get("arm")))
        pictures = row.get("pictures")
        cells: list[Cell] = [row["amount"], pictures, *(row[metric] for metric in COMPARED), arm.name if arm else None]
        shown = [count(row["amount"]), count(pictures), *(percent(row[metric], 2) for metric in COMPARED)]
        for metric in COMPARED:
            values = study.values(arm.name, metric) if arm else []
            shown.append(mean_sd(values))
            cells.append(_mean(values))
        rows.append([*shown, str(row.get("note") or "")])
        csv_rows.append([*cells, row.get("note")])
    names = [METRIC_NAMES[metric] for metric in COMPARED]
    return Table(
        name="published",
        caption=f"{published.source}: one training a row. Ours: mean ± standard deviation over the seeds. In percent.",
        head=[
            published.unit,
            "pictures",
            *(f"{n}, published" for n in names),
            *(f"{n}, ours" for n in names),
            "remark",
        ],
        rows=rows,
        csv_head=[
            *("amount", "pictures", *(f"{metric}_published" for metric in COMPARED)),
            *("arm", *(f"{metric}_mean" for metric in COMPARED), "note"),
        ],
        csv_rows=csv_rows,
        words=0,
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
