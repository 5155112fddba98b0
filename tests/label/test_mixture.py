"""Labels of several parents, by hand."""

import pytest
import torch

from synreid.data.table import from_columns
from synreid.label.mixture import Mixture
from synreid.stage.errors import UserError


def parent(sha256, weight, role, layers):
    return {"sha256": sha256, "weight": weight, "role": role, "layers": layers}


def table(parents):
    """Real a, b and c, and made pictures that claim to be a."""
    made = len(parents)
    return from_columns(
        path=[str(k) for k in range(3 + made)],
        sha256=["A", "B", "C", *("A" for _ in parents)],  # a made picture may equal a real one
        pid=["a", "b", "c", *("a" for _ in parents)],
        origin=["real"] * 3 + ["variation"] * made,
        parents=[[], [], [], *parents],
    )


def test_each_person_counts_by_weight_and_layers():
    everything = list(range(8))
    parents = [
        [parent("A", 1.0, "person", [2, 3, 4, 5, 6, 7]), parent("B", 1.0, "style", [0, 1])],
        [parent("A", 0.4, "person", everything), parent("A", 0.6, "person", everything)],
        [
            parent("A", 1.0, "person", everything),
            parent("B", -0.5, "from", everything),
            parent("C", 0.5, "to", everything),
        ],
        [],
    ]
    chosen, data = Mixture(), table(parents)
    assert chosen.classes(data) == ["a", "b", "c"]
    found, weight = chosen.targets(torch.arange(7), torch.zeros(7, 3), 0)
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.75, 0.25, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]
    torch.testing.assert_close(found, torch.tensor(expected))
    assert weight.tolist() == [1] * 7


def test_a_parent_that_is_not_trained_on_is_named():
    with pytest.raises(UserError, match="one of 3 is not among the training pictures"):
        Mixture().classes(table([[parent("Z", 1.0, "person", [0])]]))
