"""Tables say what the results say, and their CSV holds every digit."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from synreid.report.folder import read_study
from synreid.report.tables import arms_table, calibration_table, differences_table, selection_table, to_csv


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_arms_csv_is_mean_and_deviation_of_the_results(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study())
    table = arms_table(study)
    for row, shown in zip(read(table.csv), table.rows, strict=True):
        for metric in ("rank1", "rank10", "map", "map_trapezoid", "minp"):
            values = [result.metrics[metric] or 0 for result in study.results if result.arm == row["arm"]]
            assert float(row[f"{metric}_mean"]) == pytest.approx(statistics.mean(values))
            assert float(row[f"{metric}_sd"]) == pytest.approx(statistics.stdev(values))
        assert len(shown) == len(table.head)
        assert shown[table.head.index("Rank-1")].startswith(f"{100 * float(row['rank1_mean']):.1f} ± ")


def test_each_kind_of_made_pictures_has_a_column_where_there_is_any(make_study: Callable[..., Path]) -> None:
    table = arms_table(read_study(make_study()))
    assert "variations a person" not in table.head
    assert [row[table.head.index("made persons")] for row in table.rows] == ["0", "0", "0", "40", "160"]
    arms = [{"name": "real", "control": True}, {"name": "selected-5", "variations": 5}]
    table = arms_table(read_study(make_study("varied", arms=arms)))
    assert "made persons" not in table.head
    assert [row[table.head.index("variations a person")] for row in table.rows] == ["0", "5"]
    assert [row["variations"] for row in read(table.csv)] == ["0", "5"]


def test_differences_csv_gives_back_every_pair(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study())
    for row, difference in zip(read(differences_table(study).csv), study.differences, strict=True):
        pairs = [float(row[f"pair_{index + 1}"]) for index in range(5)]
        assert pairs == difference.per_seed
        assert float(row["mean"]) == pytest.approx(statistics.mean(pairs))


def test_differences_csv_holds_the_other_tests(make_study: Callable[..., Path]) -> None:
    entry = {"arm": "real+40", "against": "real", "metric": "rank1", "mean": 0.01, "per_seed": [0.0, 0.02]}
    told = {"p_holm": 0.02, "persons": {"low": -0.01, "high": 0.03}, "mcnemar": {"gained": 12, "lost": 9, "p": 0.5}}
    study = read_study(make_study(differences=[entry | {"per_seed": [0.01]}, entry | told]))
    table = differences_table(study)
    bare, tested = read(table.csv)
    assert [tested[key] for key in ("pair_2", "p_holm", "persons_low", "mcnemar_gained")] == [
        "0.02",
        "0.02",
        "-0.01",
        "12",
    ]
    assert [bare[key] for key in ("pair_1", "pair_2", "p_holm", "mcnemar_p")] == ["0.01", "", "", ""]
    assert [row[table.head.index("p, Holm-corrected")] for row in table.rows] == ["\N{EN DASH}", "0.020"]
    without = differences_table(read_study(make_study("without")))
    assert "p, Holm-corrected" not in without.head


def test_selection_has_both_denominators(make_study: Callable[..., Path]) -> None:
    table = selection_table(read_study(make_study()).selections[0])
    assert table is not None
    first, second, together = read(table.csv)
    assert float(second["fraction_of_stage"]) == pytest.approx(401 / 3098)
    assert float(second["fraction_of_all"]) == pytest.approx(401 / 4010)
    assert int(first["discarded"]) + int(second["discarded"]) == int(together["discarded"]) == 4010 - 2697


def test_pairs_of_two_persons_are_no_test_of_the_rule_for_duplicates(make_study: Callable[..., Path]) -> None:
    row = {"should_pass": "same person", "threshold": 0.5, "good": 0.9, "passes": 1.0, "auc": 0.25}
    pairs = [("identity", "different persons"), ("duplicates", "different persons"), ("duplicates", "copy")]
    study = read_study(make_study(calibration=[row | {"score": score, "against": kind} for score, kind in pairs]))
    table = calibration_table(study)
    assert [(shown[0], shown[2]) for shown in table.rows] == [pairs[0], pairs[2]]
    assert [(found["score"], found["against"]) for found in read(table.csv)] == [pairs[0], pairs[2]]


def test_csv_keeps_spreadsheets_from_running_a_name() -> None:
    assert to_csv([["=1+1", "a,b", -0.5, None]]) == '\'=1+1,"a,b",-0.5,\r\n'
