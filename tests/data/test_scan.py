"""A scan decodes each picture once and again only when it changes; a set with a broken rule is not opened."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synreid.data import scan as module
from synreid.data.cache import cache_folder
from synreid.data.decode import picture_sha256, read_picture
from synreid.data.scan import listing, open_data, scan, scan_plain
from synreid.data.table import SCHEMA, column, paths, pick, table_fingerprint
from synreid.stage.errors import UserError


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pictures that were decoded since."""
    names: list[str] = []

    def noted(path: Path):
        names.append(path.name)
        return read_picture(path)

    monkeypatch.setattr(module, "read_picture", noted)
    return names


def test_the_table_holds_what_decoding_each_picture_gives(market: Path) -> None:
    table = open_data(market)
    assert table.column_names == [*SCHEMA.names, "frame"]
    assert column(table, "sha256").tolist() == [picture_sha256(read_picture(path)) for path in paths(table)]
    splits = column(table, "split").tolist()
    assert {name: splits.count(name) for name in set(splits)} == {"train": 16, "query": 6, "gallery": 14}
    assert column(pick(table, junk=True), "pid").tolist() == ["market1501/-1"]


def test_only_changed_pictures_are_decoded_again(market: Path, picture, decoded: list[str]) -> None:
    first = scan(market)
    assert len(decoded) == 36
    decoded.clear()
    assert scan(market).table.equals(first.table)
    assert decoded == []
    changed = market / "query" / "0001_c1s1_000001_00.jpg"
    picture(changed, 500)
    picture(market / "query" / "0009_c1s1_000001_00.jpg", 501)
    (market / "query" / "0003_c1s1_000001_00.jpg").unlink()
    again = scan(market)
    assert sorted(decoded) == ["0001_c1s1_000001_00.jpg", "0009_c1s1_000001_00.jpg"]
    facts = dict(zip(column(again.table, "path"), column(again.table, "sha256"), strict=True))
    assert facts["query/0001_c1s1_000001_00.jpg"] == picture_sha256(read_picture(changed))
    assert "query/0003_c1s1_000001_00.jpg" not in facts


def test_a_change_that_keeps_the_size_in_bytes_is_seen(tmp_path: Path, picture) -> None:
    path = tmp_path / "people" / "anna" / "c1.bmp"
    picture(path, 1)
    before, status = scan(tmp_path / "people").table, path.stat()
    picture(path, 2)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert path.stat().st_size == status.st_size
    assert column(scan(tmp_path / "people").table, "sha256") != column(before, "sha256")


def test_bad_pictures_are_asked_again_each_time(market: Path, decoded: list[str]) -> None:
    bad = market / "query" / "0001_c1s1_000001_00.jpg"
    bad.write_text("no picture")
    for _ in range(2):
        found = scan(market)
        assert [problem.rule for problem in found.problems] == ["not a picture"]
        assert found.problems[0].examples == ("query/0001_c1s1_000001_00.jpg",)
    assert len(decoded) == 36 + 1


@pytest.mark.parametrize("content", [b"", b"PAR1 rubbish"])
def test_a_damaged_cache_is_made_again(market: Path, cache: Path, decoded: list[str], content: bytes) -> None:
    before = scan(market).table
    (file,) = (cache / "scans").iterdir()
    file.write_bytes(content)
    assert scan(market).table.equals(before)
    assert len(decoded) == 72
    scan(market)
    assert len(decoded) == 72


@pytest.mark.parametrize("texts", [[None] * 36, [b"\xff"] * 36, [3] * 36])
def test_a_cache_with_a_damaged_column_is_made_again(
    market: Path, cache: Path, decoded: list[str], texts: list[object]
) -> None:
    before = scan(market).table
    (file,) = (cache / "scans").iterdir()
    table = pq.read_table(file)
    values = pa.array(texts, pa.binary()).view(pa.string()) if isinstance(texts[0], bytes) else pa.array(texts)
    place = table.column_names.index("sha256")
    pq.write_table(table.set_column(place, "sha256", values), file)
    assert scan(market).table.equals(before)
    assert len(decoded) == 72


def test_a_scan_that_is_cut_off_goes_on(market: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]) -> None:
    monkeypatch.setattr(module, "BLOCK", 10)
    noted = module.read_picture

    def cut(path: Path):
        if len(decoded) == 25:
            raise KeyboardInterrupt
        return noted(path)

    monkeypatch.setattr(module, "read_picture", cut)
    with pytest.raises(KeyboardInterrupt):
        scan(market)
    monkeypatch.setattr(module, "read_picture", noted)
    assert len(scan(market).table) == 36
    assert len(decoded) == 36, "none of the 25 was decoded again"


