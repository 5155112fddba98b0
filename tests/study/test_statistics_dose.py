from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from synreid.study.answer import answer_of, differences_of, headline_arm
from synreid.study.arms import arms_of
from synreid.study.dose import dose_of, matched_control
from synreid.study.recipe import recipe_from

ARMS = arms_of(
    recipe_from(
        {
            "name": "x",
            "amounts": [10, 20, 50],
            "labels": ["lsro"],
            "extra": ["random-erasing", "synthetic-only"],
            "full_resolution": False,
            "seeds": [0, 1, 2],
        },
        "x",
    )
)
GAINS = {10: (0.01, 0.012, 0.008), 20: (0.02, 0.019, 0.024), 50: (0.05, 0.056, 0.041)}


def results(seeds: int = 3) -> list[dict[str, float | str]]:
    """Gains of made pictures beside real ones, whichever their labels are; seeds shift all arms alike."""
    return [
        {
            "arm": arm.name,
            "seed": seed,
            "map": 0.3 + 0.02 * seed + (GAINS[arm.persons][seed] if arm.persons and arm.real else 0.0),
            "rank1": 0.5,
        }
        for seed in range(seeds)
        for arm in ARMS
    ]


def test_dose_is_the_t_interval_of_each_seeds_regression() -> None:
    found = dose_of(ARMS, differences_of(ARMS, results()), headline_arm(ARMS))
    row = next(row for row in found if row["metric"] == "map")
    each = [stats.linregress([10, 20, 50], [GAINS[a][s] for a in GAINS]).slope * 20 for s in range(3)]
    expected = stats.ttest_1samp(each, 0.0)
    assert (row["arms"], row["against"]) == (
        ["persons-10", "persons-20", "persons-50"],
        ["real-as-10", "real-as-20", "real-as-50"],
    )
    assert (row["of"], row["amounts"], row["per"], row["headline"]) == ("artificial persons", [10, 20, 50], 20, True)
    assert row["per_seed"] == pytest.approx(each)
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert row["p"] == pytest.approx(expected.pvalue)
    ends = stats.ttest_rel(GAINS[50], GAINS[10])
    assert (row["trend"], row["trend_p"]) == ("rising", pytest.approx(ends.pvalue))
    assert [row["metric"] for row in found] == ["map", "rank1"]  # labels lsro has one amount, so no slope


def test_answer_says_the_slope_after_the_difference() -> None:
    rows = differences_of(ARMS, results())
    dose = dose_of(ARMS, rows, headline_arm(ARMS))
    first, whole = answer_of(ARMS, rows, 3), answer_of(ARMS, rows, 3, dose)
    assert whole.startswith(first + " From 10 to 50 artificial persons, each 20 more changed mAP by +")
    row = next(row for row in dose if row["metric"] == "map")
    assert f"(95 % interval {row['low'] * 100:+.2f} to {row['high'] * 100:+.2f})." in whole


def test_one_seed_gives_a_slope_without_interval_and_no_sentence() -> None:
    rows = differences_of(ARMS, results(1))
    dose = dose_of(ARMS, rows, headline_arm(ARMS))
    assert (dose[0]["low"], dose[0]["p"], dose[0]["trend_p"]) == (None, None, None)
    assert dose[0]["slope"] == pytest.approx(0.02, rel=0.02)
    assert answer_of(ARMS, rows, 1, dose) == answer_of(ARMS, rows, 1)


def test_variations_have_a_slope_for_each_way() -> None:
    recipe = {
        "name": "x",
        "amounts": [],
        "variations": {"amounts": [5, 20], "vary": {"images": 20}, "arms": ["all", "selected"]},
        "full_resolution": False,
        "seeds": [0, 1],
    }
    arms = arms_of(recipe_from(recipe, "x"))
    rows = [
        {
            "arm": arm.name,
            "seed": seed,
            "rank1": 0.5,
            "map": 0.3 + (0.001 + 0.0002 * seed) * arm.variations * (2 if arm.pool == "selected" else 1),
        }
        for arm in arms
        for seed in (0, 1)
    ]
    found = [row for row in dose_of(arms, differences_of(arms, rows), headline_arm(arms)) if row["metric"] == "map"]
    told = {row["of"]: (row["slope"], row["per"], row["headline"], row["trend_p"]) for row in found}
    assert told == {
        "variations a person": (pytest.approx(0.011), 10, False, None),
        "variations a person (selected)": (pytest.approx(0.022), 10, True, None),
    }


def test_matched_control_takes_as_many_steps_and_nothing_else() -> None:
    of = {arm.name: matched_control(arm, ARMS) for arm in ARMS}
    assert of["persons-20"] == "real-as-20"
    assert of["persons-50-lsro"] == "real-as-50"
    assert of["real-as-20"] is None
    assert of["synthetic-only"] is None
    assert of["random-erasing"] is None
    erased = replace(ARMS[1], against=("random-erasing",))
    assert matched_control(erased, ARMS) is None
