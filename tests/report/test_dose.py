"""Amounts: which arms make a sweep, what its slope says, and what others published beside it."""

from __future__ import annotations

import csv
import io
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from synreid.report import dose, dose_figures
from synreid.report.folder import read_study
from synreid.report.page import write_report
from synreid.stage.errors import UserError

from .conftest import Page

SLOPE: dict[str, Any] = {
    "metric": "map",
    "of": "artificial persons",
    "arms": ["real+40", "real+160"],
    "against": ["real-steps", "real-steps"],
    "amounts": [40, 160],
    "per": 100,
    "slope": 0.0125,
    "low": 0.004,
    "high": 0.021,
    "p": 0.01,
    "trend": "rising",
    "trend_p": 0.0004,
    "headline": True,
}
ROWS: list[dict[str, Any]] = [
    {"amount": 0, "arm": "real", "pictures": 0, "rank1": 0.89, "map_trapezoid": 0.74, "note": None},
    {"amount": 40, "arm": "real+40", "pictures": None, "rank1": 0.895, "map_trapezoid": 0.75, "note": None},
    {"amount": 160, "arm": "real+160", "pictures": 6400, "rank1": 0.91, "map_trapezoid": 0.77, "note": None},
    {"amount": 320, "arm": None, "pictures": 9000, "rank1": 0.9, "map_trapezoid": 0.76, "note": "Repeats a row."},
]
REFERENCE = {"source": "A thesis", "note": "One training a row.", "unit": "persons", "rows": ROWS}


def test_arms_that_differ_in_their_amount_alone_are_a_sweep(make_study: Callable[..., Path]) -> None:
    (sweep,) = dose.sweeps_of(read_study(make_study()))
    assert [arm.name for arm in sweep.arms] == ["real+40", "real+160"]
    assert [control and control.name for control in sweep.controls] == ["real-steps", "real-steps"]
    assert sweep.of == "persons" and sweep.headline


def test_one_amount_is_no_sweep(make_study: Callable[..., Path]) -> None:
    arms = [{"name": "real", "control": True}, {"name": "real+40", "title": "real + 40 persons", "persons": 40}]
    study = read_study(make_study(arms=arms))
    assert dose.sweeps_of(study) == []
    assert "only one amount (40)" in dose.dose_answer(study, [])


