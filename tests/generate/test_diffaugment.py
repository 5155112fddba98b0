from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from synreid.generate.diffaugment import POLICIES, cutout, diffaugment, recolour, translate
from synreid.stage.errors import UserError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, 3, height, width, generator=seeded(1)).to(dtype)


def test_no_policy_changes_nothing_and_the_seed_decides() -> None:
    x = noise(4, 16, 8)
    assert torch.equal(diffaugment(x, seeded(), ()), x)
    one, two, other = (diffaugment(x, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_unknown_policy_is_an_error() -> None:
    with pytest.raises(UserError, match=r"'colour'.*color, translation, cutout"):
        diffaugment(noise(1, 4, 4), seeded(), ("colour",))


def test_policies_follow_one_another() -> None:
    x, one_by_one = noise(20, 17, 10), seeded(4)
    y = x
    for policy in POLICIES:
        y = diffaugment(y, one_by_one, (policy,))
    assert torch.equal(y, diffaugment(x, seeded(4)))


def test_colour_is_that_of_plain_loops() -> None:
    x = noise(5, 4, 3, torch.float64)
    brightness, saturation, contrast = torch.rand(3, 5, generator=seeded()).double()
    y = recolour(x, brightness, saturation, contrast)
    for n in range(5):
        brighter = x[n] + brightness[n]
        coloured = torch.empty_like(brighter)
        for row, column in itertools.product(range(4), range(3)):
            grey = sum(brighter[:, row, column]) / 3
            for channel in range(3):
                coloured[channel, row, column] = grey + saturation[n] * (brighter[channel, row, column] - grey)
        expected = coloured.mean() + contrast[n] * (coloured - coloured.mean())
        assert torch.allclose(y[n], expected)


def test_colour_strengths_are_spread_evenly_over_the_paper_s_ranges() -> None:
    x = noise(2000, 4, 4)
    y = diffaugment(x, seeded(), ("color",))
    brightness = (y - x).mean((1, 2, 3))
    grey, grey_before = y.mean(1), x.mean(1)
    contrast = grey.std((1, 2)) / grey_before.std((1, 2))
    saturation = (y - grey[:, None]).std((1, 2, 3)) / (x - grey_before[:, None]).std((1, 2, 3)) / contrast
    for values, low, high in ((brightness, -0.5, 0.5), (contrast, 0.5, 1.5), (saturation, 0.0, 2.0)):
        assert low - 1e-4 < float(values.min()) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < float(values.max()) < high + 1e-4
        assert torch.histc(values, 4, low, high).min() > 2000 / 4 * 0.85


def test_translation_is_that_of_plain_loops() -> None:
    x = noise(6, 7, 5)
    down, right = torch.tensor([0, 1, -2, 3, 0, -7]), torch.tensor([0, -1, 2, 0, -5, 4])
    y = translate(x, down, right)
    for n, row, column in itertools.product(range(6), range(7), range(5)):
        source = (row - int(down[n]), column - int(right[n]))
        inside = 0 <= source[0] < 7 and 0 <= source[1] < 5
        expected = x[n, :, source[0], source[1]] if inside else torch.zeros(3)
        assert torch.equal(y[n, :, row, column], expected)


def test_translation_reaches_an_eighth_of_each_side() -> None:
    place = torch.arange(1.0, 16 * 24 + 1).view(16, 24).expand(600, 3, -1, -1)
    y = diffaugment(place, seeded(), ("translation",))
    moved = place[0, 0, 8, 12] - y[:, 0, 8, 12]  # 24 times down plus right
    down = torch.round(moved / 24)
    assert set(down.tolist()) == set(range(-2, 3))
    assert set((moved - 24 * down).tolist()) == set(range(-3, 4))


@pytest.mark.parametrize("size", [(16, 8), (7, 9)])
def test_cutout_is_that_of_plain_loops(size: tuple[int, int]) -> None:
    height, width = size
    tall, wide = round(height / 2 + 0.1), round(width / 2 + 0.1)
    top, left = torch.tensor([0, -2, 3, height - 1]), torch.tensor([1, 0, -3, 2])
    y = cutout(torch.ones(4, 3, height, width), top, left)
    for n, row, column in itertools.product(range(4), range(height), range(width)):
        gone = 0 <= row - int(top[n]) < tall and 0 <= column - int(left[n]) < wide
        assert y[n, :, row, column].tolist() == [0.0 if gone else 1.0] * 3


def test_cutout_is_centred_anywhere_on_the_picture() -> None:
    gone = diffaugment(torch.ones(3000, 3, 16, 8), seeded(), ("cutout",))[:, 0] == 0
    assert float(gone.double().mean()) == pytest.approx((7 / 16) ** 2, abs=0.015)
    assert int(gone.sum((1, 2)).max()) == 8 * 4
    assert int(gone.sum((1, 2)).min()) == 4 * 2  # centred on a corner
    for share in (gone.double().mean((0, 1)), gone.double().mean((0, 2))):
        assert torch.allclose(share, share.flip(0), atol=0.05)


@pytest.mark.parametrize("size", [(33, 17), (16, 16), (2, 3)])
def test_any_rectangle_in_any_precision(size: tuple[int, int]) -> None:
    x = noise(4, *size)
    y = diffaugment(x.to(torch.bfloat16), seeded())
    assert y.shape == x.shape
    assert torch.equal(y, diffaugment(x.to(torch.bfloat16).float(), seeded()).to(torch.bfloat16))


def test_differentiates_twice() -> None:
    x = noise(3, 6, 5, torch.float64).requires_grad_()

    def squared(pictures: Tensor) -> Tensor:
        return diffaugment(pictures, seeded(5)).square()

    assert torch.autograd.gradcheck(squared, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(squared, (x,), fast_mode=True)