def test_large_pictures_go_through_threads_with_the_same_result(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = scan(market).table
    monkeypatch.setattr(module, "LARGE_FILE", 0)
    monkeypatch.setenv("SYNREID_CACHE", os.environ["SYNREID_CACHE"] + "/other")
    assert scan(market).table.equals(plain)


def test_no_more_threads_decode_than_there_are_cores(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int | None) -> None:
            asked.append(workers)
            super().__init__(workers)

    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(module, "cores", lambda: 3)
    scan(market)
    assert asked == [3]


def test_a_cache_that_cannot_be_written_is_said_once(
    market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = scan(market).table
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SYNREID_CACHE", str(tmp_path / "file" / "cache"))
    assert all(scan(market).table.equals(before) for _ in range(2))
    assert capsys.readouterr().err.count("file/cache cannot be written") == 1


def test_a_timestamp_is_a_frame_and_a_longer_number_is_none(market: Path, picture) -> None:
    for seed, number in enumerate((1489212345678, 10**18 - 1, 10**18)):
        picture(market / "query" / f"0001_c1_{number}.jpg", 900 + seed)
    table = open_data(market)
    frames = dict(zip(column(table, "path"), table.column("frame").to_pylist(), strict=True))
    assert frames["query/0001_c1_1489212345678.jpg"] == 1489212345678
    assert frames["query/0001_c1_999999999999999999.jpg"] == 10**18 - 1
    assert frames["query/0001_c1_1000000000000000000.jpg"] is None
    assert frames["query/0001_c1s1_000001_00.jpg"] == 1


def test_a_home_that_nobody_has_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path("~no-such-user/pictures")
    for use in (scan, scan_plain):
        with pytest.raises(UserError, match="~no-such-user/pictures begins with a home that is not known"):
            use(place)
    monkeypatch.setenv("SYNREID_CACHE", str(place))
    with pytest.raises(UserError, match="~no-such-user/pictures begins with a home that is not known"):
        cache_folder()


def test_a_moved_set_is_the_same_set(market: Path, tmp_path: Path) -> None:
    before = table_fingerprint(open_data(market))
    (tmp_path / "elsewhere").mkdir()
    market.rename(tmp_path / "elsewhere" / "Market-1501")
    assert table_fingerprint(open_data(tmp_path / "elsewhere")) == before


def test_folders_without_splits_get_them_by_identity(tmp_path: Path, picture) -> None:
    for person in range(6):
        for shot in range(6):
            picture(tmp_path / "people" / f"p{person}" / f"c{shot % 2}_{shot}.png", 10 * person + shot)
    table = open_data(tmp_path / "people")
    train, test = set(column(pick(table, split="train"), "pid")), set(column(pick(table, split="gallery"), "pid"))
    assert len(train) == len(test) == 3
    assert not train & test
    assert len(pick(table, split="query")) == 6
    assert table_fingerprint(open_data(tmp_path / "people")) == table_fingerprint(table)
    assert table_fingerprint(open_data(tmp_path / "people", seed=1)) != table_fingerprint(table)


@pytest.mark.parametrize("kind", ["missing", "empty", "file", "nothing known"])
def test_where_nothing_is_found_the_sentence_names_the_place(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("hello")
    elif kind != "missing":
        place.mkdir()
    if kind == "nothing known":
        (place / "notes.txt").write_text("x")
        (place / "sub").mkdir()
    with pytest.raises(UserError, match=str(place)):
        open_data(place)


def test_a_broken_rule_stops_with_its_first_example(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (market / "query" / "stranger.jpg").write_text("x")
    open_data(market)
    assert "wrong name (1): left out" in capsys.readouterr().err.replace("\n", " ")
    victim = market / "bounding_box_train" / "0002_c1s1_000001_00.jpg"
    victim.write_bytes(victim.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"damaged picture \(1\): .*0002_c1s1_000001_00\.jpg.*data check"):
        open_data(market)


def test_names_that_are_not_utf8_are_left_out_by_name(market: Path, picture) -> None:
    odd = os.fsencode(str(market / "query")) + b"/0009_c1s1_000001_\xff.jpg"
    picture(market / "query" / "x.png", 7)
    try:
        os.rename(market / "query" / "x.png", odd)  # noqa: PTH104, Path cannot name it
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = listing(market)
    assert [(rule, path) for rule, path in found.left_out] == [("wrong name", "query/0009_c1s1_000001_?.jpg")]


def test_pku_reads_as_its_readme_says(pku: Path) -> None:
    table = open_data(pku)
    assert [len(pick(table, split=split)) for split in ("train", "query", "gallery")] == [799, 96, 288]
    assert [len(set(column(pick(table, split=split), "pid"))) for split in ("train", "query", "gallery")] == [
        50,
        24,
        24,
    ]
    assert set(column(table, "camera")) == {"pku-reid/c1", "pku-reid/c2"}
    assert len(set(column(table, "sha256"))) == 1183
