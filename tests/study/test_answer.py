from __future__ import annotations

import pytest

from synreid.study.answer import answer_of, differences_of, summary_of
from synreid.study.arms import arms_of
from synreid.study.recipe import recipe_from

ARMS = arms_of(recipe_from({"name": "x", "amounts": [10, 20], "seeds": [0, 1, 2]}, "x"))


def results(gain: float, seeds: int = 3) -> list[dict[str, float | str]]:
    rows = []
    for seed in range(seeds):
        for arm in ARMS:
            value = 0.3 + 0.05 * seed + (gain * (1 + 0.1 * seed) if arm.persons == 20 else 0.0)
            rows.append(
                {
                    "arm": arm.name,
                    "seed": seed,
                    **dict.fromkeys(("rank1", "rank5", "rank10", "map", "map_trapezoid", "minp"), value),
                }
            )
    return rows[::-1]  # the order of results must not matter


@pytest.mark.parametrize(
    ("gain", "verdict"), [(0.02, "they helped"), (-0.02, "they did harm"), (0.0, "no effect is shown")]
)
def test_answer_speaks_of_the_largest_amount_against_matched_steps(gain: float, verdict: str) -> None:
    rows = differences_of(ARMS, results(gain))
    answer = answer_of(ARMS, rows, 3)
    assert f"Adding 20 artificial persons changed mAP by {gain * 1.1 * 100:+.1f} points" in answer
    assert verdict in answer
    assert "a look, not a claim" in answer
    row = next(
        row for row in rows if row["arm"] == "persons-20" and row["against"] == "real-as-20" and row["metric"] == "map"
    )
    assert row["per_seed"] == pytest.approx([gain, gain * 1.1, gain * 1.2])


def test_five_seeds_are_a_claim_and_one_says_nothing() -> None:
    assert "a look" not in answer_of(ARMS, differences_of(ARMS, results(0.02, 5)), 5)
    assert "says nothing yet" in answer_of(ARMS, differences_of(ARMS, results(0.02, 1)), 1)


def test_summary_has_means_and_deviations() -> None:
    row = summary_of(ARMS, results(0.0))[0]
    assert row["map_mean"] == pytest.approx(0.35)
    assert row["map_sd"] == pytest.approx(0.05)
