"""A threshold keeps what plain loops keep, and what may not be seen is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synreid.app.choice import Choice, Score, bins, bounds, open_choice, shown
from synreid.app.folder import find_material
from synreid.data.table import column
from synreid.select.policy import BEST
from synreid.stage.errors import UserError

VALUES = np.array([0.9, np.nan, 0.2, 0.5, 0.55, 0.2, np.nan, 0.4])
PERSONS = ["made/a", "made/a", "made/b", "made/b", "made/a", "made/c", "made/c", "made/c"]


@pytest.fixture
def choice() -> Choice:
    scores = {"look": Score("look", VALUES, 0.45), BEST: Score(BEST, np.arange(8.0) + 1, 3.0)}
    return Choice("select", pa.table({"pid": PERSONS}), [], np.ones(8, bool), scores)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.51, 2.0])
def test_split_is_what_plain_loops_give(choice: Choice, threshold: float) -> None:
    kept, discarded, unjudged = [], [], 0
    for row, value in enumerate(VALUES):
        if np.isnan(value):
            unjudged += 1
        else:
            (kept if value >= threshold else discarded).append(row)
    found = choice.split("look", threshold)
    assert sorted(found.kept.tolist()) == kept and sorted(found.discarded.tolist()) == discarded
    assert (found.unjudged, found.persons) == (unjudged, 3)
    assert found.persons_kept == len({PERSONS[row] for row in kept})


def test_pictures_nearest_to_the_threshold_come_first(choice: Choice) -> None:
    found = choice.split("look", 0.45)
    assert found.kept.tolist() == [3, 4, 0]
    assert found.discarded[0] == 7 and set(found.discarded[1:].tolist()) == {2, 5}  # equally far
    assert found.discarded.tolist() == choice.split("look", 0.45).discarded.tolist()
    assert shown(found.kept, "at the threshold", 2).tolist() == [3, 4]
    assert shown(found.kept, "spread over all", 2).tolist() == [3, 0]


def test_ranks_are_kept_up_to_the_threshold(choice: Choice) -> None:
    assert sorted(choice.split(BEST, 3.0).kept.tolist()) == [0, 1, 2]


@pytest.mark.parametrize("name", ["look", BEST])
def test_slider_reaches_from_all_kept_to_none(choice: Choice, name: str) -> None:
    low, high, step = bounds(choice.scores[name])
    counts = [len(choice.split(name, end).discarded) for end in (low, high)]
    assert sorted(counts) == [0, int(choice.scores[name].judged.sum())]
    assert step > 0 and (high - low) / step < 410


def test_histogram_counts_every_picture_once(choice: Choice) -> None:
    _, kept, discarded = bins(choice.scores["look"], 0.45)
    assert (kept.sum(), discarded.sum()) == (3, 3)
    assert not (kept[:5].any() or discarded[-5:].any())


def test_unknown_score_is_one_sentence(choice: Choice) -> None:
    with pytest.raises(UserError, match="no score beauty; choose one of look, best"):
        choice.split("beauty", 0.5)


def test_opened_selection_gives_back_its_own_verdict(made_study: Path) -> None:
    material = find_material(made_study)
    opened = open_choice("select", made_study / "select", material)
    own = opened.scores["consistency"]
    assert own.threshold == -1.0
    kept = opened.split("consistency", own.threshold).kept
    assert sorted(kept.tolist()) == np.flatnonzero(column(opened.table, "kept")).tolist()
    assert all(path.is_file() for path in opened.files) and opened.visible.all()


def test_near_copies_of_real_pictures_are_hidden(copied: Callable[..., Path]) -> None:
    study = copied(real=True)
    path = study / "select" / "selection.parquet"
    table = pq.read_table(path)
    reasons = pa.array(["privacy"] + [None] * (len(table) - 1), pa.string())
    pq.write_table(table.set_column(table.column_names.index("reason"), "reason", reasons), path)
    for show_real, wanted in ((False, [0]), (True, [])):
        opened = open_choice("select", study / "select", find_material(study, show_real=show_real))
        assert np.flatnonzero(~opened.visible).tolist() == wanted


def test_selection_of_other_persons_is_refused(copied: Callable[..., Path]) -> None:
    study = copied()
    path = study / "select" / "selection.parquet"
    table = pq.read_table(path)
    other = pa.array(["0" * 64] * len(table))
    pq.write_table(table.set_column(table.column_names.index("sha256"), "sha256", other), path)
    with pytest.raises(UserError, match="other persons"):
        open_choice("select", study / "select", find_material(study / "select"))


def test_damaged_summary_is_one_sentence(copied: Callable[..., Path]) -> None:
    study = copied()
    (study / "select" / "summary.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"summary\.json is damaged"):
        open_choice("select", study / "select", find_material(study))


def test_a_threshold_that_is_no_number_is_one_sentence(copied: Callable[..., Path]) -> None:
    study = copied()
    path = study / "select" / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    summary["stages"][0]["threshold"] = "high"
    path.write_text(json.dumps(summary), encoding="utf-8")
    with pytest.raises(UserError, match=r"summary\.json is damaged"):
        open_choice("select", study / "select", find_material(study))
