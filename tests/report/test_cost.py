"""What an arm costs, worked out by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synreid.report.cost import assumption, cost_answer, cost_table, costs_of, energy, watts_of
from synreid.report.entries import Study
from synreid.report.folder import read_study
from synreid.stage.errors import UserError

ARMS: list[dict[str, Any]] = [
    {"name": "real", "control": True, "resolution": "64x32"},
    {"name": "as", "control": True, "matched": True, "resolution": "64x32"},
    {"name": "made", "persons": 40, "resolution": "64x32", "pictures_made": 400},
    {"name": "taught", "persons": 40, "resolution": "64x32", "pictures_made": 400, "labels": "teacher"},
]
MAPS = {"real": (0.10, 0.12), "as": (0.13, 0.15), "made": (0.09, 0.12), "taught": (0.12, 0.14)}
SECONDS = {"real": (100, 140), "as": (200, 280), "made": (240, 240), "taught": (240, 240)}


@pytest.fixture
def study(make_study: Callable[..., Path]) -> Study:
    results: list[dict[str, Any]] = [
        {"arm": name, "seed": seed, "map": MAPS[name][seed], "seconds": SECONDS[name][seed]}
        for name in MAPS
        for seed in (0, 1)
    ]
    against = {"arm": "made", "against": "as", "metric": "map", "mean": -0.035, "low": -0.04, "high": -0.03}
    times = {"generator": 900, "persons": 60, "selection": 40, "re-ID": 5000}
    machine = {"cores": 2, "gpu": None}
    return read_study(
        make_study(arms=ARMS, results=results, differences=[against], times=times, machine=machine, generator=None)
    )


def test_energy_is_time_by_watts(study: Study) -> None:
    real, control, made, taught = costs_of(study, 36.0)
    assert (real.training, real.shared, real.extra) == (120.0, 0.0, None)
    assert real.watt_hours == pytest.approx(36 * 120 / 3600)
    assert (control.extra, control.of_a_point) == pytest.approx((36 * 120 / 3600, 36 * 120 / 3600 / 3.0))
    assert (made.training, made.shared) == (240.0, 1000.0)
    assert made.extra == pytest.approx(36 * (240 + 1000 - 120) / 3600)
    assert made.of_a_point is None  # it lost on the mean
    assert taught.shared == 1000
    assert taught.training == 240 + 120  # the teacher is a model of the real pictures, another one for each seed


def test_arms_of_another_model_are_held_against_its_own_real_pictures(make_study: Callable[..., Path]) -> None:
    strong: list[dict[str, Any]] = [arm | {"name": f"strong-{arm['name']}", "baseline": "strong"} for arm in ARMS[:3]]
    results = [
        {"arm": name, "seed": seed, "map": MAPS[name][seed], "seconds": SECONDS[name][seed]}
        for name in MAPS
        for seed in (0, 1)
    ]
    results += [
        {"arm": f"strong-{r['arm']}", "seed": r["seed"], "map": 0.4 + 2 * r["map"], "seconds": 10 * r["seconds"]}
        for r in results
        if r["arm"] != "taught"
    ]
    times = {"generator": 900, "persons": 60, "selection": 40}
    study = read_study(make_study(arms=ARMS + strong, results=results, times=times, differences=None, generator=None))
    costs = {cost.arm.name: cost for cost in costs_of(study, 36.0)}
    assert (costs["strong-real"].extra, costs["strong-real"].gain) == (None, None)
    control = costs["strong-as"]
    assert control.extra == pytest.approx(36 * (2400 - 1200) / 3600)
    assert control.gain is not None and control.gain.mean == pytest.approx(2 * 0.03)
    assert costs["strong-made"].extra == pytest.approx(36 * (2400 + 1000 - 1200) / 3600)
    assert costs["made"].extra == pytest.approx(36 * (240 + 1000 - 120) / 3600)
    assert "of another re-ID model: its own real pictures" in cost_table(study, list(costs.values()), 36.0).caption


def test_labels_that_a_teacher_gives_cost_its_training(make_study: Callable[..., Path]) -> None:
    teachers = {"teacher": 120, "mprl-static": 120, "slsr": 120, "affinity": 120, "lsro": 0, "new-identity": 0}
    arms = [ARMS[0], *({"name": labels, "persons": 40, "labels": labels, "resolution": "64x32"} for labels in teachers)]
    results = [{"arm": arm["name"], "seed": 0, "map": 0.2, "seconds": 120} for arm in arms]
    study = read_study(make_study(arms=arms, results=results, times={"generator": 900}, differences=None))
    costs = costs_of(study, 36.0)[1:]
    assert {cost.arm.name: cost.training - 120 for cost in costs} == teachers
    assert {cost.shared for cost in costs} == {900}


def test_pictures_cost_what_their_pool_went_through(make_study: Callable[..., Path]) -> None:
    latents = 1 + 10 + 100  # generator, encoder, latents
    shared = {
        "persons": 1 + 1_000 + 10_000 + 100_000,
        "persons-by-none": 1 + 1_000 + 200_000,  # which asks no judge
        "inversions": latents + 3_000_000,
        "variations": latents + 4_000_000,
        "selected": latents + 4_000_000 + 10_000 + 50_000_000,
    }
    times = {"generator": 1, "encoder": 10, "latents": 100, "persons": 1_000, "judge of selection": 10_000}
    times |= {"selection": 100_000, "selection none": 200_000, "calibration of selection": 7_000_000_000}
    times |= {"inversions": 3_000_000, "variations": 4_000_000, "selection of variations": 50_000_000}
    arms = [ARMS[0], *({"name": pool, "pool": pool, "pictures_made": 9, "resolution": "64x32"} for pool in shared)]
    results = [{"arm": arm["name"], "seed": 0, "map": 0.2, "seconds": 120} for arm in arms]
    judged, unjudged = ({"stages": [{"name": name, "in": 9, "discarded": 1}]} for name in ("identity", "pedestrian"))
    folder = make_study(
        arms=arms,
        results=results,
        times=times,
        differences=None,
        selection={"stages": [{"name": "consistency", "in": 9, "discarded": 1}]},
        selection_by_none=unjudged,
        selection_variations=judged,
    )
    study = read_study(folder)
    assert {cost.arm.name: cost.shared for cost in costs_of(study, 36.0)[1:]} == shared
    assert "timed together" not in assumption(study, 30.0, given=False)


def test_evaluation_counts_to_the_training_where_it_was_timed(make_study: Callable[..., Path]) -> None:
    results = [
        {"arm": name, "seed": seed, "map": 0.2, "seconds": SECONDS[name][seed], "evaluation_seconds": 50 + seed}
        for name in ("real", "taught")
        for seed in (0, 1)
    ]
    arms = [ARMS[0], ARMS[3]]
    study = read_study(make_study(arms=arms, results=results, times={}, differences=None, generator=None))
    real, taught = costs_of(study, 36.0)
    assert real.training == 120 + 50.5
    assert taught.training == 240 + 50.5 + 120  # nobody evaluates the teacher for the pupil
    assert taught.extra == pytest.approx(36 * (taught.training - real.training) / 3600)
    assert "training includes evaluation and a teacher's training" in cost_table(study, [real, taught], 36.0).caption
    assert "of training (its teacher's too) and evaluation, and" in cost_answer(study, [real, taught])


def test_selections_that_were_timed_together_are_said(study: Study, make_study: Callable[..., Path]) -> None:
    assert "timed together" not in assumption(study, 30.0, given=False)
    other = {"stages": [{"name": "ssim", "in": 9, "discarded": 1}], "made": 9, "kept": 8}
    several = read_study(make_study("several", selection_by_thesis=other))
    assert "timed together: each arm with persons bears all of them" in assumption(several, 30.0, given=False)


def test_answer_names_price_and_control(study: Study) -> None:
    said = cost_answer(study, costs_of(study, 36.0))
    assert "about 11 Wh more than real" in said and "no point is bought" in said
    assert "The control, as, takes about 1.2 Wh more" in said and "0.40 Wh a point" in said


def test_an_arm_that_takes_less_time_is_not_said_to_take_more(make_study: Callable[..., Path]) -> None:
    seconds = {"real": 120, "as": 119.9, "made": 240}
    results = [{"arm": arm, "seed": s, "map": MAPS[arm][s], "seconds": seconds[arm]} for arm in seconds for s in (0, 1)]
    against = {"arm": "made", "against": "as", "metric": "map", "mean": -0.035, "low": -0.04, "high": -0.03}
    study = read_study(make_study(arms=ARMS[:3], results=results, differences=[against], generator=None))
    costs = costs_of(study, 36.0)
    said = cost_answer(study, costs)
    assert "The control, as, takes about 1.0 mWh less. For it mAP changes by +3.00 points" in said  # 36 W for 0.1 s
    assert said.endswith(": nothing is paid.")
    assert costs[1].of_a_point is None


def test_table_has_every_digit(study: Study) -> None:
    costs = costs_of(study, 36.0)
    rows = list(csv.DictReader(io.StringIO(cost_table(study, costs, 36.0).csv)))
    assert [row["arm"] for row in rows] == ["real", "as", "made", "taught"]
    assert float(rows[1]["watt_hours_of_a_point"]) == costs[1].of_a_point
    assert rows[0]["watt_hours_more"] == rows[2]["watt_hours_of_a_point"] == ""


def test_watts_are_named_or_taken_from_the_parts(study: Study, make_study: Callable[..., Path]) -> None:
    assert watts_of(study) == 30.0
    assert "15 W for each core, 30 W for 2 cores" in assumption(study, 30.0, given=False)
    with_gpu = read_study(make_study("gpu", machine={"cores": 16, "gpu": "NVIDIA H100"}))
    assert watts_of(with_gpu) == 16 * 15 + 300
    assert watts_of(with_gpu, 510.0) == 510.0
    assert "the 510 W that were named" in assumption(with_gpu, 510.0, given=True)


@pytest.mark.parametrize("watts", [0.0, -3.0, float("nan"), float("inf")])
def test_watts_that_no_machine_draws(study: Study, watts: float) -> None:
    with pytest.raises(UserError, match="must be above 0"):
        watts_of(study, watts)


@pytest.mark.parametrize(
    ("watt_hours", "text"),
    [(0.0012, "1.2 mWh"), (0.244, "0.24 Wh"), (7.25, "7.2 Wh"), (840, "840 Wh"), (1300, "1.3 kWh")],
)
def test_energy_in_words(watt_hours: float, text: str) -> None:
    assert energy(watt_hours) == text
