from __future__ import annotations

import dataclasses

import pytest
import torch

from synreid.generate.discriminator import Discriminator, append_deviation, judged_size
from synreid.generate.options import GanOptions
from synreid.stage.errors import UserError

SMALL = GanOptions(cmax=8, cbase=128, w_dim=8)


@pytest.mark.parametrize(("size", "judged"), [((64, 32), (64, 32)), ((33, 17), (40, 24)), ((128, 48), (128, 48))])
def test_any_size_is_judged(size: tuple[int, int], judged: tuple[int, int]) -> None:
    assert judged_size(*size) == judged
    discriminator = Discriminator(dataclasses.replace(SMALL, height=size[0], width=size[1]))
    pictures = torch.randn(4, 3, *size).requires_grad_()
    logits = discriminator(pictures)
    assert logits.shape == (4,)
    (slope,) = torch.autograd.grad(logits.sum(), pictures)
    assert bool((slope.abs().sum(1) > 0).all())  # every pixel counts


def test_a_size_that_no_judge_can_halve_is_refused() -> None:
    with pytest.raises(UserError, match="height 512 and width 8"):
        judged_size(512, 8)


def test_the_logit_follows_the_class() -> None:
    discriminator = Discriminator(SMALL, classes=3)
    pictures = torch.randn(1, 3, 64, 32).expand(3, -1, -1, -1)
    logits = torch.cat([discriminator(pictures[:1], torch.tensor([k])) for k in range(3)])
    assert len(set(logits.tolist())) == 3


def test_deviation_is_the_mean_over_groups_of_four() -> None:
    x = torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    made = append_deviation(x)
    for k in range(8):
        group = torch.stack([x[j] for j in range(8) if j % 2 == k % 2])
        expected = (group.var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(made[k, 3], expected.expand(2, 2))


def test_the_first_blocks_are_the_finest() -> None:
    discriminator = Discriminator(SMALL)
    assert discriminator.finest(1) == [discriminator.from_rgb[0], discriminator.blocks[0]]
    assert discriminator.finest(0) == []
