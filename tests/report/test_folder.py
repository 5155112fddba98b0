"""Reading a study's folder: what is needed is asked for by name, the rest may be missing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synreid.report.folder import finished_report, learning_curves, read_study
from synreid.report.page import write_report
from synreid.stage.errors import UserError
from synreid.stage.folder import StageFolder


def test_headline_is_the_largest_arm_against_its_matched_control(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study())
    assert study.headline is not None and study.largest is not None and study.base is not None
    assert (study.headline.arm, study.headline.against, study.headline.metric) == ("real+160", "real-steps", "map")
    assert study.base.name == "real"  # the resolution of the augmented arm, not the full one
    assert study.headline.verdict == ("above" if study.headline.low > 0 else "across")  # type: ignore[operator]


def test_report_of_an_earlier_result_is_not_taken_for_a_finished_one(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    assert finished_report(folder) is None
    written = write_report(folder)
    assert finished_report(folder) == written
    later = written.stat().st_mtime_ns + 1
    os.utime(folder / "study.json", ns=(later, later))
    assert finished_report(folder) is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"arms": []}, "arms is"),
        ({"arms": None}, "arms is"),
        ({"results": "many"}, "results is 'many'"),
        ({"answer": None}, "answer is None"),
        ({"arms": [{"title": "no name"}]}, r"arms\[0\]\.name"),
        ({"arms": ["real"]}, r"arms\[0\] is 'real'"),
        ({"results": [{"arm": "real", "seed": 0, "map": "0.2"}]}, r"results\[0\]\.map is '0.2'"),
        ({"differences": [{"arm": "a", "against": "b", "metric": "map"}]}, r"differences\[0\]\.mean"),
        ({"machine": 3}, "machine is 3"),
        ({"selection_by_/../../../x": {"stages": []}}, r"the name of a selection is 'selection_by_/\.\./"),
        ({"selection_by_": {"stages": []}}, "the name of a selection is 'selection_by_'"),
        ({"calibration": [{"auc": "high"}]}, r"calibration\[0\]\.auc is 'high'"),
        ({"generator": {"quality": [{"kimg": []}]}}, r"generator.quality\[0\]\.kimg"),
    ],
)
def test_wrong_entry_is_named(make_study: Callable[..., Path], changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        read_study(make_study(**changes))


def test_folder_that_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no study\.json"):
        read_study(tmp_path)
    (tmp_path / "study.json").write_text('{"arms": [', encoding="utf-8")
    with pytest.raises(UserError, match="not readable as JSON"):
        read_study(tmp_path)
    (tmp_path / "study.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="must be an object"):
        read_study(tmp_path)


def test_study_that_is_not_finished_is_told_from_what_is_none(tmp_path: Path) -> None:
    for stage, said in (("study", "is not finished.* run its command again"), ("gan", "is not the folder of a study")):
        with StageFolder(tmp_path / stage, stage, 1, {}, {}), pytest.raises(UserError, match=said):
            read_study(tmp_path / stage)


def test_not_a_number_counts_as_missing(make_study: Callable[..., Path]) -> None:
    results = [{"arm": "real", "seed": seed, "map": value} for seed, value in enumerate((0.25, float("nan"), None))]
    assert read_study(make_study(results=results)).values("real", "map") == [0.25]


def test_learning_curve_is_the_mean_over_seeds(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study(seeds=3))
    steps, values = learning_curves(study, "loss", points=7)["real"]
    rows = []
    for path in (study.folder / "reid" / "real").glob("*/metrics.jsonl"):
        rows += [json.loads(text) for text in path.read_text().splitlines()[:-1]]  # the last line was cut off
    first, last = min(row["step"] for row in rows), max(row["step"] for row in rows)
    width = (last - first) / 7
    for window in range(7):
        inside = [r for r in rows if first + width * window <= r["step"] < first + width * (window + 1)]
        inside += [row for row in rows if window == 6 and row["step"] == last]
        np.testing.assert_allclose(steps[window], sum(row["step"] for row in inside) / len(inside))
        np.testing.assert_allclose(values[window], sum(row["loss"] for row in inside) / len(inside))
    assert learning_curves(study, "no such value") == {}
