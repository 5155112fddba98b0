from __future__ import annotations

import numpy as np
import pytest

from synreid.data.table import column, from_columns
from synreid.stage.errors import UserError
from synreid.study.arms import draw_persons, draw_real

PIDS = [f"made/{k // 4}" for k in range(40)] + ["made/few"] * 2
KEPT = from_columns(path=[f"{k}.png" for k in range(42)], sha256=[str(k) for k in range(42)], pid=PIDS)


def test_each_person_has_the_asked_number_of_pictures() -> None:
    drawn = draw_persons(KEPT, amount=6, pictures=3, seed=0)
    names, counts = np.unique(column(drawn, "pid").astype(str), return_counts=True)
    assert len(names) == 6
    assert set(counts) == {3}
    assert "made/few" not in names


def test_smaller_amounts_lie_within_larger_ones_and_the_seed_decides() -> None:
    few, many, other = (set(column(draw_persons(KEPT, n, 3, seed), "sha256")) for n, seed in ((3, 0), (6, 0), (3, 1)))
    assert few < many
    assert few != other


def test_more_than_was_made_is_refused() -> None:
    with pytest.raises(UserError, match=r"11 artificial persons with 3 pictures each .* left 10 such persons of 11"):
        draw_persons(KEPT, amount=11, pictures=3, seed=0)


def test_more_real_persons_are_nested_and_have_the_pictures_of_made_ones() -> None:
    few, many, other = (draw_real(KEPT, amount, 3, seed) for amount, seed in ((3, 0), (6, 0), (3, 1)))
    names, counts = np.unique(column(many, "pid").astype(str), return_counts=True)
    assert len(names) == 6 and set(counts) == {3} and "made/few" not in names
    assert set(column(few, "sha256")) < set(column(many, "sha256"))
    assert set(column(few, "sha256")) != set(column(other, "sha256"))


def test_more_real_persons_than_the_subset_leaves_out_are_refused() -> None:
    with pytest.raises(UserError, match=r"11 more real persons with 3 pictures each .* leaves out 10 such persons"):
        draw_real(KEPT, amount=11, pictures=3, seed=0)
