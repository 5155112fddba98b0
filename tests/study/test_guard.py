from __future__ import annotations

import pyarrow as pa
import pytest

from synreid.data.table import from_columns, pick, rows
from synreid.stage.errors import UserError
from synreid.study.guard import check_no_leak


@pytest.fixture
def table() -> pa.Table:
    return from_columns(
        root="data",
        path=[f"{name}.jpg" for name in "abcdef"],
        sha256=list("abcdef"),
        pid=["1", "1", "2", "2", "3", "3"],
        split=["train", "train", "train", "train", "query", "gallery"],
    )


def test_generator_of_this_subset_passes_and_unknown_pictures_are_counted(table: pa.Table) -> None:
    subset = rows(pick(table, split="train"), [0, 1])
    assert check_no_leak(frozenset("ab"), table, subset) == 0
    assert check_no_leak(frozenset("abxyz"), table, subset) == 3


@pytest.mark.parametrize(("digest", "what"), [("e", "a test picture"), ("f", "a test picture"), ("c", "outside")])
def test_forbidden_picture_stops_with_its_name(table: pa.Table, digest: str, what: str) -> None:
    subset = rows(pick(table, split="train"), [0, 1])
    with pytest.raises(
        UserError, match=rf"data/{digest}\.jpg, .*{what}.* leave --gan, .* out: the study then trains one"
    ):
        check_no_leak(frozenset({"a", digest}), table, subset)
