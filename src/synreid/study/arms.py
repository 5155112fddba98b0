"""The arms of a study: what each one trains on, and which other one it is to be held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from synreid.data.table import column, rows, rows_by_person
from synreid.stage.errors import UserError
from synreid.study.recipe import Recipe


@dataclass(frozen=True)
class Arm:
    """One way to train.

    `persons` artificial persons are added (0: none), or `variations` pictures of each real person, out of `pool`.
    `steps_of` names the arm whose number of optimisation steps this one takes, `changes` are options of training that
    differ. `against` names the arms that it is compared with. Pools are persons, persons-by-NAME for each other
    selection, variations, selected and inversions.
    """

    name: str
    title: str
    persons: int = 0
    variations: int = 0
    pool: str = "persons"
    real: bool = True
    resolution: Literal["full", "generator"] = "generator"
    steps_of: str | None = None
    labels: str = "new-identity"
    changes: Mapping[str, Any] = field(default_factory=dict)
    against: tuple[str, ...] = ()

    @property
    def control(self) -> bool:
        """Whether the arm is there for others to be held against."""
        return not self.persons and not self.variations


SOFT = {"smoothed": "smoothed labels", "mixture": "labels of all parents", "teacher": "a teacher's labels"}


def arms_of(recipe: Recipe) -> list[Arm]:
    """Return the arms in the order in which they are run: those that others need come first."""
    arms = [Arm("real", "real pictures")]
    if recipe.full_resolution and recipe.command is None:  # a command gets the files as they are
        arms.append(Arm("real-full", "real pictures, full resolution", resolution="full"))
    for amount in sorted(recipe.amounts):
        added, matched = f"persons-{amount}", f"real-as-{amount}"
        arms.append(Arm(added, f"real + {amount} artificial persons", persons=amount, against=(matched, "real")))
        arms.append(Arm(matched, f"real, as many steps as with {amount} persons", steps_of=added, against=("real",)))
    return arms + label_arms(recipe) + selection_arms(recipe) + variation_arms(recipe) + extra_arms(recipe)


def label_arms(recipe: Recipe) -> list[Arm]:
    """Return an arm of the largest amount of persons for each of the recipe's labels.

    Each is held against the real pictures with as many steps, and against the same persons as new identities.
    """
    return [_of_most_persons(recipe, name, f"labels {name}", labels=name) for name in recipe.labels]


def selection_arms(recipe: Recipe) -> list[Arm]:
    """Return an arm of the largest amount of persons for each of the recipe's other selections."""
    return [
        _of_most_persons(recipe, f"by-{name}", f"selection {name}", pool=f"persons-by-{name}")
        for name in recipe.selections
    ]


def _of_most_persons(recipe: Recipe, name: str, title: str, labels: str = "new-identity", pool: str = "persons") -> Arm:
    """Return the arm of the largest amount of persons with other labels or another pool, held against that arm too."""
    most = max(recipe.amounts)
    added, whole = f"persons-{most}", f"real + {most} artificial persons, {title}"
    return Arm(f"{added}-{name}", whole, most, pool=pool, labels=labels, against=(f"real-as-{most}", added))


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
    return [extra[name] for name in recipe.extra]


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


def draw_variations(pool: pa.Table, amount: int, seed: int) -> pa.Table:
    """Return `amount` pictures of each person in `pool`, or all where a person has fewer.

    The order within a person is drawn by `seed`, so that a smaller amount lies within a larger one.
    """
    rng = np.random.default_rng((seed, 12))
    index = [rng.permutation(own)[:amount] for own in rows_by_person(pool).values()]
    return rows(pool, np.sort(np.concatenate(index)))
