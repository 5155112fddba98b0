from __future__ import annotations

import numpy as np
import pytest
import torch

from synreid.data.table import from_columns
from synreid.label.new_identity import NewIdentity
from synreid.label.shuffled import Shuffled
from synreid.label.strategies import NAMES, strategy
from synreid.stage.errors import UserError

PIDS = ["r/2", "r/1", "r/2", *[f"made/{k}" for k in (5, 4, 6, 4, 5, 4, 6, 7)]]


def table(pids=PIDS):
    origin = ["real" if pid is None or pid.startswith("r/") else "artificial" for pid in pids]
    return from_columns(path=[f"{k}.png" for k in range(len(pids))], sha256="0", pid=pids, origin=origin)


@pytest.mark.parametrize("name", NAMES)
def test_targets_are_distributions_over_the_classes(name):
    chosen = strategy(name, seed=0)
    assert chosen.name == name
    classes = chosen.classes(table())
    assert classes == sorted(set(PIDS))
    rows = torch.tensor([3, 0, 3])
    probabilities, weight = chosen.targets(rows, torch.zeros(3, len(classes)), 0)
    assert probabilities.shape == (3, 6) and probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3))
    assert weight.tolist() == [1, 1, 1]
    assert torch.equal(probabilities[0], probabilities[2])


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
    with pytest.raises(UserError, match="choose one of: new-identity, shuffled"):
        strategy("soft", 0)
