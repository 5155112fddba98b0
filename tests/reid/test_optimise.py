from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from synreid.reid.backbone import build
from synreid.reid.optimise import optimiser_for, rate_factor, set_rates
from synreid.reid.options import PRESETS, ReidOptions


def test_the_schedule_stretches_with_the_steps():
    for total in (60, 600, 90):
        assert [rate_factor(step, total, ReidOptions()) for step in (total * 2 // 3 - 1, total * 2 // 3)] == [1.0, 0.1]


def test_the_strong_schedule_is_warm_up_and_two_steps_of_120_epochs():
    options = ReidOptions(**PRESETS["strong"])
    factors = [rate_factor(step, 1200, options) for step in range(1200)]  # 10 steps an epoch
    assert factors[0] == 0.01 and factors[50] == pytest.approx((0.01 + 1) / 2)
    assert factors[100:400] == [1.0] * 300
    assert factors[400:700] == pytest.approx([0.1] * 300) and factors[700:] == pytest.approx([0.01] * 500)
    assert all(a < b for a, b in pairwise(factors[:101]))


def test_the_backbone_is_slowed_only_where_it_is_pretrained(small):
    network = build(small, 3)
    for change, expected in (({}, 0.05), ({"pretrained": "x"}, 0.005), ({"backbone_lr_factor": 0.5}, 0.025)):
        groups = optimiser_for(network, replace(small, **change)).param_groups
        assert [group["initial_lr"] for group in groups] == pytest.approx([expected, 0.05])
        assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


def test_rates_reach_every_group(small):
    optimiser = optimiser_for(build(small, 3), replace(small, backbone_lr_factor=0.5))
    set_rates(optimiser, small, 50, 60)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.0025, 0.005])


def test_the_bnnecks_bias_stays_zero_under_adam(small):
    options = replace(small, neck="bnneck", optimiser="adam", weight_decay=0.5)
    network = build(options, 3)
    optimiser = optimiser_for(network, options)
    assert isinstance(optimiser, torch.optim.Adam)
    before = network.bottleneck[0].weight.detach().clone()
    network(torch.randn(8, 3, 32, 16)).square().sum().backward()
    optimiser.step()
    assert not network.bottleneck[0].bias.any() and not torch.equal(network.bottleneck[0].weight, before)
