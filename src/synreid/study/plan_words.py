"""A study's plan as plain text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from rich.filesize import decimal

from synreid.data.cache import cache_folder
from synreid.study.plan import Left, Plan

UNITS = ((2 * 86_400, 86_400, "days"), (2 * 3_600, 3_600, "h"), (120, 60, "min"))  # from, seconds, name


def plan_text(plan: Plan, out: Path | None = None) -> str:
    """Return the plan as lines; `out` is where it is to be run, whose free space is named."""
    return "\n".join([*_head(plan), "", *_shared(plan), "", *_arms(plan), "", *_times(plan), "", *_room(plan, out)])


def _head(plan: Plan) -> Iterator[str]:
    counts = plan.counts
    yield f"{plan.recipe.name}: {plan.recipe.question}"
    yield (
        f"{counts.persons:,} persons with {counts.pictures:,} training pictures; {plan.query:,} query and "
        f"{plan.gallery:,} gallery pictures"
    )


def _shared(plan: Plan) -> Iterator[str]:
    yield f"{'done once for all arms':26} {'':58} state"
    for one in plan.shared:
        took = f" in {duration(one.seconds)}" if one.seconds is not None else ""
        yield f"{one.title:26} {one.what:58} {one.state}{took}"


def _arms(plan: Plan) -> Iterator[str]:
    seeds = len(plan.recipe.seeds)
    yield f"{'arm':60} {'real':>8} {'made':>8} {'steps':>9} finished"
    for one in plan.arms:
        yield f"{one.arm.title:60} {one.real:8,} {one.made:8,} {one.steps:9,} {one.finished} of {seeds}"
    finished = sum(one.finished for one in plan.arms)
    yield f"{len(plan.arms)} arms with {seeds} seeds are {plan.trainings} trainings, of which {finished} are finished."


def _times(plan: Plan) -> Iterator[str]:
    if plan.finished:
        yield "time: nothing is left to run."
        return
    yield "time, one training after the other, on this machine as busy as it is:"
    for left in plan.left:
        yield f"  {left.title:24} {_needed(left)}"
    known = [left.seconds for left in plan.left if left.seconds is not None]
    without = [f"the {left.title}" for left in plan.left if left.seconds is None]
    without += ["the command"] if plan.recipe.command is not None else []
    total = f"about {duration(sum(known))}" if known else "not known"
    beside = f"{', '.join(without)} and " if without else ""
    yield f"  in all {total}, without {beside}what else is done once."


def _needed(left: Left) -> str:
    if left.step_seconds is None or left.seconds is None:
        return f"{left.what}, for how long is not known: {left.known_from}."
    slow = f"{left.step_seconds:.3g} s a {left.unit}"
    rate = slow if left.step_seconds >= 0.5 else f"{1 / left.step_seconds:.3g} {left.unit}s/s"
    return f"{left.what}, about {duration(left.seconds)}: {rate}, {left.known_from}."


def _room(plan: Plan, out: Path | None) -> Iterator[str]:
    yield "disk, without logs and the checkpoints of what is being trained:"
    for name, size in plan.disk.items():
        yield f"  {name:24} {decimal(size)}"
    place = (out if out is not None else Path()).resolve()
    while not place.exists():
        place = place.parent
    yield f"  in all {decimal(sum(plan.disk.values()))}; {decimal(shutil.disk_usage(place).free)} are free at {place}."
    yield f"  Decoded pictures take {decimal(plan.decoded)} of {cache_folder()}, which may be emptied at any time."
    yield f"memory: the pictures of the largest training take {decimal(plan.memory)}."


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it: `12 s`, `7 min`, `31 h` or `12 days`."""
    for least, size, name in UNITS:
        if seconds >= least:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
