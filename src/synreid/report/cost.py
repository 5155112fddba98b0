"""What each arm costs in time, pictures and estimated energy, and what it costs for a point of mAP."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synreid.label.names import TAUGHT
from synreid.report.entries import Arm, Difference, Study
from synreid.report.tables import Cell, Table
from synreid.report.words import MINUS, NONE, count, duration, in_brackets, points, several
from synreid.stage.errors import UserError

WATTS_A_CORE = 15.0  # a server's processor at full load, divided by its cores; drawn at the plug rather more
WATTS_A_GPU = 300.0  # between a desktop's card and a server's
OF_PERSONS = ("persons", "selection")  # what arms go through whose pool an older study does not say
OF_VARIATIONS = ("encoder", "latents", "variations", "inversions", "selection of variations")
OF_POOL = {
    "persons": ("persons",),
    "variations": ("encoder", "latents", "variations"),
    "selected": ("encoder", "latents", "variations"),
    "inversions": ("encoder", "latents", "inversions"),
}
"""The stages that the pictures of a pool go through after the generator and before selection, as times are named."""
SELECTIONS = {"persons": ("selection", "selection"), "selected": ("selection of variations", "selection-variations")}
"""Of the pools that are selected, what selection is called among the times, and among the selections."""
JUDGE, BY_IDENTITY = "judge of selection", {"consistency", "identity"}  # the rules that it is trained for


@dataclass(frozen=True)
class Cost:
    """What one model of an arm costs beside the base arm, real pictures alone with the same re-ID model.

    `training` are the mean seconds of one training with its evaluation (of older studies without it), and of the
    teacher's training where its labels need one, `shared` those of everything that its made pictures need, done once
    for all seeds. `watt_hours` are of both, `extra` is what they are more than the base arm's (None for the base
    itself), `gain` is its mAP against the base, in fractions.
    """

    arm: Arm
    training: float
    shared: float
    watt_hours: float
    extra: float | None
    gain: Difference | None

    @property
    def of_a_point(self) -> float | None:
        """Watt-hours for each percentage point of mAP gained; None where none is, on the mean, or none is paid for."""
        if self.extra is None or self.extra <= 0 or self.gain is None or self.gain.mean <= 0:
            return None
        return self.extra / (100 * self.gain.mean)


def watts_of(study: Study, named: float | None = None) -> float:
    """Return the power in watts that the machine draws while it computes: `named`, or what its parts are taken to draw.

    Raises UserError where `named` is not above zero.
    """
    if named is not None:
        if not 0 < named < math.inf:
            raise UserError(f"watts is {named:g}, but must be above 0; name what the machine draws, or leave it out.")
        return named
    cores = study.machine.get("cores")
    of_cores = WATTS_A_CORE * (cores if isinstance(cores, int | float) and cores > 0 else 1)
    return of_cores + (WATTS_A_GPU if study.machine.get("gpu") else 0.0)


def costs_of(study: Study, watts: float) -> list[Cost]:
    """Return what each arm costs on a machine that draws `watts`, of the arms whose trainings were timed."""
    trainings = {arm.name: mean for arm in study.arms if (mean := _mean(study, arm, "seconds")) is not None}
    evaluations = {arm.name: _mean(study, arm, "evaluation") or 0.0 for arm in study.arms}
    found = []
    for arm in study.arms:
        if arm.name not in trainings:
            continue
        base = study.base_of(arm.baseline)
        base = base if base is not None and base.name in trainings else None
        training, shared = trainings[arm.name] + evaluations[arm.name], _shared(study, arm)
        if arm.labels in TAUGHT and base is not None:
            training += trainings[base.name]  # the teacher is the model of the real pictures with the same seed
        energy = (training + shared) * watts / 3600
        extra = gain = None
        if base is not None and arm != base:
            extra = energy - (trainings[base.name] + evaluations[base.name]) * watts / 3600
            gain = study.paired(arm.name, base.name, "map")
        found.append(Cost(arm, training, shared, energy, extra, gain))
    return found


def _mean(study: Study, arm: Arm, what: str) -> float | None:
    known = [value for r in study.results if r.arm == arm.name and (value := getattr(r, what)) is not None]
    return sum(known) / len(known) if known else None


def _shared(study: Study, arm: Arm) -> float:
    """Return the seconds of the stages that the arm's made pictures go through; 0 for an arm without any."""
    if not arm.made:
        return 0.0
    named = [study.times.get(stage) for stage in _stages(study, arm)]
    generator = study.times.get("generator", study.generator.get("seconds"))  # one that was there before counts too
    return float(sum(value for value in (generator, *named) if isinstance(value, int | float)))


def _stages(study: Study, arm: Arm) -> tuple[str, ...]:
    """Return the stages behind the generator, as times are named; calibration only measures, so it is none of them."""
    if arm.pool is None:
        return OF_VARIATIONS if arm.variations else OF_PERSONS
    pool, _, rule = arm.pool.partition("-by-")
    title, name = SELECTIONS.get(pool, ("", ""))
    if rule:
        title, name = f"{title} {rule}", f"{name}-by-{rule}"
    applied = [stage for selection in study.selections if selection.name == name for stage in selection.stages]
    rules = {str(stage.get("name")) for stage in applied}
    judge = (JUDGE,) if rules & BY_IDENTITY else ()
    return (*OF_POOL.get(pool, ()), *judge, title)


