"""Which rows are one certain person's for losses that compare pictures, strategy by strategy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synreid.data.table import from_columns
from synreid.label.strategies import strategy
from synreid.label.weighted import Weighted


@pytest.fixture
def table():
    """Two real persons of two pictures; a variation of one, a mixture of both, a made person of two pictures."""
    origin = ["real"] * 4 + ["variation"] * 2 + ["artificial"] * 2
    one = {"sha256": "0", "role": "person", "weight": 1.0, "layers": [0, 1]}
    parents = [[]] * 4 + [[one, {**one, "sha256": "1"}], [one, {**one, "sha256": "2"}]] + [[]] * 2
    names = [str(number) for number in range(8)]
    return from_columns(path=names, sha256=names, pid=list("aabbaamm"), origin=origin, parents=parents)


class Teacher:
    def __call__(self, table):
        return ["a", "b"], np.eye(2)[np.arange(len(table)) % 2]

    def embed(self, table):
        return np.random.default_rng(0).normal(size=(len(table), 3))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("new-identity", [0, 0, 1, 1, 0, 0, 2, 2]),
        ("mixture", [0, 0, 1, 1, 0, -1, 2, 2]),
        *((name, [0, 0, 1, 1, -1, -1, -1, -1]) for name in ("smoothed", "lsro", "pseudo", "extra-class", "teacher")),
        *((name, [0, 0, 1, 1, -1, -1, -1, -1]) for name in ("mprl-static", "mprl-dynamic-1", "affinity")),
    ],
)
def test_soft_following_and_joint_targets_are_no_certain_persons(table, name, expected):
    taught = Teacher() if name in ("teacher", "mprl-static", "affinity") else None
    chosen = Weighted(strategy(name, 0, taught))
    chosen.classes(table)
    assert chosen.persons().tolist() == expected


@pytest.mark.parametrize("name", ["new-identity", "shuffled", "mixture", "smoothed", "lsro", "pseudo"])
def test_a_certain_persons_target_is_its_class_whatever_the_model_says(table, name):
    chosen = strategy(name, 3)
    classes = len(chosen.classes(table))
    persons, rows = chosen.persons(), torch.arange(8)
    answers = [chosen.targets(rows, torch.randn(8, classes), step)[0] for step in range(2)]
    for row in (persons >= 0).nonzero()[:, 0]:
        assert all(target[row, persons[row]] == 1 for target in answers)
