"""The arms of a study: what each one trains on, and which other one it is to be held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from synreid.data.table import column, rows, rows_by_person
from synreid.stage.errors import UserError
from synreid.study.recipe import PersonArm, Recipe


@dataclass(frozen=True)
class Arm:
    """One way to train.

    `persons` artificial persons are added (0: none), or `variations` pictures of each real person, out of `pool`, or
    `more_real` persons whom the subset leaves out.
    `steps_of` names the arm whose number of optimisation steps this one takes, `changes` are options of training that
    differ. `baseline` names one of the recipe's other re-ID models, which it trains instead of the recipe's own.
    `against` names the arms that it is compared with. Pools are persons, persons-by-NAME for each other selection,
    variations, selected and inversions.
    """

    name: str
    title: str
    persons: int = 0
    variations: int = 0
    more_real: int = 0
    pool: str = "persons"
    real: bool = True
    resolution: Literal["full", "generator"] = "generator"
    steps_of: str | None = None
    baseline: str | None = None
    labels: str = "new-identity"
    changes: Mapping[str, Any] = field(default_factory=dict)
    against: tuple[str, ...] = ()

    @property
    def control(self) -> bool:
        """Whether the arm is there for others to be held against."""
        return not self.augmented and not self.more_real

    @property
    def augmented(self) -> bool:
        """Whether made pictures are added."""
        return bool(self.persons or self.variations)


MORE_REAL = "more-real"
SOFT = {"smoothed": "smoothed labels", "mixture": "labels of all parents", "teacher": "a teacher's labels"}


def arms_of(recipe: Recipe) -> list[Arm]:
    """Return the arms in the order in which they are run: those that others need come first.

    Raises UserError where two arms would have one name, and so one folder.
    """
    real = [Arm("real", "real pictures")]
    added = real + amount_arms(recipe)
    if recipe.full_resolution and recipe.command is None:  # a command gets the files as they are
        real.append(Arm("real-full", "real pictures, full resolution", resolution="full"))
    arms = real + added[1:] + person_arms(recipe) + variation_arms(recipe) + extra_arms(recipe)
    arms += [of_baseline(arm, name) for name in recipe.baselines for arm in added]
    names = Counter(arm.name for arm in arms)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UserError(
            f"recipe {recipe.name}: two arms would be called {twice[0]}; leave one out, or name its selection or "
            "baseline otherwise."
        )
    return arms


def amount_arms(recipe: Recipe) -> list[Arm]:
    """Return, for each amount of persons, the arm that adds them, its control of as many steps, and what `extra` adds.

    That is the arm of as many more real persons, which says what artificial ones could do at best.
    """
    arms = []
    for amount in sorted(recipe.amounts):
        added, matched = f"persons-{amount}", f"real-as-{amount}"
        arms.append(Arm(added, f"real + {amount} artificial persons", persons=amount, against=(matched, "real")))
        arms.append(Arm(matched, f"real, as many steps as with {amount} persons", steps_of=added, against=("real",)))
        if MORE_REAL in recipe.extra:
            title = f"real + {amount} more real persons"
            arms.append(Arm(f"{MORE_REAL}-{amount}", title, more_real=amount, against=(matched, added)))
    return arms


def of_baseline(arm: Arm, name: str) -> Arm:
    """Return the arm with the recipe's other re-ID model `name`, held against arms of that model."""
    return replace(
        arm,
        name=f"{name}-{arm.name}",
        title=f"{name}: {arm.title}",
        steps_of=f"{name}-{arm.steps_of}" if arm.steps_of else None,
        baseline=name,
        against=tuple(f"{name}-{other}" for other in arm.against),
    )


def person_arms(recipe: Recipe) -> list[Arm]:
    """Return an arm for each of the recipe's labels and selections, and those that it spells out.

    Each is held against the real pictures with as many steps, and against those arms that differ from it in one thing.
    """
    asked = [PersonArm(labels=name) for name in recipe.labels]
    asked += [PersonArm(selection=name) for name in recipe.selections]
    asked += recipe.arms
    sized = dict.fromkeys(replace(arm, persons=arm.persons or max(recipe.amounts)) for arm in asked)
    names = {_name(arm) for arm in sized}
    return [_person_arm(arm, names) for arm in sized]


def _person_arm(asked: PersonArm, names: set[str]) -> Arm:
    amount = asked.persons or 0
    plain = f"persons-{amount}"
    nearest = [_name(other) for other in _with_one_thing_less(asked)]
    against = [name for name in dict.fromkeys(nearest) if name == plain or name in names] or [plain]
    told: dict[str, str] = {"labels": asked.labels} if asked.labels != "new-identity" else {}
    told |= {"selection": asked.selection} if asked.selection else {}
    told |= {name.removeprefix("made_"): f"{value:g}" for name, value in asked.changes.items()}
    return Arm(
        _name(asked),
        ", ".join([f"real + {amount} artificial persons", *(f"{key} {value}" for key, value in told.items())]),
        amount,
        pool=f"persons-by-{asked.selection}" if asked.selection else "persons",
        labels=asked.labels,
        changes=asked.changes,
        against=(f"real-as-{amount}", *against),
    )


def _name(arm: PersonArm) -> str:
    """Return the arm's name: what it is called in the results, and its models' folder."""
    parts = [f"persons-{arm.persons}"]
    parts += [arm.labels] if arm.labels != "new-identity" else []
    parts += [f"by-{arm.selection}"] if arm.selection else []
    parts += [f"{name.removeprefix('made_')}-{value:g}" for name, value in arm.changes.items()]
    return "-".join(parts)


