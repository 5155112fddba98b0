"""Calibration by hand-made scores, pairs and probes, and the whole stage; best pictures of a person; the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synreid.cli.main import main
from synreid.data.pixels import read_picture
from synreid.data.table import TABLE, column, paths, read_table
from synreid.features.detectors import HogDetector
from synreid.select.calibration import CURVES, FIGURE, NUMBERS, PICTURES, as_text, calibrate, calibration_as_text, lines
from synreid.select.calibration_options import CalibrationOptions
from synreid.select.curves import ScoreSample
from synreid.select.options import SelectOptions, check
from synreid.select.pairs import different_pairs, same_pairs
from synreid.select.policy import Policy
from synreid.select.probes import shuffled
from synreid.select.report import selection_as_text
from synreid.select.run import read_selection, select
from synreid.stage.errors import UserError
from synreid.stage.files import read_json

from .conftest import ColourEmbedder, Made, coloured


def test_threshold_passes_and_area_by_hand() -> None:
    persons = np.array(list("aabbccddee"))
    values = {"good": np.arange(10.0), "bad": np.arange(10.0) - 5}
    sample = ScoreSample("score", "good", values, dict.fromkeys(values, persons), {"thesis": 4.5})
    found = sample.numbers(0.8, seed=0)
    assert (sample.proposed(0.8), sample.proposed(0.85), sample.proposed(1.0)) == (2.0, 1.0, 0.0)
    assert found["thresholds"]["proposed"]["passes"]["good"] == 0.8
    assert found["thresholds"]["thesis"]["passes"] == {"good": 0.5, "bad": 0.0}
    wins = [(g > b) + (g == b) / 2 for g in values["good"] for b in values["bad"]]
    assert found["auc"]["bad"]["auc"] == pytest.approx(np.mean(wins))
    for row in sample.curve().to_pylist():
        assert row["passes"] == pytest.approx((values[row["kind"]] >= row["threshold"]).mean())


def test_pairs_are_of_one_person_or_two_and_come_once() -> None:
    persons = np.array(["a"] * 20 + ["b"] * 2 + ["c"])
    same, different = same_pairs(persons, 12, 0), different_pairs(persons, 12, 0)
    assert (persons[same[:, 0]] == persons[same[:, 1]]).all()
    assert (persons[different[:, 0]] != persons[different[:, 1]]).all()
    assert len(np.unique(same, axis=0)) == len(np.unique(different, axis=0)) == 12
    assert (persons[same[:, 0]] == "b").sum() == 1  # its only pair is taken
    assert len(different_pairs(persons, 1000, 0)) == 20 * 2 + 20 * 1 + 2 * 1


def test_no_tile_keeps_its_place() -> None:
    picture = np.repeat(np.arange(8, dtype=np.uint8).reshape(1, 4, 2, 1), 3, axis=3)
    moved = shuffled(picture, (4, 2), np.random.default_rng(0))
    assert (moved != picture).all()
    assert sorted(moved.ravel()) == sorted(picture.ravel())


def test_the_stage_sees_training_pictures_and_writes_all(
    real: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    out = calibrate(real, tmp_path / "out", CalibrationOptions(pairs=40, pictures=20), colours)
    numbers = read_json(out / NUMBERS)
    assert (numbers["persons"], numbers["pictures"], numbers["resolution"]) == (10, 60, "64x32")
    pairs, singles = {"ssim-255", "ssim-4095", "identity", "duplicates"}, {"pedestrian (hog)", "realism (pixels-16x8)"}
    assert set(numbers["scores"]) == pairs | singles
    assert numbers["scores"]["identity"]["auc"]["different persons"]["auc"] > 0.8
    assert numbers["scores"]["duplicates"]["auc"]["copy"]["auc"] == 1.0
    assert set(numbers["scores"]["duplicates"]["kinds"]) == {"same person", "copy"}  # two persons are no duplicates
    thresholds = {name: score["thresholds"] for name, score in numbers["scores"].items()}
    assert thresholds["ssim-4095"]["thesis"]["value"] == 0.75 and "thesis" not in thresholds["ssim-255"]
    assert thresholds["duplicates"]["default"]["value"] == 3.0
    assert thresholds["duplicates"]["proposed"]["passes"]["same person"] == 1.0
    assert all((out / name).stat().st_size for name in (CURVES, FIGURE, PICTURES))


def test_scores_may_be_chosen_and_come_as_rows(real: pa.Table, colours: ColourEmbedder, tmp_path: Path) -> None:
    options = CalibrationOptions(pairs=40, pictures=20)
    out = calibrate(real, tmp_path / "out", options, colours, detectors=[HogDetector()], realism=False)
    numbers = read_json(out / NUMBERS)
    found = {(row["score"], row["against"]): row for row in lines(numbers)}
    assert {score for score, _ in found if "pedestrian" in score or "realism" in score} == {"pedestrian (hog)"}
    legs = numbers["scores"]["pedestrian (hog)"]
    row = found["pedestrian (hog)", "legs"]
    assert (row["passes"], row["good"]) == tuple(
        legs["thresholds"]["proposed"]["passes"][kind] for kind in ("legs", row["should_pass"])
    )


def test_table_is_as_wide_as_its_names() -> None:
    persons, values = np.array(list("aabb")), {"real": np.arange(4.0), "a kind of a long name": np.arange(4.0) - 2}
    names = ("pedestrian (yolo-fastest-and-more)", "hog")
    samples = [ScoreSample(name, "real", values, dict.fromkeys(values, persons)) for name in names]
    found = {sample.name: sample.numbers(0.75, seed=0) for sample in samples}
    text = as_text({"pictures": 4, "persons": 2, "resolution": "64x32", "accept": 0.75, "scores": found})
    _, head, *rows, proposed, shares = text.splitlines()
    assert len(rows) == 2 and {len(row) for row in rows} == {len(head)}
    assert proposed.startswith("proposed: the highest threshold that 75 % of what should pass reaches")
    assert "passes: " in shares and "good: " in shares


def test_best_of_a_person_are_kept_by_the_earlier_score() -> None:
    policy = Policy(np.array(["a", "b", "a", "a"]))
    policy.at_least("identity", np.array([0.1, 0.2, np.nan, 0.9]), 0.0)
    policy.keep_best("identity", 1)
    assert policy.reasons.tolist() == ["best", None, "best", None]
    assert policy.columns["best"].tolist() == [2, 1, 3, 1]


def test_a_selection_keeps_the_best_and_reports(
    made: Made, real: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    options = SelectOptions(detector="none", consistency=-1.0, most_pictures=3)
    persons = made({f"made/{k:06d}": [coloured(k, n) for n in range(5)] for k in (3, 4)})
    out = select(persons, real, tmp_path / "out", options, colours)
    assert column(read_selection(out), "kept").sum() == 6
    line = next(line for line in selection_as_text(out).splitlines() if line.startswith("best"))
    assert line.split() == ["best", "10", "4", "40.00", "%", "40.00", "%", "3"]
    with pytest.raises(UserError, match="fewer than least_pictures"):
        check(replace(options, most_pictures=1))


def test_realism_discards_what_no_real_picture_is_near(
    made: Made, real: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    options = SelectOptions(detector="none", identity=False, realism=1.0, least_pictures=1)
    train = [read_picture(path) for path in paths(real)[:6]]
    halves = np.where(np.arange(32)[None, :, None] < 16, 0, 255).astype(np.uint8)  # the real ones are of one colour
    odd = [np.clip(picture // 8 + halves, 0, 255).astype(np.uint8) for picture in train]
    persons = made({"made/000000": train, "made/000001": odd})
    table = read_selection(select(persons, real, tmp_path / "out", options, colours)).to_pydict()
    assert [kept for pid, kept in zip(table["pid"], table["kept"], strict=True) if pid.endswith("1")] == [False] * 6
    assert any(table["kept"])
    with pytest.raises(UserError, match="realism compares with real training pictures"):
        select(persons, None, tmp_path / "other", options, colours)


def test_pictures_that_an_audit_flags_go_first(
    made: Made, real: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    options = SelectOptions(detector="hog", pedestrian=0.0, identity=False)  # which lets all pass that it is shown
    persons = made({f"made/{k:06d}": [coloured(k, n) for n in range(4)] for k in (3, 4)})
    digests = column(read_table(persons / TABLE), "sha256")
    audit = pa.table({"sha256": digests, "flagged": [k in (0, 5) for k in range(8)]})
    table = read_selection(select(persons, real, tmp_path / "out", options, colours, audit=audit)).to_pydict()
    found = dict(zip(table["sha256"], table["reason"], strict=True))
    assert [found[digest] for digest in digests] == ["privacy" if k in (0, 5) else None for k in range(8)]
    with pytest.raises(UserError, match=r"4 pictures, .* are not in the privacy audit"):
        select(persons, real, tmp_path / "other", options, colours, audit=audit.slice(4))
    for name in ("sha256", "flagged"):
        with pytest.raises(UserError, match=f"the privacy audit lacks a whole column {name}"):
            select(persons, real, tmp_path / "other", options, colours, audit=audit.drop_columns([name]))


def test_commands_calibrate_select_and_report(
    tiny_street: Path, made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: object) -> str:
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        assert stopped.value.code == 0
        return capsys.readouterr().out

    out = tmp_path / "calibration"
    found = run("select", "calibrate", "--data", tiny_street, "--out", out, "--pairs", 20, "--pictures", 10)
    assert "upside down" in found and (out / PICTURES).is_file()
    persons = made({"made/000000": [coloured(3, n) for n in range(4)]})
    chosen = run("select", "run", persons, "--detector", "none", "--identity", "false", "--out", tmp_path / "chosen")
    assert chosen.strip() == str(tmp_path / "chosen")
    assert run("select", "report", tmp_path / "chosen").splitlines()[-1].split()[:2] == ["kept", "4"]
    for folder, name, show in (
        (out, NUMBERS, calibration_as_text),
        (tmp_path / "chosen", "summary.json", selection_as_text),
    ):
        (folder / name).write_text("[]")
        with pytest.raises(UserError, match=f"{name} is damaged: it does not hold what its stage writes"):
            show(folder)
