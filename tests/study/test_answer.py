from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synreid.cli.commands.study import _table
from synreid.reid.evaluate import Evaluation, write_evaluation
from synreid.stage.errors import UserError
from synreid.study.answer import answer_of, differences_of, findings_of, identical_note, seeds_needed_of, summary_of
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


@pytest.mark.parametrize(("gain", "verdict"), [(0.02, "they helped"), (-0.02, "they did harm")])
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


def answer_where(gains: dict[str, float], **changes: object) -> str:
    """Return the answer of a recipe whose arms gain so much more than the others."""
    arms = arms_of(recipe_from({"name": "x", "amounts": [10, 20], "seeds": [0, 1], **changes}, "x"))
    rows = [
        {"arm": arm.name, "seed": seed, "map": 0.3 + gains.get(arm.name, 0.0) * (1 + seed / 2), "rank1": 0.5}
        for arm in arms
        for seed in (0, 1)
    ]
    return answer_of(arms, differences_of(arms, rows), 2)


def test_interval_that_holds_zero_shows_no_effect() -> None:
    assert "+0.5 points" in answer_where({"persons-20": 0.004})
    assert "no effect is shown" in answer_where({"persons-20": 0.004})
    assert "-0.0" not in answer_where({"persons-20": -0.0001})


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_same_results_in_every_seed_are_no_finding(seeds: int) -> None:
    rows = differences_of(ARMS, results(0.0, seeds))
    answer = answer_of(ARMS, rows, seeds)
    assert "+0.0 points" in answer and "identical in every seed" in answer
    assert "interval" not in answer and "no effect" not in answer


def test_pairs_of_arms_with_the_same_results_are_named_together() -> None:
    (note,) = identical_note(ARMS, differences_of(ARMS, results(0.02)))
    assert "real + 10 artificial persons, against real, as many steps as with 10 persons" in note
    assert "real + 20" not in note
    unlike = [{**row, "map": index / 100} for index, row in enumerate(results(0.02))]
    assert identical_note(ARMS, differences_of(ARMS, unlike)) == []


def test_printed_differences_have_no_negative_zero() -> None:
    rows = [
        {
            "arm": "a",
            "against": "b",
            "metric": metric,
            "mean": -1e-6,
            "low": -0.01,
            "high": 0.01,
            "per_seed": [value, 0],
        }
        for metric, value in (("map", 0), ("rank1", -2e-6))
    ]
    empty = {f"{metric}_{of}": 0.5 for metric in ("rank1", "map", "map_trapezoid") for of in ("mean", "sd")}
    arms = [{"name": name, "title": name.upper(), "steps": 1} for name in "ab"]
    shown = _table({"arms": arms, "summary": [{"arm": n, **empty} for n in "ab"], "differences": rows, "answer": ""})
    assert "Rank-1: A, against B: +0.00 points, 95 % interval -1.00 to +1.00" in shown
    assert "mAP: A, against B: identical in every seed" in shown


def test_answer_names_each_other_baseline() -> None:
    gains = {"persons-20": 0.012, "strong-persons-20": -0.02, "strong-persons-10": 0.04}
    answer = answer_where(gains, baselines={"strong": {}})
    assert answer.startswith("Adding 20 artificial persons changed mAP by +1.5 points")
    assert "With the model strong: -2.5 (" in answer and "+4" not in answer


def test_answer_names_each_other_label_of_as_many_persons_and_no_other_selection() -> None:
    gains = {"persons-20-slsr": -0.004, "persons-20-teacher": 0.004, "persons-20-by-none": 0.5}
    changes = {
        "labels": ["slsr", "teacher"],
        "selections": {"none": {"detector": "none"}},
        "extra": ["shuffled-labels"],
    }
    answer = answer_where(gains, arms=[{"persons": 10, "labels": "slsr"}], **changes)
    assert answer.count("With labels") == 2
    assert "With labels slsr: -0.5 (-1.8 to +0.8). With labels teacher: +0.5 (-0.8 to +1.8)." in answer


def test_summary_has_means_and_deviations() -> None:
    row = summary_of(ARMS, results(0.0))[0]
    assert row["map_mean"] == pytest.approx(0.35)
    assert row["map_sd"] == pytest.approx(0.05)


def rows_of(differences: list[dict], metric: str = "map") -> dict[tuple[str, str], dict]:
    return {(row["arm"], row["against"]): row for row in differences if row["metric"] == metric}


def test_holm_corrects_made_pictures_against_their_matched_controls_and_nothing_else() -> None:
    noise = np.random.default_rng(0)
    scattered = [{**row, "map": row["map"] + noise.normal(0, 0.01)} for row in results(0.02)]
    rows = rows_of(differences_of(ARMS, scattered))
    family = [rows["persons-10", "real-as-10"], rows["persons-20", "real-as-20"]]
    smaller, larger = sorted(family, key=lambda row: row["p"])
    assert smaller["p_holm"] == pytest.approx(min(1, 2 * smaller["p"]))
    assert larger["p_holm"] == pytest.approx(min(1, max(2 * smaller["p"], larger["p"])))
    assert [row["p_holm"] for row in rows.values() if row not in family] == [None] * (len(rows) - 2)


