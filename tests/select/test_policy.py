"""Rules in order, both denominators, and what is said when nothing is left."""

from __future__ import annotations

import numpy as np
import pytest

from synreid.select.policy import Policy
from synreid.stage.errors import UserError


def test_the_thesis_table_comes_out() -> None:
    # table 5.5: 20,451 made, 3,419 discarded by the detector, 396 by SSIM, 16,636 kept
    policy = Policy(np.repeat(np.arange(401), 51))
    policy.at_least("pedestrian", np.where(np.arange(20451) < 3419, 0.5, 0.7), 0.6)
    policy.at_least("ssim", np.where(np.arange(17032) < 396, 0.7, 0.8), 0.75)
    assert policy.kept.sum() == 16636
    first, second = policy.stages
    assert (first.into, first.discarded, second.into, second.discarded) == (20451, 3419, 17032, 396)
    assert round(first.percent_of_all, 1) == round(first.percent_of_stage, 1) == 16.7
    assert (round(second.percent_of_stage, 1), round(second.percent_of_all, 2)) == (2.3, 1.94)
    assert second.as_row()["in"] == 17032


def test_a_picture_is_judged_only_by_rules_it_reaches() -> None:
    policy = Policy(np.array(["a", "a", "b", "b"]))
    policy.at_least("first", np.array([0.0, 1.0, 1.0, np.nan]), 0.5)
    assert policy.left.tolist() == [1, 2, 3]  # nan is not judged
    policy.at_least("second", np.array([0.0, 1.0, 1.0]), 0.5)
    assert policy.reasons.tolist() == ["first", "second", None, None]
    assert np.isnan(policy.columns["second"][0])
    policy.drop_small_persons(2)
    assert policy.left.tolist() == [2, 3]
    assert policy.stages[-1].discarded == 0


def test_a_person_with_too_few_left_goes_as_a_whole() -> None:
    policy = Policy(np.array(["a", "b", "b", "a", "c"]))
    policy.at_least("score", np.array([1, 1, 1, 0, 1.0]), 0.5)
    policy.drop_small_persons(2)
    assert policy.reasons.tolist() == ["too few kept", None, None, "score", "too few kept"]


def test_nothing_left_says_which_score_and_what_would_keep_a_tenth() -> None:
    policy = Policy(np.zeros(100))
    values = np.arange(100) / 200
    with pytest.raises(UserError, match="pedestrian leaves no picture") as caught:
        policy.at_least("pedestrian", values, 0.6)
    said = float(str(caught.value).split("a threshold of ")[1].split(" ")[0])
    assert (values >= said).sum() == 10


def test_no_person_left_says_what_discarded() -> None:
    policy = Policy(np.array([1, 2, 3]))
    policy.at_least("ssim", np.array([1, 1, 0.0]), 0.5)
    with pytest.raises(UserError, match="ssim discarded 1 of 3"):
        policy.drop_small_persons(2)