def _with_one_thing_less(arm: PersonArm) -> list[PersonArm]:
    usual: dict[str, Any] = {"labels": "new-identity", "selection": None, "made_ratio": None, "made_weight": None}
    changed = [name for name, value in usual.items() if getattr(arm, name) != value]
    return [replace(arm, **{name: usual[name]}) for name in changed]


def variation_arms(recipe: Recipe) -> list[Arm]:
    """Return the arms of the recipe's variations, for each amount; all of an amount take as many steps.

    Each is held against the real arms and against the one before it, so that inversion, varying, selection and labels
    can be told apart. The last one of the largest amount is the one that the study's answer is about.
    """
    arms: list[Arm] = []
    if (asked := recipe.variations) is None:
        return arms
    soft = SOFT[asked.labels]
    for amount in sorted(asked.amounts):
        several = f"{amount} variations"
        added = f"real + {several} a person"
        ways: dict[str, tuple[str, str, str, str]] = {
            "inversion": (f"inversions-{amount}", f"real + {amount} inversions a person", "inversions", "new-identity"),
            "all": (f"variations-{amount}", added, "variations", "new-identity"),
            "selected": (f"selected-{amount}", f"{added} (selected)", "selected", "new-identity"),
            "soft": (f"soft-{amount}", f"{added} (selected, {soft})", "selected", asked.labels),
        }
        chosen = [ways[way] for way in ways if way in asked.arms]
        matched = Arm(
            f"real-as-variations-{amount}",
            f"real, as many steps as with {several} a person",
            steps_of=chosen[0][0],
            against=("real",),
        )
        arms.append(matched)
        before: tuple[str, ...] = ()  # from one arm to the next one thing changes
        for name, title, pool, labels in chosen:
            against = (matched.name, "real", *before)
            arms.append(Arm(name, title, variations=amount, pool=pool, labels=labels, against=against))
            before = (name,)
    return arms


def extra_arms(recipe: Recipe) -> list[Arm]:
    """Return the further arms that the recipe names, all of its largest amount of persons, or else of variations."""
    if not recipe.extra:
        return []
    most = max(recipe.amounts, default=0)
    added, matched = f"persons-{most}", f"real-as-{most}"
    if not most and recipe.variations is not None:
        matched = added = f"real-as-variations-{max(recipe.variations.amounts)}"
    extra = {
        "random-erasing": Arm(
            "random-erasing",
            "real with random erasing",
            steps_of=added,
            changes={"random_erasing": 0.5},
            against=(matched,),
        ),
        "colour-jitter": Arm(
            "colour-jitter",
            "real with colour jitter",
            steps_of=added,
            changes={"colour_jitter": 0.3},
            against=(matched,),
        ),
        "synthetic-only": Arm(
            "synthetic-only", f"{most} artificial persons alone", persons=most, real=False, against=("real",)
        ),
        "shuffled-labels": Arm(
            "shuffled-labels",
            f"real + {most} persons, labels shuffled",
            most,
            labels="shuffled",
            against=(added, matched),
        ),
    }
    return [extra[name] for name in recipe.extra if name != MORE_REAL]


def draw_persons(kept: pa.Table, amount: int, pictures: int, seed: int) -> pa.Table:
    """Return `pictures` kept pictures of each of `amount` persons.

    The order of persons is drawn by `seed`, so that a smaller amount lies within a larger one. Raises UserError when
    too few persons have that many kept pictures.
    """
    pids = column(kept, "pid")
    names, counts = np.unique(pids.astype(str), return_counts=True)
    enough = names[counts >= pictures]
    if len(enough) < amount:
        raise UserError(
            f"{amount} artificial persons with {pictures} pictures each are to be added, but selection left "
            f"{len(enough)} such persons of {len(names)}; make more persons or pictures, or keep fewer of each."
        )
    chosen = np.random.default_rng((seed, 11)).permutation(enough)[:amount]
    index = np.concatenate([np.flatnonzero(pids == name)[:pictures] for name in sorted(chosen)])
    return rows(kept, index)


def draw_real(others: pa.Table, amount: int, pictures: int, seed: int) -> pa.Table:
    """Return `pictures` pictures of each of `amount` real persons of `others`, both drawn by `seed`.

    A smaller amount lies within a larger one. Raises UserError when too few persons have that many pictures.
    """
    rng = np.random.default_rng((seed, 13))
    drawn = [rng.permutation(own)[:pictures] for own in rows_by_person(others).values() if len(own) >= pictures]
    if len(drawn) < amount:
        raise UserError(
            f"{amount} more real persons with {pictures} pictures each are to be added, but the subset leaves out "
            f"{len(drawn)} such persons; lower amounts or keep, take a smaller subset, or leave more-real out of extra."
        )
    chosen = rng.permutation(len(drawn))[:amount]
    return rows(others, np.sort(np.concatenate([drawn[place] for place in chosen])))


def draw_variations(pool: pa.Table, amount: int, seed: int) -> pa.Table:
    """Return `amount` pictures of each person in `pool`, or all where a person has fewer.

    The order within a person is drawn by `seed`, so that a smaller amount lies within a larger one.
    """
    rng = np.random.default_rng((seed, 12))
    index = [rng.permutation(own)[:amount] for own in rows_by_person(pool).values()]
    return rows(pool, np.sort(np.concatenate(index)))
