"""`data check` names each broken rule with its level, and only those."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from synreid.data.check import SplitCounts, check, format_report
from synreid.data.rules import STOPS, WARNING, table_problems
from synreid.data.scan import open_data
from synreid.data.table import column, from_columns
from synreid.stage.errors import UserError


def found(path: Path) -> dict[str, tuple[str, int]]:
    return {problem.rule: (problem.level, problem.count) for problem in check(path).problems}


def shown(path: Path) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(format_report(check(path)))
    return out.getvalue()


def test_a_good_set_has_no_problems_and_right_counts(market: Path) -> None:
    report = check(market)
    assert report.ok
    assert report.problems == []
    assert report.counts == [
        SplitCounts("train", 16, 4, 2, 0, 0),
        SplitCounts("query", 6, 3, 2, 0, 0),
        SplitCounts("gallery", 14, 3, 2, 1, 1),
    ]
    assert report.sizes == {(16, 8): 36}
    assert report.ignored == 2
    text = shown(market)
    assert "A study can run on it." in text
    assert "All 36 pictures have 16x8 pixels." in text
    assert "Other files, which are ignored: 2." in text


def test_bad_files_stop_the_study_and_are_named(market: Path, picture) -> None:
    victim = market / "query" / "0001_c1s1_000001_00.jpg"
    victim.write_bytes(victim.read_bytes()[:-200])
    (market / "bounding_box_train" / "0002_c1s1_000009_00.jpg").write_text("text")
    picture(market / "bounding_box_test" / "stranger.png", 70)
    picture(market / "bounding_box_test" / "0001_c1s1_000099_00.png", 71, 40, 20)
    assert found(market) == {
        "damaged picture": (STOPS, 1),
        "not a picture": (STOPS, 1),
        "wrong name": (WARNING, 1),
    }
    report = check(market)
    assert not report.ok
    text = shown(market)
    for name in (
        "query/0001_c1s1_000001_00.jpg",
        "0002_c1s1_000009_00.jpg",
        "stranger.png",
        "2 sizes",
        "No study can run",
    ):
        assert name in text


def test_content_in_train_and_test_stops_and_twins_warn(market: Path) -> None:
    shutil.copy(
        market / "bounding_box_train/0002_c1s1_000001_00.jpg", market / "bounding_box_train/0002_c1s1_000007_00.jpg"
    )
    shutil.copy(
        market / "bounding_box_train/0007_c1s1_000001_00.jpg", market / "bounding_box_train/0010_c1s1_000007_00.jpg"
    )
    assert found(market) == {"same content twice": (WARNING, 1), "same content of two identities": (WARNING, 1)}
    shutil.copy(
        market / "bounding_box_train/0002_c1s1_000001_00.jpg", market / "bounding_box_test/0001_c1s1_000007_00.jpg"
    )
    assert found(market)["same content in train and test"] == (STOPS, 1)


def test_junk_may_repeat_a_picture(market: Path) -> None:
    gallery = market / "bounding_box_test"
    shutil.copy(gallery / "0001_c1s1_000002_00.jpg", gallery / "-1_c1s1_000007_00.jpg")
    assert found(market) == {}


def test_an_identity_in_train_and_test_stops(market: Path, picture) -> None:
    picture(market / "bounding_box_test/0002_c1s1_000001_00.jpg", 90)
    assert found(market) == {"identity in train and test": (STOPS, 1)}


def test_queries_need_their_person_under_another_camera(market: Path, picture) -> None:
    picture(market / "query/0020_c1s1_000001_00.jpg", 90)
    picture(market / "bounding_box_test/0020_c1s1_000002_00.jpg", 91)
    assert found(market) == {"query without a cross-camera positive": (WARNING, 1)}
    picture(market / "query/0021_c1s1_000001_00.jpg", 92)
    assert found(market)["one-picture identity"] == (WARNING, 1)
    for path in (market / "bounding_box_test").glob("*_c2s1_*"):
        path.unlink()
    for path in (market / "query").glob("*_c1s1_*"):
        path.unlink()
    assert check(market).ok
    for path in (market / "bounding_box_test").glob("000[1-4]_*"):
        path.unlink()
    assert found(market)["query without a cross-camera positive"] == (STOPS, 3)


def test_one_camera_stops(market: Path) -> None:
    for path in market.rglob("*_c2s1_*"):
        path.unlink()
    assert found(market)["fewer than two cameras"] == (STOPS, 1)


@pytest.mark.parametrize(("folder", "split"), [("bounding_box_train", "train"), ("query", "query")])
def test_a_missing_split_stops(market: Path, folder: str, split: str) -> None:
    shutil.rmtree(market / folder)
    assert found(market)[f"no {split} pictures"] == (STOPS, 0)


def test_a_split_that_is_not_needed_may_be_missing(market: Path) -> None:
    shutil.rmtree(market / "bounding_box_train")
    assert set(column(open_data(market, needs=("query", "gallery")), "split")) == {"query", "gallery"}
    with pytest.raises(UserError, match="no train pictures"):
        open_data(market)
    shutil.rmtree(market / "query")
    with pytest.raises(UserError, match="no query pictures"):
        open_data(market, needs=("query", "gallery"))


def test_folders_without_cameras_stop_by_name(tmp_path: Path, picture) -> None:
    for person in range(6):
        for shot in range(3):
            picture(tmp_path / "people" / f"p{person}" / f"{shot}.png", 10 * person + shot)
    report = check(tmp_path / "people")
    assert report.split_made
    levels = {(problem.rule, problem.level, problem.count) for problem in report.problems}
    assert {("no camera", STOPS, 9), ("no camera", WARNING, 9), ("fewer than two cameras", STOPS, 0)} <= levels
    lines = [line for line in shown(tmp_path / "people").splitlines() if line.startswith(STOPS)]
    assert [line.split(": ")[1] for line in lines][:2] == ["no camera (9)", "fewer than two cameras (0)"]
    assert "--camera_pattern" in lines[0]
    with pytest.raises(UserError, match=r"no camera \(9\): .*--camera_pattern.* further rules that are broken: 2"):
        open_data(tmp_path / "people")


def test_pictures_without_a_persons_folder_are_what_stops_and_the_layout_is_named(tmp_path: Path, picture) -> None:
    for shot in range(3):
        picture(tmp_path / "flat" / f"c{shot}.png", shot)
    assert found(tmp_path / "flat") == {"wrong place": (STOPS, 3)}
    with pytest.raises(UserError, match=r"wrong place \(3\): .*person/picture\.jpg.* \(such as c0\.png\)"):
        open_data(tmp_path / "flat")
    picture(tmp_path / "flat" / "anna" / "c1.png", 9)
    assert found(tmp_path / "flat")["wrong place"] == (WARNING, 3)


def test_csv_with_holes_in_splits_and_files_stops(tmp_path: Path, picture) -> None:
    picture(tmp_path / "a.png", 1)
    picture(tmp_path / "b.png", 2)
    (tmp_path / "mine.csv").write_text("path,pid,camera,split\na.png,1,1,train\nb.png,2,1,\ngone.png,2,2,query\n")
    rules = found(tmp_path / "mine.csv")
    assert rules["no split"] == (STOPS, 1)
    assert rules["missing picture"] == (STOPS, 1)


def test_at_most_five_examples_and_the_rest_is_counted(market: Path, picture) -> None:
    for place in range(7):
        picture(market / "query" / f"name{place}.png", 60 + place)
    (problem,) = check(market).problems
    assert (problem.count, len(problem.examples)) == (7, 5)
    assert "and 2 more" in shown(market)


def test_brackets_in_names_are_shown_as_they_are(market: Path, picture) -> None:
    picture(market / "query" / "[bold]name.png", 60)
    assert "query/[bold]name.png" in shown(market)


def test_one_picture_persons_are_counted_as_a_plain_loop_does() -> None:
    pids = ["a", "a", "b", "c", "q", "q", "d", "d"]
    splits = ["train"] * 4 + ["query", "gallery", "gallery", "gallery"]
    table = from_columns(path=list("12345678"), sha256=list("12345678"), pid=pids, split=splits, camera=["x", "y"] * 4)
    single = [name for name in "abc" if pids.count(name) == 1]
    (problem,) = [problem for problem in table_problems(table) if problem.rule == "one-picture identity"]
    assert list(problem.examples) == single


def test_pku_keeps_every_rule(pku: Path) -> None:
    report = check(pku)
    assert report.ok
    assert report.problems == []
    assert report.sizes == {(128, 48): 1183}
