"""Numbers that persons and cameras have in other tools."""

from __future__ import annotations

import pytest

from synreid.data.table import from_columns
from synreid.exchange.numbering import numbered
from synreid.stage.errors import UserError


def table(*rows: tuple[str, str | None, str, str]) -> object:
    """A table of rows (pid, camera, split, origin)."""
    names = [f"{k}.jpg" for k in range(len(rows))]
    values = dict(zip(("pid", "camera", "split", "origin"), zip(*rows, strict=True), strict=True))
    return from_columns(path=names, sha256=names, **{name: list(given) for name, given in values.items()})


@pytest.mark.parametrize(
    ("pids", "numbers"),
    [
        (("m/0007", "m/0002"), [7, 2]),
        (("m/7", "m/007"), [2, 1]),  # one number for two persons: none is kept
        (("m/7", "m/bob"), [1, 2]),
        (("m/0", "m/4"), [1, 2]),  # 0 is nobody to other tools
        (("m/20231124153000123456", "m/4"), [1, 2]),  # a time, say, and no number
    ],
)
def test_real_persons_keep_numbers_where_each_has_one(pids: tuple[str, str], numbers: list[int]) -> None:
    given = table(*((pid, "m/c1", "train", "real") for pid in pids), ("made/0", None, "train", "artificial"))
    assert numbered(given).persons.tolist() == [*numbers, max(numbers) + 1]


def test_a_distractor_keeps_its_0() -> None:
    found = numbered(table(("m/0000", "m/c1", "gallery", "real"), ("m/0003", "m/c1", "train", "real")))
    assert found.persons.tolist() == [0, 3]


def test_cameras_of_real_pictures_come_first_and_made_ones_take_or_follow_them() -> None:
    found = numbered(
        table(
            ("m/1", "m/c3", "train", "real"),
            ("m/1", "m/c1", "train", "real"),
            ("made/0", "m/c3", "train", "artificial"),
            ("made/1", "other/c1", "train", "artificial"),
            ("made/2", None, "train", "artificial"),
            ("made/3", None, "train", "artificial"),
            ("m/2", None, "train", "real"),
        )
    )
    assert found.cameras.tolist() == [3, 1, 3, 4, 5, 5, 0]
    assert found.stems[-2:] == ["0006_c5s1_000001_00_made", "0002_000001_00"]


def test_cameras_with_names_are_counted() -> None:
    found = numbered(table(("m/1", "m/yard", "train", "real"), ("m/1", "m/door", "train", "real")))
    assert found.cameras.tolist() == [2, 1]
    assert found.stems == ["0001_c2s1_000001_00", "0001_c1s1_000002_00"]


def test_variations_of_persons_whom_nobody_photographed_are_refused() -> None:
    with pytest.raises(UserError, match="then/2 is shown by variations but not by the real pictures"):
        numbered(table(("now/2", "now/c1", "train", "real"), ("then/2", "then/c1", "train", "variation")))
