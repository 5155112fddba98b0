"""Splits and subsets go by identity alone, and smaller subsets lie within larger ones."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synreid.data.splits import split_identities, subset
from synreid.data.table import column, from_columns, rows
from synreid.stage.errors import UserError

shots = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["c1", "c2", "c3", None])), min_size=1, max_size=60)


def table_of(found: list[tuple[int, str | None]], split: str | None = None) -> pa.Table:
    return from_columns(
        path=[f"{place}.png" for place in range(len(found))],
        sha256=[f"{place:x}" for place in range(len(found))],
        pid=[f"s/{person}" for person, _ in found],
        camera=[camera for _, camera in found],
        split=split,
    )


def persons(count: int) -> pa.Table:
    return table_of([(person, camera) for person in range(count) for camera in ("c1", "c2")], "train")


@given(shots, st.integers(0, 5), st.randoms(use_true_random=False))
def test_split_does_not_depend_on_the_order(found: list[tuple[int, str | None]], seed: int, random: object) -> None:
    table = table_of(found)
    order = list(range(len(found)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight = dict(zip(column(table, "path"), column(split_identities(table, seed), "split"), strict=True))
    shuffled = split_identities(rows(table, order), seed)
    assert dict(zip(column(shuffled, "path"), column(shuffled, "split"), strict=True)) == straight


@given(shots, st.integers(0, 5))
def test_split_keeps_identities_apart_and_every_query_answerable(
    found: list[tuple[int, str | None]], seed: int
) -> None:
    table = split_identities(table_of(found), seed)
    seen: dict[str, set[str]] = defaultdict(set)
    queries: list[tuple[str, str | None]] = []
    gallery: set[tuple[str, str | None]] = set()
    for pid, camera, split in zip(*(column(table, name) for name in ("pid", "camera", "split")), strict=True):
        seen["train" if split == "train" else "test"].add(pid)
        if split == "query":
            queries.append((pid, camera))
        if split == "gallery":
            gallery.add((pid, camera))
    assert not seen["train"] & seen["test"]
    assert len(seen["train"]) == len(seen["train"] | seen["test"]) // 2
    assert len(queries) == len(set(queries)), "at most one query of a person and camera"
    for pid, camera in queries:
        assert camera is not None
        assert any(other == pid and view not in (camera, None) for other, view in gallery)


def test_every_person_and_camera_with_enough_pictures_gives_one_query() -> None:
    table = split_identities(table_of([(person, f"c{camera}") for person in range(10) for camera in (1, 2, 3)] * 2))
    asked = [(pid, view) for pid, view, split in _three(table) if split == "query"]
    tested = {(pid, view) for pid, view, split in _three(table) if split != "train"}
    assert sorted(asked) == sorted(tested)
    assert len(asked) == 15


def _three(table: pa.Table) -> list[tuple[str, str, str]]:
    return list(zip(*(column(table, name).tolist() for name in ("pid", "camera", "split")), strict=True))


def test_one_picture_a_camera_gives_one_query_a_person() -> None:
    """VIPeR is such a set: taking both pictures as queries would leave nothing to find."""
    table = split_identities(table_of([(person, camera) for person in range(8) for camera in ("c1", "c2")]))
    assert column(table, "split").tolist().count("query") == 4
    assert column(table, "split").tolist().count("gallery") == 4


def test_junk_goes_to_the_gallery_whoever_it_shows() -> None:
    pids, junk = ["a", "b", "a", "b", "-1"], [False, False, True, True, True]
    table = split_identities(from_columns(path=list("12345"), sha256=list("12345"), pid=pids, junk=junk))
    split = column(table, "split").tolist()
    assert split[2:] == ["gallery"] * 3
    assert split.count("train") == 1


@given(st.integers(1, 40), st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 9))
def test_smaller_subsets_lie_within_larger_ones(count: int, one: float, other: float, seed: int) -> None:
    table = persons(count)
    small, large = (set(column(subset(table, size, seed=seed), "path")) for size in sorted((one, other)))
    assert small <= large


@given(st.integers(1, 40), st.data())
def test_a_number_of_identities_is_kept_whole(count: int, data: st.DataObject) -> None:
    table = persons(count)
    wanted = data.draw(st.integers(1, count))
    part = subset(table, identities=wanted, seed=3)
    assert len(set(column(part, "pid"))) == wanted
    assert len(part) == 2 * wanted, "all pictures of a chosen person stay"


def test_the_thesis_subsets_of_market_have_its_sizes() -> None:
    table = persons(751)
    assert [len(subset(table, size)) // 2 for size in (0.1, 0.25, 0.5, 1.0)] == [75, 188, 376, 751]


def test_seeds_choose_differently() -> None:
    table = persons(40)
    chosen = {tuple(column(subset(table, 0.25, seed=seed), "path")) for seed in range(5)}
    assert len(chosen) == 5


def test_test_rows_stay_and_rows_without_split_are_training() -> None:
    table = from_columns(
        path=list("abcdef"),
        sha256=list("abcdef"),
        pid=["p1", "p2", "q", "q", "r", None],
        split=["train", None, "query", "gallery", "val", None],
    )
    kept = column(subset(table, identities=1), "path").tolist()
    assert kept[1:] == ["c", "d", "e"]
    assert kept[0] in "ab"


@pytest.mark.parametrize("wrong", [{"identities": 6}, {"identities": 0}, {"fraction": 0.0}, {"fraction": 1.5}])
def test_what_cannot_be_taken_is_the_users_error(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=str(next(iter(wrong.values())))):
        subset(persons(5), **wrong)  # type: ignore[arg-type]


def test_rows_keep_their_order() -> None:
    places = [int(name[:-4]) for name in column(subset(persons(20), 0.5), "path")]
    assert np.all(np.diff(places) > 0)
