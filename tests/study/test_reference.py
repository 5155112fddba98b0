from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from synreid.stage.errors import UserError
from synreid.study.arms import arms_of
from synreid.study.recipe import load_recipe, recipe_from
from synreid.study.reference import Reference, ReferenceRow, reference_facts
from synreid.study.request import recipe_fingerprint

QUERIES = 3368  # of Market-1501


@pytest.mark.parametrize(("name", "rows"), [("thesis-persons", 17), ("thesis-variations", 15)])
def test_the_thesis_rows_are_whole_numbers_of_queries_and_have_their_arms(name: str, rows: int) -> None:
    recipe = load_recipe(name)
    assert recipe.reference is not None and len(recipe.reference.rows) == rows
    for row in recipe.reference.rows:
        for share in (row.rank1, row.rank5, row.rank10):
            assert share is not None and abs(share * QUERIES - round(share * QUERIES)) < 2e-3
    facts = reference_facts(recipe.reference, arms_of(recipe))["rows"]
    kind = {"persons": "persons", "variations": "selected"}[recipe.reference.unit]
    assert [row["arm"] for row in facts] == ["real", *(f"{kind}-{row['amount']}" for row in facts[1:])]


def test_the_thesis_persons_have_the_slopes_that_others_worked_out() -> None:
    reference = load_recipe("thesis-persons").reference
    assert reference is not None
    for measure, points in (("map_trapezoid", 0.855), ("rank1", 0.19)):  # for 100 persons
        rows = [(row.amount / 100, getattr(row, measure) * 100) for row in reference.rows]
        assert np.polyfit(*np.transpose(rows), 1)[0] == pytest.approx(points, abs=0.005)


def test_rows_that_the_thesis_pool_could_not_give_say_so() -> None:
    reference = load_recipe("thesis-variations").reference
    assert reference is not None
    assert [row.amount for row in reference.rows if row.note] == [
        row.amount for row in reference.rows if row.amount * 751 > 62_551
    ]


def test_a_reference_does_not_name_a_study() -> None:
    recipe = load_recipe("quick")
    reference = Reference("somebody", "persons", (ReferenceRow(0, 0.5, 0.4),))
    assert recipe_fingerprint(dataclasses.replace(recipe, reference=reference)) == recipe_fingerprint(recipe)
    assert recipe_fingerprint(dataclasses.replace(recipe, keep=9)) != recipe_fingerprint(recipe)


def test_a_row_that_no_arm_does_has_none() -> None:
    recipe = recipe_from({"name": "x", "amounts": [50], "variations": {"amounts": [5], "arms": ["all"]}}, "x")
    rows = tuple(ReferenceRow(amount, 0.5, 0.4) for amount in (0, 5, 50))
    for unit, arms in (("persons", ["real", None, "persons-50"]), ("variations", ["real", "variations-5", None])):
        facts = reference_facts(Reference("somebody", unit, rows), arms_of(recipe))  # type: ignore[arg-type]
        assert [row["arm"] for row in facts["rows"]] == arms


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"amount": 0, "rank1": 89.3, "map_trapezoid": 0.7}], "rank1 of amount 0 is 89.3, but must be a fraction"),
        ([{"amount": 5, "rank1": 0.5, "map_trapezoid": 0.4}] * 2, r"amounts \[5, 5\] must be different"),
        ([{"amount": 5, "rank1": 0.5, "map": 0.4}], "map"),
        ([], r"amounts \[\] must be"),
    ],
)
def test_wrong_reference_is_refused(rows: list[dict[str, float]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe_from({"name": "x", "reference": {"source": "s", "unit": "persons", "rows": rows}}, "my.yaml")
