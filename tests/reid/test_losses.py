"""Losses against plain loops over every pair and triplet."""

from __future__ import annotations

import math

import pytest
import torch

from synreid.reid.losses import CENTRE_RATE, Centres, HardTriplets, MetricLosses, cross_entropy, weighted_triplets
from synreid.reid.options import ReidOptions

PERSONS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])  # the last one is alone


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(9, 5, generator=torch.Generator().manual_seed(0))


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True)))


def pairs(features: torch.Tensor, anchor: int) -> tuple[list[float], list[float]]:
    """The anchor's distances to its positives and to its negatives."""
    near = [distance(features[anchor], features[k]) for k in range(9) if PERSONS[k] == PERSONS[anchor] and k != anchor]
    far = [distance(features[anchor], features[k]) for k in range(9) if PERSONS[k] != PERSONS[anchor]]
    return near, far


@pytest.mark.parametrize("margin", [0.3, 5.0, None])
def test_hard_triplets_are_the_farthest_positive_and_the_nearest_negative(features, margin):
    losses, anchors = HardTriplets(margin)(features, PERSONS)
    assert anchors.tolist() == list(range(8))
    for loss, anchor in zip(losses.tolist(), range(8), strict=True):
        near, far = pairs(features, anchor)
        difference = max(near) - min(far)
        expected = math.log1p(math.exp(difference)) if margin is None else max(0.0, difference + margin)
        assert loss == pytest.approx(expected, abs=1e-5)


def test_weighted_triplets_weigh_far_positives_and_near_negatives(features):
    losses, anchors = weighted_triplets(features, PERSONS)
    assert anchors.tolist() == list(range(8))
    for loss, anchor in zip(losses.tolist(), range(8), strict=True):
        near, far = pairs(features, anchor)
        positive = sum(math.exp(d) * d for d in near) / sum(math.exp(d) for d in near)
        negative = sum(math.exp(-d) * d for d in far) / sum(math.exp(-d) for d in far)
        assert loss == pytest.approx(math.log1p(math.exp(positive - negative)), abs=1e-5)


@pytest.mark.parametrize("triplets", [HardTriplets(0.3), HardTriplets(None), weighted_triplets])
def test_equal_pictures_and_batches_without_triplets_leave_finite_slopes(triplets):
    same = torch.ones(6, 4, requires_grad=True)
    losses, _ = triplets(same, torch.tensor([0, 0, 1, 1, 2, 2]))
    losses.sum().backward()
    assert same.grad.isfinite().all()
    for persons in ([0, 0, 0], [0, 1, 2], []):
        losses, anchors = triplets(torch.ones(len(persons), 4), torch.tensor(persons, dtype=torch.int64))
        assert len(losses) == len(anchors) == 0


def test_centres_are_where_plain_gradient_descent_takes_them(features):
    centres = Centres(4, 5, seed=1)
    values = centres.values.clone().requires_grad_()
    expected = sum((features[k] - values[PERSONS[k]]).square().sum() for k in range(9)) / 9
    torch.testing.assert_close(centres(features, PERSONS).mean(), expected.detach())
    expected.backward()
    centres.follow(features, PERSONS)
    torch.testing.assert_close(centres.values, values.detach() - CENTRE_RATE * values.grad)


def test_pairs_are_of_certain_persons_that_weigh_something(features):
    options = ReidOptions(batch=8, pictures_each=2, triplet=2.0, centre=0.1)
    losses = MetricLosses(options, 4, 5)
    persons, weight = PERSONS.clone(), torch.ones(9)
    persons[[1, 6]] = -1
    weight[4] = 0
    kept = [0, 2, 3, 5, 7, 8]
    before = losses.centres.values.clone()
    found = losses(features, persons, weight)
    triplets, _ = HardTriplets(0.3)(features[kept], PERSONS[kept])
    assert set(found) == {"triplet", "centre"}
    torch.testing.assert_close(found["triplet"], 2 * triplets.mean())
    squared = [(features[k] - before[PERSONS[k]]).square().sum() for k in kept]
    torch.testing.assert_close(found["centre"], 0.1 * torch.stack(squared).mean())
    assert not torch.equal(losses.centres.values, before)


def test_a_triplet_weighs_what_its_anchor_does(features):
    losses = MetricLosses(ReidOptions(batch=8, pictures_each=2, triplet=1.0), 4, 5)
    weight = torch.linspace(0.1, 0.9, 9)
    each, anchors = HardTriplets(0.3)(features, PERSONS)
    torch.testing.assert_close(losses(features, PERSONS, weight)["triplet"], (each * weight[anchors]).mean())


def test_no_certain_person_in_a_batch_costs_nothing(features):
    losses = MetricLosses(ReidOptions(batch=8, pictures_each=2, triplet=1.0, centre=1.0), 4, 5)
    found = losses(features, torch.full((9,), -1), torch.ones(9))
    assert {name: float(value) for name, value in found.items()} == {"triplet": 0.0, "centre": 0.0}


def test_smoothing_spreads_a_share_over_all_classes():
    logits, weight = torch.randn(3, 4), torch.tensor([1.0, 0.5, 0.0])
    targets = torch.tensor([[1.0, 0, 0, 0], [0.25, 0.75, 0, 0], [0, 0, 0, 1]])
    expected = 0.0
    for row, target, factor in zip(logits, targets, weight, strict=True):
        log = row - row.exp().sum().log()
        expected -= factor * sum((0.9 * t + 0.1 / 4) * p for t, p in zip(target, log, strict=True)) / 3
    torch.testing.assert_close(cross_entropy(logits, targets, weight, 0.1), expected)