def test_holm_leaves_out_checks_and_more_real_persons() -> None:
    extra = ["shuffled-labels", "more-real"]
    arms = arms_of(recipe_from({"name": "x", "amounts": [10, 20], "extra": extra, "seeds": [0, 1, 2]}, "x"))
    noise = np.random.default_rng(0)
    scattered = [
        {"arm": arm.name, "seed": seed, "map": noise.normal(0.3, 0.01), "rank1": 0.5} for arm in arms for seed in (0, 1)
    ]
    rows = rows_of(differences_of(arms, scattered))
    assert ("shuffled-labels", "real-as-20") in rows and ("more-real-10", "real-as-10") in rows
    corrected = {pair for pair, row in rows.items() if row["p_holm"] is not None}
    assert corrected == {("persons-10", "real-as-10"), ("persons-20", "real-as-20")}


def test_answer_says_what_as_many_more_real_persons_did() -> None:
    gains = {"persons-20": 0.012, "more-real-10": 0.5, "more-real-20": 0.04}
    answer = answer_where(gains, extra=["more-real"])
    assert answer.startswith("Adding 20 artificial persons changed mAP by +1.5 points")
    assert "As many more real persons changed it by +5.0 (-7.7 to +17.7)." in answer


def test_seeds_needed_say_when_no_number_would_do() -> None:
    needed = seeds_needed_of(ARMS, differences_of(ARMS, results(0.02)))
    assert needed is not None
    assert {(row["arm"], row["metric"]) for row in needed["rows"]} == {
        (arm, metric) for arm in ("persons-10", "persons-20") for metric in ("map", "rank1")
    }
    assert "it would take 2 seeds" in needed["text"]
    none = seeds_needed_of(ARMS, differences_of(ARMS, results(0.0)))
    assert none is not None
    assert "no number up to 100 seeds" in none["text"]
    assert seeds_needed_of(ARMS, differences_of(ARMS, results(0.02, 1))) is None


def leave_scores(folder: Path, seeds: int = 3) -> list[dict[str, float | str]]:
    """Write each training's scores of 40 queries of 20 persons and one without a match; return the results."""
    rng = np.random.default_rng(0)
    persons = [f"p{place // 2}" for place in range(40)]
    found = []
    for arm in ARMS:
        for seed in range(seeds):
            ap, first = rng.random(40), rng.integers(1, 3, 40)
            table = pa.table(
                {
                    "path": [f"{place}.png" for place in range(41)],
                    "pid": [*persons, "alone"],
                    "valid": [True] * 40 + [False],
                    "ap": [*ap, np.nan],
                    "first_hit": [*first, 0],
                }
            )
            place = folder / arm.name / str(seed)
            place.mkdir(parents=True)
            write_evaluation(Evaluation({}, table, []), place)
            measures = {"rank1": (first == 1).mean(), "map": ap.mean()}
            found.append(
                {"arm": arm.name, "seed": seed, **dict.fromkeys(("rank5", "rank10", "map_trapezoid", "minp"), 0.5)}
                | {name: float(value) for name, value in measures.items()}
            )
    return found


def test_findings_over_persons_come_from_the_trainings_own_scores(tmp_path: Path) -> None:
    found = findings_of(ARMS, leave_scores(tmp_path), tmp_path)
    assert set(found) == {"answer", "summary", "differences", "dose", "seeds_needed"}
    for metric in ("map", "rank1"):
        for row in rows_of(found["differences"], metric).values():
            over = row["persons"]
            assert (over["low"] + over["high"]) / 2 == pytest.approx(row["mean"])
            assert over["low"] <= row["low"] + 1e-12 and over["high"] >= row["high"] - 1e-12
            assert over["persons"] == 20
            assert ("mcnemar" in row) == (metric == "rank1")
    row = rows_of(found["differences"], "rank1")["persons-20", "real-as-20"]
    assert row["mcnemar"]["gained"] - row["mcnemar"]["lost"] == round(row["mean"] * 3 * 40)


def test_arm_without_scores_or_of_other_queries_has_no_interval_over_persons(tmp_path: Path) -> None:
    rows = leave_scores(tmp_path)
    (tmp_path / "real-as-20" / "1" / "per_query.parquet").unlink()
    found = rows_of(findings_of(ARMS, rows, tmp_path)["differences"], "rank1")
    assert found["persons-10", "real-as-10"]["persons"] is not None
    without = found["persons-20", "real-as-20"]
    assert (without["persons"], without["mcnemar"]) == (None, None)
    assert without["low"] is not None


def test_damaged_scores_are_an_error(tmp_path: Path) -> None:
    rows = leave_scores(tmp_path)
    (tmp_path / "real" / "0" / "per_query.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"per_query\.parquet is damaged"):
        findings_of(ARMS, rows, tmp_path)
