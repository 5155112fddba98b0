"""Each layout says of a picture what its name says, and lists what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from synreid.data.decode import picture_sha256, read_picture
from synreid.data.layouts import csvfile, cuhk01, folders, market1501, msmt17
from synreid.data.layouts.entry import MADE_PICTURE, WRONG_NAME, WRONG_PLACE, WRONG_ROW, Entry, source_name
from synreid.data.scan import listing, scan
from synreid.data.table import column, paths, pick
from synreid.stage.errors import UserError


def test_market_names_say_identity_camera_frame_split_and_junk(market: Path) -> None:
    found = market1501.read(market)
    by_path = {entry.path: entry for entry in found.entries}
    path = "bounding_box_train/0002_c2s1_000001_00.jpg"
    assert by_path[path] == Entry(path, "market1501/0002", "market1501/c2", 1, "train", False)
    path = "bounding_box_test/-1_c1s1_000401_03.jpg"
    assert by_path[path] == Entry(path, "market1501/-1", "market1501/c1", 401, "gallery", True)
    path = "bounding_box_test/0000_c2s1_000009_00.png"
    assert by_path[path] == Entry(path, "market1501/0000", "market1501/c2", 9, "gallery", False)
    assert len(by_path) == 16 + 6 + 12 + 2
    assert found.ignored == 2, "readme.txt and Thumbs.db"
    assert found.left_out == []


@pytest.mark.parametrize(
    ("name", "camera", "frame"),
    [
        ("1488_c1s6_023021_00.jpg.jpg", 1, 23021),  # 24 queries of the real Market-1501 end like this
        ("1488_c5_f0046182.jpg", 5, 46182),
        ("1488_c12s3_000451_03.JPEG", 12, 451),
        ("1488_c2.png", 2, None),
    ],
)
def test_looser_names_of_real_sets_are_read(tmp_path: Path, picture, name: str, camera: int, frame: int) -> None:
    picture(tmp_path / "plain.png")
    (tmp_path / "query").mkdir()
    (tmp_path / "plain.png").rename(tmp_path / "query" / name)
    (entry,) = market1501.read(tmp_path).entries
    assert (entry.pid[-5:], entry.camera, entry.frame) == ("/1488", f"{source_name(tmp_path.name)}/c{camera}", frame)


def test_wrong_names_and_junk_outside_the_gallery_are_left_out_by_name(market: Path, picture) -> None:
    for name in ("query/person.jpg", "query/-1_c1s1_000001_00.jpg", "bounding_box_test/12_x1.png"):
        picture(market / name, 99)
    assert market1501.read(market).left_out == [
        (WRONG_PLACE, "query/-1_c1s1_000001_00.jpg"),
        (WRONG_NAME, "query/person.jpg"),
        (WRONG_NAME, "bounding_box_test/12_x1.png"),
    ]


def test_a_folder_that_holds_the_set_stands_for_it(market: Path, tmp_path: Path, picture) -> None:
    assert listing(tmp_path).root == listing(market).root == str(market)
    picture(tmp_path / "other" / "query" / "0001_c1s1_000001_00.jpg")
    with pytest.raises(UserError, match="several sets"):
        listing(tmp_path)


def test_sources_are_named_by_their_folder() -> None:
    assert source_name("Market-1501-v15.09.15") == "market1501"
    assert source_name("PKU-Reid") == "pku-reid"
    assert source_name("...") == "pictures"


def test_folders_of_splits_are_not_taken_for_market(tmp_path: Path, picture) -> None:
    for seed, split in enumerate(("train", "query", "gallery")):
        picture(tmp_path / split / "anna" / "c1_1.png", seed)
    assert [(e.pid.split("/")[1], e.split) for e in listing(tmp_path).entries] == [
        ("anna", split) for split in ("gallery", "query", "train")
    ]


@pytest.mark.parametrize(
    ("name", "camera"),
    [
        ("c1_0001.jpg", "c1"),
        ("0002_C03s1_000451.jpg", "c3"),
        ("img_cam2_7.jpg", "c2"),
        ("x-camera_4.jpg", "c4"),
        ("abc4.jpg", None),
        ("0001.jpg", None),
        ("pic12.jpg", None),
    ],
)
def test_cameras_are_found_at_word_boundaries(tmp_path: Path, picture, name: str, camera: str | None) -> None:
    picture(tmp_path / "set" / "anna" / name)
    (entry,) = folders.read(tmp_path / "set").entries
    assert entry == Entry(f"anna/{name}", "set/anna", camera and f"set/{camera}")


def test_the_camera_pattern_can_be_given(tmp_path: Path, picture) -> None:
    picture(tmp_path / "set" / "anna" / "North-17.jpg")
    (entry,) = folders.read(tmp_path / "set", r"^(north|south)").entries
    assert entry.camera == "set/north"
    for pattern, word in (("(", "no regular expression"), ("c", "no group")):
        with pytest.raises(UserError, match=word):
            folders.read(tmp_path / "set", pattern)


def test_folders_list_what_lies_in_a_wrong_place(tmp_path: Path, picture) -> None:
    root = tmp_path / "set"
    for name in ("anna/c1.jpg", "stray.jpg", "anna/deep/c2.jpg"):
        picture(root / name)
    (root / "anna" / "notes.txt").write_text("x")
    found = folders.read(root)
    assert [entry.path for entry in found.entries] == ["anna/c1.jpg"]
    assert sorted(found.left_out) == [(WRONG_PLACE, "anna/deep"), (WRONG_PLACE, "stray.jpg")]
    assert found.ignored == 1


def test_folders_may_have_splits_above_them(tmp_path: Path, picture) -> None:
    for name in ("train/anna/c1.jpg", "query/bert/c1.jpg", "gallery/bert/c2.jpg"):
        picture(tmp_path / "set" / name)
    assert sorted((entry.pid, entry.split) for entry in folders.read(tmp_path / "set").entries) == [
        ("set/anna", "train"),
        ("set/bert", "gallery"),
        ("set/bert", "query"),
    ]


def test_csv_columns_are_read_whatever_their_order_and_separator(tmp_path: Path, picture) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, ord(name[0]))
    text = "camera;pid;junk;Path;split\n1;7;0;a.png;Train\n;x;yes;b.png;gallery\n"
    (tmp_path / "mine.csv").write_text("\ufeff" + text)
    assert csvfile.read(tmp_path / "mine.csv").entries == [
        Entry("a.png", "mine/7", "mine/1", None, "train", False),
        Entry("b.png", "mine/x", None, None, "gallery", True),
    ]
    table = scan(tmp_path / "mine.csv").table
    assert paths(table) == [tmp_path / "a.png", tmp_path / "b.png"]
    assert column(table, "sha256")[0] == picture_sha256(read_picture(tmp_path / "a.png"))
    assert len(pick(table, junk=True)) == 1


def test_csv_rows_that_cannot_be_read_are_listed_by_line(tmp_path: Path) -> None:
    lines = ["path,pid,camera,split,junk", ",1,1,,", "a.png,1,1,test,", "b.png,1,1,,perhaps", "c.png,1,1,,"]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    found = csvfile.read(tmp_path / "mine.csv")
    assert [entry.path for entry in found.entries] == ["c.png"]
    assert [rule for rule, _ in found.left_out] == [WRONG_ROW] * 3
    for (_, text), word in zip(
        found.left_out, ("line 2", "line 3: split 'test'", "line 4: junk 'perhaps'"), strict=True
    ):
        assert word in text


def test_csv_that_is_no_table_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("file,person\n")
    with pytest.raises(UserError, match="no column path"):
        csvfile.read(tmp_path / "mine.csv")
    (tmp_path / "mine.csv").write_bytes(b"path,pid,camera\n\xff\xfe\x00,1,1\n")
    with pytest.raises(UserError, match="UTF-8"):
        csvfile.read(tmp_path / "mine.csv")


def test_msmt17s_lists_say_who_is_tested(tmp_path: Path, picture) -> None:
    lists = {
        "train": ["0000/0000_000_01_0303morning_0015_1.jpg 0", "nonsense 0"],
        "val": ["0000/0000_001_14_0303noon_0020_0.jpg 0"],
        "query": ["0000/0000_000_05_0303noon_0001_1.jpg 0"],
        "gallery": ["0000/0000_001_06_0303noon_0002_1.jpg 0"],
    }
    for split, lines in lists.items():
        (tmp_path / f"list_{split}.txt").write_text("\n".join(lines) + "\n")
        for seed, line in enumerate(line for line in lines if "/" in line):
            picture(tmp_path / ("test" if split in ("query", "gallery") else "train") / line.split()[0], seed)
    found = listing(tmp_path)
    assert found.layout == "MSMT17"
    assert [(e.pid, e.camera, e.split) for e in found.entries] == [
        ("msmt17/0000", "msmt17/c1", "train"),
        ("msmt17/0000", "msmt17/c14", "train"),
        ("msmt17/t0000", "msmt17/c5", "query"),
        ("msmt17/t0000", "msmt17/c6", "gallery"),
    ]
    assert found.left_out == [(WRONG_NAME, "list_train.txt: nonsense")]
    (tmp_path / "test").rename(tmp_path / "mask_test_v2")
    assert msmt17.read(tmp_path).entries[-1].path == "mask_test_v2/0000/0000_001_06_0303noon_0002_1.jpg"
    (tmp_path / "train").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="no folder train or mask_train_v2"):
        msmt17.read(tmp_path)


def test_cuhk01s_names_say_person_and_camera(tmp_path: Path, picture) -> None:
    for seed, name in enumerate(("0001001.png", "0001003.png", "0971004.png")):
        picture(tmp_path / name, seed)
    found = listing(tmp_path)
    assert found.layout == "CUHK01"
    assert [(e.pid, e.camera) for e in found.entries] == [
        ("cuhk01/0001", "cuhk01/c1"),
        ("cuhk01/0001", "cuhk01/c2"),
        ("cuhk01/0971", "cuhk01/c2"),
    ]
    picture(tmp_path / "0971005.png", 9)
    assert not cuhk01.matches(tmp_path), "such as the frames of a video"


def test_made_pictures_of_an_export_are_not_taken_for_real(market: Path, tmp_path: Path, picture) -> None:
    picture(market / "bounding_box_train" / "1600_c7s1_000001_00_made.jpg", 99)
    assert (MADE_PICTURE, "bounding_box_train/1600_c7s1_000001_00_made.jpg") in listing(market).left_out
    picture(tmp_path / "people" / "anna" / "c1_real.png", 1)
    picture(tmp_path / "people" / "anna" / "0001_c1s1_000001_00_made.png", 2)
    assert listing(tmp_path / "people").left_out == [(MADE_PICTURE, "anna/0001_c1s1_000001_00_made.png")]