def test_slope_is_said_with_its_interval_and_trend(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study(dose=[SLOPE]))
    said = dose.dose_answer(study, dose.sweeps_of(study))
    assert "100 more artificial persons change mAP by +1.25 points (95 % interval +0.40 to +2.10)" in said
    assert "Abelson and Tukey's contrast over the amounts, in a t test over the seeds: rising, p < 0.001" in said
    across = read_study(make_study("across", dose=[SLOPE | {"low": -0.001}]))
    said = dose.dose_answer(across, dose.sweeps_of(across))
    assert "The interval contains zero: no steady change is settled; Abelson and Tukey's contrast" in said
    assert "no trend" not in said  # which the contrast may have found all the same


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dose": [SLOPE | {"amounts": [40]}]}, r"dose\[0\]\.amounts"),
        ({"dose": [SLOPE | {"slope": None}]}, r"dose\[0\]\.slope"),
        ({"reference": REFERENCE | {"source": None}}, r"reference\.source"),
        ({"reference": REFERENCE | {"rows": [{"amount": "many"}]}}, r"reference\.rows\[0\]\.amount"),
        ({"reference": REFERENCE | {"rows": [{"amount": 1, "pictures": "many"}]}}, r"reference\.rows\[0\]\.pictures"),
    ],
)
def test_wrong_entry_is_named(make_study: Callable[..., Path], changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        read_study(make_study(**changes))


def test_table_holds_both_arms_of_each_amount(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study())
    rows = list(csv.DictReader(io.StringIO(dose.dose_table(study, dose.sweeps_of(study)).csv)))
    assert [int(row["amount"]) for row in rows] == [40, 160]
    for row in rows:
        for metric in ("map", "rank1"):
            own, control = (
                statistics.mean(r.metrics[metric] or 0 for r in study.results if r.arm == row[key])
                for key in ("arm", "control")
            )
            assert float(row[f"{metric}_mean"]) == pytest.approx(own)
            assert float(row[f"{metric}_difference"]) == pytest.approx(own - control)


def test_changes_are_paired_by_seed_with_a_t_interval(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study(reference=REFERENCE))
    assert study.published is not None
    changes = dict(dose.changes_from_real(study, dose.our_arms(study, study.published), "rank1"))
    assert sorted(changes) == [40, 160]
    of = {(r.arm, r.seed): r.metrics["rank1"] or 0 for r in study.results}
    pairs = [of["real+160", seed] - of["real", seed] for seed in range(5)]  # of the arm's resolution, not the full one
    found = stats.t.interval(0.95, 4, statistics.mean(pairs), stats.sem(pairs))
    assert (changes[160].low, changes[160].high) == pytest.approx(found)


def test_published_numbers_stand_beside_ours(make_study: Callable[..., Path]) -> None:
    folder = make_study(reference=REFERENCE)
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "From 0 to 160 persons, published Rank-1 changes by +2.00 points" in page.words  # not to the doubtful 320
    assert "Repeats a row." in page.words
    rows = list(csv.DictReader(io.StringIO((folder / "tables" / "published.csv").read_text())))
    assert [row["arm"] for row in rows] == ["real", "real+40", "real+160", ""]
    assert float(rows[2]["rank1_published"]) == 0.91
    without = Page(write_report(make_study("without")).read_text(encoding="utf-8"))
    assert "published" not in without.ids


def test_charts_take_their_colours_from_the_page(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study(reference=REFERENCE))
    sweeps = dose.sweeps_of(study)
    assert study.published is not None
    drawn = [
        dose_figures.levels(study, sweeps, "map"),
        dose_figures.differences(study, sweeps, "rank1"),
        dose_figures.beside_published(study, study.published, "rank1"),
    ]
    for figure in drawn:
        assert figure is not None and not re.findall(r"#[0-9a-f]{6}\b", figure)
    assert len({str(mark) for mark, _ in dose_figures.published_legend(study.published)}) == 4


def sweep_of(model: str, *amounts: int, labels: str = "") -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the arms of a re-ID model ("" or NAME-), each called by its name, and the entry of their slope."""
    baseline = model.removesuffix("-") or None
    made, matched = ([f"{model}{name}-{amount}" for amount in amounts] for name in (f"made{labels}", "as"))
    arms: list[dict[str, Any]] = [{"name": f"{model}real", "control": True, "baseline": baseline}]
    for amount, name, control in zip(amounts, made, matched, strict=True):
        arms.append({"name": name, "persons": amount, "baseline": baseline})
        arms.append({"name": control, "control": True, "matched": True, "baseline": baseline})
    return arms, SLOPE | {"of": f"{model}persons{labels}", "arms": made, "against": matched, "amounts": amounts}


def test_each_model_has_lines_of_its_own(make_study: Callable[..., Path]) -> None:
    (own, slope), (strong, strong_slope) = sweep_of("", 40, 80), sweep_of("strong-", 40, 80)
    results = [{"arm": arm["name"], "seed": 0, "map": 0.25} for arm in own + strong]
    study = read_study(make_study(arms=own + strong, results=results, dose=[slope, strong_slope], differences=None))
    sweeps = dose.sweeps_of(study)
    figure = dose_figures.levels(study, sweeps, "map")
    assert figure is not None
    spoken = [part.split(":")[0] for part in figure.split('aria-label="')[1].split('"')[0].split(". ")[1].split("; ")]
    lines = ["real", "made-40", "made-80"], ["strong-real", "strong-made-40", "strong-made-80"]
    assert spoken == [*lines[0], *lines[1], "as-40", "as-80", "strong-as-40", "strong-as-80"]
    legend = dose_figures.legend(study, sweeps)
    assert [name for _, name in legend[2:]] == ["control of persons", "control of strong-persons"]
    assert len({str(mark) for mark, _ in legend}) == 4


def test_as_many_more_real_persons_are_a_line_of_their_own(make_study: Callable[..., Path]) -> None:
    own, slope = sweep_of("", 40, 80)
    own += [{"name": f"more-{amount}", "more_real": amount} for amount in (80, 40)]
    results = [{"arm": arm["name"], "seed": 0, "map": 0.25} for arm in own]
    study = read_study(make_study(arms=own, results=results, dose=[slope], differences=None))
    sweeps = dose.sweeps_of(study)
    figure = dose_figures.levels(study, sweeps, "map")
    assert figure is not None and figure.index("more-40:") < figure.index("more-80:")
    legend = dose_figures.legend(study, sweeps)
    assert legend[-1][1] == "as many more real persons" and len({str(mark) for mark, _ in legend}) == 3
    assert [arm.name for sweep in sweeps for arm in sweep.arms] == ["made-40", "made-80"]
    varied = [{**arm, "variations": arm["persons"], "persons": 0} if arm.get("persons") else arm for arm in own]
    study = read_study(make_study("varied", arms=varied, results=results, dose=[slope], differences=None))
    assert dose_figures.more_real_of(study, dose.sweeps_of(study)) == []  # 40 persons are not 40 variations


def test_sweeps_with_the_same_controls_share_their_line(make_study: Callable[..., Path]) -> None:
    (own, slope), (other, other_slope) = sweep_of("", 40, 80), sweep_of("", 40, 80, labels="-lsro")
    arms = list({arm["name"]: arm for arm in own + other}.values())
    study = read_study(make_study(arms=arms, dose=[slope, other_slope], differences=None))
    legend = dose_figures.legend(study, dose.sweeps_of(study))
    assert [name for _, name in legend] == ["persons", "persons-lsro", "real pictures, as many steps"]


def test_one_seed_is_said_to_have_no_interval(make_study: Callable[..., Path]) -> None:
    listed = make_study("listed", seeds=1, reference=REFERENCE, dose=[SLOPE | {"low": None, "high": None}])
    for folder in (listed, make_study("by title", seeds=1)):
        words = " ".join(Page(write_report(folder).read_text(encoding="utf-8")).words.split())
        assert "interval no interval" not in words
        said = words.split("Does more help more?")[1].split("What are the numbers?")[0]
        assert "points (one seed, no interval), " in said


def test_seeds_that_one_arm_lacks_are_left_out_of_pairs(make_study: Callable[..., Path]) -> None:
    results = [{"arm": "real", "seed": seed, "map": 0.1 * seed} for seed in (0, 1, 2)]
    results += [{"arm": "real+40", "seed": seed, "map": 0.1 * seed + 0.05} for seed in (2, 1, 3)]
    study = read_study(make_study(results=results))
    found = study.paired("real+40", "real", "map")
    assert found is not None and found.per_seed == pytest.approx([0.05, 0.05])
    assert study.paired("real+160", "real", "map") is None