def cost_answer(study: Study, costs: list[Cost]) -> str:
    """Say what a point of mAP costs with the arm that the study's answer is about, and with its control."""
    largest = study.largest
    cost = next((cost for cost in costs if largest is not None and cost.arm == largest), None)
    if cost is None or study.base is None or cost.gain is None or cost.extra is None:
        return "The study lacks the times or the arms that a price could be worked out of."
    taught = " (its teacher's too)" if cost.arm.labels in TAUGHT else ""
    told = [
        f"A model of {cost.arm.title} takes {duration(cost.training)} of training{taught}"
        f"{' and evaluation' if _timed_evaluation(study) else ''}, and {duration(cost.shared)} of work on its pictures "
        f"(from the generator on; once for all seeds): about {_more(cost.extra)} than {study.base.title}. "
        f"{_price(cost)}"
    ]
    against = study.headline.against if study.headline else None
    control = next((other for other in costs if other.arm.name == against), None)
    if control is not None and control.gain is not None and control.extra is not None and control.arm != study.base:
        told.append(f"The control, {control.arm.title}, takes about {_more(control.extra)}. {_price(control)}")
    return " ".join(told)


def _timed_evaluation(study: Study) -> bool:
    return any(result.evaluation is not None for result in study.results)


def _price(cost: Cost) -> str:
    assert cost.gain is not None and cost.extra is not None
    found = f"mAP changes by {points(cost.gain.mean)} points {in_brackets(cost.gain.low, cost.gain.high)}"
    if cost.of_a_point is None:
        return f"For it {found}: {'no point is bought' if cost.gain.mean <= 0 else 'nothing is paid'}."
    if cost.gain.low is None or cost.gain.high is None:
        return f"For it {found}: about {energy(cost.of_a_point)} a point."
    least = energy(cost.extra / (100 * cost.gain.high))
    most = (
        f"{energy(cost.extra / (100 * cost.gain.low))}" if cost.gain.low > 0 else "no bound, since the gain may be none"
    )
    return f"For it {found}: about {energy(cost.of_a_point)} a point ({least} to {most})."


def _more(watt_hours: float) -> str:
    return f"{energy(abs(watt_hours))} {'less' if watt_hours < 0 else 'more'}"


def energy(watt_hours: float) -> str:
    """Return `3.1 mWh`, `0.24 Wh`, `7.2 Wh`, `840 Wh` or `1.3 kWh`."""
    if abs(watt_hours) < 0.01:
        return f"{1000 * watt_hours:.1f} mWh".replace("-", MINUS)
    if abs(watt_hours) >= 1000:
        return f"{watt_hours / 1000:.1f} kWh".replace("-", MINUS)
    digits = 2 if abs(watt_hours) < 1 else 1 if abs(watt_hours) < 10 else 0
    return f"{watt_hours:.{digits}f} Wh".replace("-", MINUS)


def assumption(study: Study, watts: float, given: bool) -> str:
    """Say what the energy rests on."""
    cores = study.machine.get("cores")
    if given:
        how = f"the {watts:g} W that were named"
    elif study.machine.get("gpu"):
        how = f"an assumed {WATTS_A_CORE:g} W for each core and {WATTS_A_GPU:g} W for the GPU, {watts:g} W in all"
    else:
        of = several(int(cores), "core") if isinstance(cores, int | float) and cores > 0 else "one core"
        how = f"an assumed {WATTS_A_CORE:g} W for each core, {watts:g} W for {of}"
    of_persons = [selection for selection in study.selections if selection.name != "selection-variations"]
    together = ""
    if len(of_persons) > 1 and not any(arm.pool for arm in study.arms):
        together = "The selections of persons were timed together: each arm with persons bears all of them. "
    return (
        f"Energy is an estimate, not a measurement: time multiplied by {how}. Trainings that ran side by side count "
        f"the whole machine each, so theirs is rather too high. {together}"
        "Name the machine's own power with --watts."
    )


def cost_table(study: Study, costs: list[Cost], watts: float) -> Table:
    """What each arm costs, and the price of a point of mAP."""
    base = study.base.title if study.base is not None else NONE
    others = "; of another re-ID model: its own real pictures" if any(cost.arm.baseline for cost in costs) else ""
    included = ["evaluation"] if _timed_evaluation(study) else []
    included += ["a teacher's training where labels need one"] if any(c.arm.labels in TAUGHT for c in costs) else []
    training = f"training includes {' and '.join(included)}; " if included else ""
    return Table(
        name="cost",
        caption=f"Of one model of each arm, mean over the seeds; {training}work on pictures is done once for all "
        f"seeds. Gains and what is more are against: {base}{others}.",
        head=["arm", "training", "work on pictures", "made pictures", "energy", "more energy", "mAP gained", "a point"],
        rows=[_row(cost) for cost in costs],
        csv_head=[
            *("arm", "training_seconds", "shared_seconds", "pictures_real", "pictures_made", "watts", "watt_hours"),
            *("watt_hours_more", "map_gain", "low", "high", "watt_hours_of_a_point"),
        ],
        csv_rows=[_csv_row(cost, watts) for cost in costs],
    )


def _row(cost: Cost) -> list[str]:
    return [
        cost.arm.title,
        duration(cost.training),
        duration(cost.shared) if cost.shared else NONE,
        count(cost.arm.pictures_made) if cost.arm.pictures_made else NONE,
        energy(cost.watt_hours),
        energy(cost.extra) if cost.extra is not None else NONE,
        points(cost.gain.mean if cost.gain else None),
        energy(cost.of_a_point) if cost.of_a_point is not None else NONE,
    ]


def _csv_row(cost: Cost, watts: float) -> list[Cell]:
    arm, gain = cost.arm, cost.gain
    of_gain: list[Cell] = [gain.mean, gain.low, gain.high] if gain else [None, None, None]
    facts: list[Cell] = [arm.name, cost.training, cost.shared, arm.pictures_real, arm.pictures_made, watts]
    return [*facts, cost.watt_hours, cost.extra, *of_gain, cost.of_a_point]
