"""The picture table keeps its contract on the way to a file and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synreid.data.table import (
    SCHEMA,
    column,
    concat,
    from_columns,
    groups,
    paths,
    pick,
    read_table,
    rows,
    rows_by_person,
    spread,
    table_fingerprint,
    write_table,
)
from synreid.stage.errors import UserError

PARENTS = [[], [{"sha256": "b", "weight": 0.5, "role": "style", "layers": [1, 2]}], []]


@pytest.fixture
def table() -> pa.Table:
    return from_columns(
        path=["x/1.png", "x/2.png", "y/1.png"],
        sha256=["a", "b", "c"],
        pid=["s/1", "s/1", None],
        split=np.array(["train", "query", None], dtype=object),
        junk=[False, False, True],
        parents=PARENTS,
    )


def test_defaults_follow_the_contract(table: pa.Table) -> None:
    assert table.schema.equals(SCHEMA)
    assert column(table, "junk").dtype == bool
    assert set(column(table, "origin")) == {"real"}
    assert column(table, "claim").tolist() == [None] * 3
    assert [len(parents) for parents in column(table, "parents")] == [0, 1, 0]


def test_one_value_stands_for_all_rows_and_extra_columns_stay() -> None:
    table = from_columns(path=["1", "2"], sha256=["a", "b"], origin="artificial", claim="new", score=[0.5, 0.25])
    assert column(table, "origin").tolist() == ["artificial"] * 2
    assert table.column_names == [*SCHEMA.names, "score"]
    assert column(table, "score").tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"path": ["1"]}, "sha256"),
        ({"path": ["1"], "sha256": ["a"], "split": "test"}, "'test'"),
        ({"path": ["1"], "sha256": ["a"], "origin": "fake"}, "'fake'"),
        ({"path": ["1"], "sha256": [None]}, "empty"),
        ({"path": ["1", "2"], "sha256": ["a"]}, "1 rows"),
    ],
)
def test_a_broken_contract_is_named(columns: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        from_columns(**columns)


def test_write_and_read_give_the_same_rows(table: pa.Table, tmp_path: Path) -> None:
    write_table(table, tmp_path / "table.parquet")
    again = read_table(tmp_path / "table.parquet")
    assert again.drop_columns("root").equals(table.drop_columns("root"))
    assert paths(again) == [tmp_path / name for name in ("x/1.png", "x/2.png", "y/1.png")]


def test_a_folder_can_be_moved_with_its_table(table: pa.Table, tmp_path: Path) -> None:
    home = tmp_path / "home"
    inside = from_columns(path=["1"], sha256=["a"], root=str(home / "pictures"))
    outside = from_columns(path=["2"], sha256=["b"], root="/elsewhere")
    write_table(concat([inside, outside]), home / "table.parquet")
    shutil.move(home, tmp_path / "moved")
    assert paths(read_table(tmp_path / "moved" / "table.parquet")) == [
        tmp_path / "moved" / "pictures" / "1",
        Path("/elsewhere/2"),
    ]


def test_an_empty_table_survives(table: pa.Table, tmp_path: Path) -> None:
    write_table(rows(table, []), tmp_path / "empty.parquet")
    assert len(read_table(tmp_path / "empty.parquet")) == 0


def test_a_bad_file_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_table(tmp_path / "none.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match=r"cut\.parquet"):
        read_table(tmp_path / "cut.parquet")
    pa.parquet.write_table(pa.table({"path": ["1"]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="no column root"):
        read_table(tmp_path / "other.parquet")


def test_rows_take_masks_and_indices_in_order(table: pa.Table) -> None:
    assert column(rows(table, np.array([True, False, True])), "sha256").tolist() == ["a", "c"]
    assert column(rows(table, [2, 0, 2]), "sha256").tolist() == ["c", "a", "c"]
    with pytest.raises(ValueError, match="mask"):
        rows(table, np.array([True]))


def test_pick_by_value_by_collection_and_by_null(table: pa.Table) -> None:
    assert column(pick(table, split="train"), "sha256").tolist() == ["a"]
    assert column(pick(table, split=("train", "query"), junk=False), "sha256").tolist() == ["a", "b"]
    assert column(pick(table, split=None), "sha256").tolist() == ["c"]
    assert column(pick(table, split=["query", None]), "sha256").tolist() == ["b", "c"]
    assert len(pick(table, split="gallery")) == 0


def test_groups_are_the_rows_of_each_name() -> None:
    names = np.array(["b", "a", "c", "a", "b", "a"])
    expected = [[k for k in range(6) if names[k] == name] for name in "abc"]
    assert [found.tolist() for found in groups(names)] == expected
    assert groups(np.array([])) == []
    table = from_columns(path=[*"uvwxyz"], sha256=[*"uvwxyz"], pid=["b", None, "a", "b", None, "a"])
    found = rows_by_person(table)
    assert list(found) == ["a", "b"]
    assert [own.tolist() for own in found.values()] == [[2, 5], [0, 3]]


def test_concat_fills_missing_extra_columns(table: pa.Table) -> None:
    other = from_columns(path=["z"], sha256=["d"], frame=pa.array([7], pa.int32()))
    assert concat([table, other]).column("frame").to_pylist() == [None, None, None, 7]


def test_fingerprint_sees_content_and_order_but_not_the_place(table: pa.Table) -> None:
    moved = from_columns(
        **{name: table.column(name) for name in SCHEMA.names if name != "root"}, root="/somewhere/else"
    )
    assert table_fingerprint(moved) == table_fingerprint(table)
    assert table_fingerprint(rows(table, [1, 0, 2])) != table_fingerprint(table)
    whole = [table.append_column("frame", pa.array([1, 2, 3], kind)) for kind in (pa.int32(), pa.int64())]
    assert table_fingerprint(whole[0]) == table_fingerprint(whole[1]) != table_fingerprint(table)
    changed = from_columns(path=["x/1.png"], sha256=["a"], pid=["s/1"])
    assert table_fingerprint(changed) != table_fingerprint(from_columns(path=["x/1.png"], sha256=["a"], pid=[None]))


def test_rows_of_each_person_are_the_plain_loop() -> None:
    pids = ["b", None, "a", "b", "10", "9", None, "a", "b"]
    table = from_columns(path=[str(k) for k in range(9)], sha256=[str(k) for k in range(9)], pid=pids)
    found = rows_by_person(table)
    assert list(found) == ["10", "9", "a", "b"]
    for pid, own in found.items():
        assert own.tolist() == [k for k in range(9) if pids[k] == pid]
    assert rows_by_person(rows(table, np.zeros(9, dtype=bool))) == {}
    assert rows_by_person(rows(table, [1, 6])) == {}


def test_spread_rows_reach_both_ends_once_each() -> None:
    for count, most in ((0, 3), (1, 3), (7, 3), (3, 7), (100, 9)):
        found = spread(count, most).tolist()
        assert len(found) == len(set(found)) == min(count, most)
        assert not count or (found[0], found[-1]) == (0, count - 1 if len(found) > 1 else 0)
