from __future__ import annotations

import numpy as np
import pytest
import torch

from synreid.data.table import from_columns
from synreid.label.names import TAUGHT
from synreid.label.new_identity import NewIdentity
from synreid.label.shuffled import Shuffled
from synreid.label.smoothed import Smoothed
from synreid.label.strategies import NAMES, strategy
from synreid.label.teacher import TeacherLabels
from synreid.stage.errors import UserError

PIDS = ["r/2", "r/1", "r/2", *[f"made/{k}" for k in (5, 4, 6, 4, 5, 4, 6, 7)]]
# whose classes are the identities that pictures claim
CLAIMED = ("new-identity", "shuffled", "smoothed", "mixture", "teacher")


def table(pids=PIDS):
    origin = ["real" if pid is None or pid.startswith("r/") else "artificial" for pid in pids]
    return from_columns(path=[f"{k}.png" for k in range(len(pids))], sha256="0", pid=pids, origin=origin)


def sure_of_r2(shown):
    """A teacher of two persons, who takes every picture for the second, with logits 0 and log 3."""
    return ["r/1", "r/2"], np.tile(np.log([1.0, 3.0]), (len(shown), 1))


class SureOfR2:
    """That teacher with features, which are pictures' own numbers."""

    def __call__(self, shown):
        return sure_of_r2(shown)

    def embed(self, shown):
        return np.array([[1, float(path.removesuffix(".png"))] for path in shown["path"].to_pylist()])


def named(name):
    return strategy(name, seed=0, teacher=SureOfR2() if name in TAUGHT else None)


@pytest.mark.parametrize("name", CLAIMED)
def test_targets_are_distributions_over_the_classes(name):
    chosen = named(name)
    assert chosen.name == name
    classes = chosen.classes(table())
    assert classes == sorted(set(PIDS))
    rows = torch.tensor([3, 0, 3])
    probabilities, weight = chosen.targets(rows, torch.zeros(3, len(classes)), 0)
    assert probabilities.shape == (3, 6) and probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3))
    assert weight.tolist() == [1, 1, 1]
    assert torch.equal(probabilities[0], probabilities[2])


@pytest.mark.parametrize("name", NAMES)
def test_real_rows_are_hard(name):
    chosen = named(name)
    names = chosen.classes(table())
    assert chosen.name == name
    probabilities, _ = chosen.targets(torch.arange(3), torch.zeros(3, len(names)), 0)
    expected = [[float(other == pid) for other in names] for pid in PIDS[:3]]
    assert probabilities.tolist() == expected


def labels(chosen):
    rows = range(len(PIDS))
    names = chosen.classes(table())
    probabilities, _ = chosen.targets(torch.tensor(list(rows)), torch.zeros(len(rows), len(names)), 0)
    return [names[k] for k in probabilities.argmax(1)]


def test_new_identity_calls_every_picture_by_its_own_name():
    assert labels(NewIdentity()) == PIDS


def test_shuffled_moves_made_labels_only_and_keeps_their_numbers():
    found = labels(Shuffled(seed=0))
    assert found[:3] == PIDS[:3]
    assert found[3:] != PIDS[3:] and sorted(found[3:]) == sorted(PIDS[3:])
    assert labels(Shuffled(seed=0)) == found
    assert any(labels(Shuffled(seed=seed)) != found for seed in (1, 2, 3))


def test_without_made_pictures_nothing_is_shuffled():
    real = table(PIDS[:3])
    chosen = Shuffled(seed=0)
    chosen.classes(real)
    plain = NewIdentity()
    plain.classes(real)
    np.testing.assert_array_equal(chosen.index, plain.index)


def test_a_picture_without_identity_is_named():
    with pytest.raises(UserError, match=r"1 training pictures have no identity .the first is 1\.png"):
        NewIdentity().classes(table(["r/1", None, "r/2"]))


def test_an_unknown_strategy_is_named():
    with pytest.raises(UserError, match=r"choose one of: new-identity, smoothed, lsro, .*, slsr"):
        strategy("soft", 0)


def three_classes(chosen):
    """Targets over a, b and c of a real a, then of made b, c and b."""
    table = from_columns(
        path=list("0123"),
        sha256="0",
        pid=["a", "b", "c", "b"],
        origin=["real", "variation", "artificial", "variation"],
    )
    assert chosen.classes(table) == ["a", "b", "c"]
    return chosen.targets(torch.tensor([3, 0, 2, 1]), torch.zeros(4, 3), 0)[0]


def test_smoothed_by_hand():
    least = 0.1 / 3
    expected = [[least, 0.9 + least, least], [1, 0, 0], [least, least, 0.9 + least], [least, 0.9 + least, least]]
    torch.testing.assert_close(three_classes(Smoothed()), torch.tensor(expected))
    torch.testing.assert_close(three_classes(Smoothed(0.0)), three_classes(NewIdentity()))


def test_teacher_by_hand():
    shown = []

    def predict(table):
        shown.append(table["path"].to_pylist())
        return ["b", "a"], np.log([[1.0, 1.0], [3.0, 1.0], [1.0, 4.0]])  # c is not known

    expected = [[0.4, 0.6, 0], [1, 0, 0], [0.125, 0.375, 0.5], [0.25, 0.75, 0]]
    torch.testing.assert_close(three_classes(TeacherLabels(predict)), torch.tensor(expected))
    assert shown == [["1", "2", "3"]]  # the made pictures alone, once
    expected = [[0.8, 0.2, 0], [1, 0, 0], [0.25, 0.75, 0], [0.5, 0.5, 0]]
    torch.testing.assert_close(three_classes(TeacherLabels(predict, share=0)), torch.tensor(expected))
    torch.testing.assert_close(three_classes(TeacherLabels(predict, share=1)), three_classes(NewIdentity()))


def test_without_made_pictures_no_teacher_is_asked():
    chosen = TeacherLabels(lambda shown: 1 / 0)
    names = chosen.classes(table(PIDS[:3]))
    probabilities, _ = chosen.targets(torch.arange(3), torch.zeros(3, 2), 0)
    assert [names[k] for k in probabilities.argmax(1)] == PIDS[:3] and probabilities.max(1).values.tolist() == [1, 1, 1]


def test_a_teacher_of_other_persons_is_refused():
    for known, said in ((["x", "y"], "knows none of the 6 identities"), (["r/1", "x"], "1 identities .* first is x")):
        chosen = TeacherLabels(lambda shown, known=known: (known, np.zeros((len(shown), 2))))
        with pytest.raises(UserError, match=said):
            chosen.classes(table())


def test_a_teacher_goes_with_teacher_labels_only():
    for name in TAUGHT:
        with pytest.raises(UserError, match=f"'{name}' needs a teacher; .* by --teacher"):
            strategy(name, 0)
    with pytest.raises(UserError, match="'smoothed' has none; leave --teacher out"):
        strategy("smoothed", 0, sure_of_r2)


@pytest.mark.parametrize("make", [Smoothed, lambda value: TeacherLabels(sure_of_r2, value)])
def test_shares_lie_in_0_to_1(make):
    for value in (-0.1, 1.1):
        with pytest.raises(UserError, match=rf"is {value}, but must lie in 0 to 1"):
            make(value)
