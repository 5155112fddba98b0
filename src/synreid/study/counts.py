"""How many pictures a study's arms train on, and for how many steps, worked out of what is asked alone."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from synreid.data.table import column, rows_by_person
from synreid.reid.options import ReidOptions
from synreid.reid.train import planned_steps
from synreid.study.arms import Arm, arms_of
from synreid.study.recipe import Recipe


@dataclass(frozen=True)
class Counts:
    """The arms of a recipe on training pictures of which `pictures` are not junk, of `persons` persons."""

    recipe: Recipe
    arms: tuple[Arm, ...]
    pictures: int
    persons: int

    def reid(self, arm: Arm) -> ReidOptions:
        """Return the re-ID model that the arm trains, before what the arm changes."""
        return self.recipe.baselines[arm.baseline] if arm.baseline is not None else self.recipe.reid

    def real(self, arm: Arm) -> int:
        """Return how many real pictures the arm trains on."""
        return (self.pictures if arm.real else 0) + arm.more_real * self.recipe.keep

    def made(self, arm: Arm) -> int:
        """Return how many made pictures the arm asks for, which its steps are worked out of."""
        return arm.persons * self.recipe.keep + arm.variations * self.persons

    def steps(self, arm: Arm) -> int:
        """Return how many optimisation steps the arm takes: as its own pictures need, or as the arm that it names."""
        source = arm
        while source.steps_of is not None:
            source = next(other for other in self.arms if other.name == source.steps_of)
        return planned_steps(self.real(source) + self.made(source), self.reid(source))


def counts_of(recipe: Recipe, real: pa.Table) -> Counts:
    """Return the counts of a recipe's arms on the table `real` of training pictures."""
    pictures = int((~column(real, "junk").astype(bool)).sum())
    return Counts(recipe, tuple(arms_of(recipe)), pictures, len(rows_by_person(real)))
