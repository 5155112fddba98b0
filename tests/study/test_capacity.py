from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
import pytest

from synreid.data.table import from_columns
from synreid.invert.options import VaryOptions
from synreid.stage.errors import UserError
from synreid.study.capacity import check_variations, most_variations
from synreid.study.recipe import Variations


def test_bounds_are_what_counting_gives() -> None:
    counts = [3, 2, 4]
    rows = [(person, k) for person, count in enumerate(counts) for k in range(count)]
    own = [row for row in rows if row[0] == 1]
    others = [row for row in rows if row[0] != 1]
    steps = [(a, b) for a, b in itertools.permutations(others, 2) if a[0] == b[0]]
    expected = {
        "inversion": len(own),
        "mix": len([*itertools.product(own, others)]),
        "camera": len([*itertools.product(own, range(6 - 1))]),
        "transfer": len([*itertools.product(own, steps)]),
    }
    for way, number in expected.items():
        assert most_variations([way], counts, 1, 6) == number  # type: ignore[list-item]
    assert most_variations(["inversion", "camera"], counts, 1, 6) == expected["inversion"] + expected["camera"]
    assert most_variations(["sefa"], counts, 1, 6) == float("inf")
    assert most_variations(["between"], [1, 4], 0, 6) == 0


def pictures(*counts: int) -> pa.Table:
    """Return a training split with that many pictures of each person, from two cameras in turn."""
    pids = [f"p{person}" for person, count in enumerate(counts) for _ in range(count)]
    names = [f"{k}.png" for k in range(len(pids))]
    cameras = [f"c{k % 2}" for k in range(len(pids))]
    return from_columns(path=names, sha256=names, pid=pids, camera=cameras, split="train")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"vary": VaryOptions(images=7, ways=("inversion",))},
            "the 3 pictures of person p1 give at most 3 that differ",
        ),
        (
            {"vary": VaryOptions(images=40, ways=("camera",), allow_fewer=True), "amounts": (5, 9)},
            "has 9, but no person's pictures give more than 8 variations that differ by camera",
        ),
        ({"arms": ("inversion",), "amounts": (9,)}, "has 9, but no person has more than 8 pictures to invert"),
    ],
)
def test_what_pictures_cannot_give_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_variations(Variations(**asked), pictures(8, 3))


def test_what_they_can_give_is_not() -> None:
    fewer = VaryOptions(ways=("camera",), allow_fewer=True)
    check_variations(Variations(amounts=(5, 8), vary=fewer), pictures(8, 3))
    check_variations(Variations(amounts=(20,), arms=("selected",)), pictures(8, 3))
