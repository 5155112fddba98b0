from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from synreid.generate.discriminator import Discriminator, append_deviation
from synreid.generate.layers import EqualConv, ModulatedConv, blur, upsample_repeating, upsample_zero
from synreid.generate.options import GanOptions
from synreid.generate.stylegan2 import StyleGAN2, resolutions
from synreid.stage.errors import UserError


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_conv_equals_scaled_weights_of_the_paper(demodulate: bool) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(5, 7, 3, w_dim=4, demodulate=demodulate)
    x, w = torch.randn(3, 5, 8, 6), torch.randn(3, 4)
    style = layer.style(w)
    for n in range(3):  # equations 1 to 3 of the StyleGAN2 paper, picture by picture
        weight = layer.weight * layer.scale * style[n][None, :, None, None]
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected = F.conv2d(x[n : n + 1], weight, padding=1)
        torch.testing.assert_close(layer(x, w)[n : n + 1], expected, rtol=1e-4, atol=1e-5)


def test_up_sampling_conv_equals_zero_insertion_and_filter() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(3, 4, 3, w_dim=4, up=True, demodulate=False)
    x, w = torch.randn(2, 3, 6, 5), torch.randn(2, 4)
    scaled = x * layer.style(w)[:, :, None, None]
    spread = torch.zeros(2, 3, 12, 10)
    spread[:, :, ::2, ::2] = scaled
    kernel = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 16
    full = F.conv2d(F.pad(spread, (2, 2, 2, 2)), layer.weight.flip(2, 3) * layer.scale)
    expected = F.conv2d(F.pad(full, (1, 1, 1, 1)), kernel.expand(4, 1, 4, 4), groups=4)
    made = layer(x, w)
    assert made.shape == (2, 4, 12, 10)
    inner = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    candidates = [expected[:, :, dy : dy + 12, dx : dx + 10] for dy in range(2) for dx in range(2)]
    assert min(float((made[inner] - c[inner]).detach().abs().max()) for c in candidates if c.shape == made.shape) < 1e-4


def test_blur_keeps_the_mean_and_upsample_a_constant() -> None:
    x = torch.ones(1, 2, 8, 8)
    torch.testing.assert_close(blur(x, pad=2)[:, :, 3:-3, 3:-3], torch.ones(1, 2, 3, 3))
    torch.testing.assert_close(upsample_repeating(x), torch.ones(1, 2, 16, 16))


@pytest.mark.parametrize("pad", [0, 1, 2, 3])
def test_blur_is_the_grouped_convolution_and_so_are_its_derivatives(pad: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
    kernel = 2 * torch.outer(taps, taps).expand(3, 1, 4, 4) / 64
    torch.testing.assert_close(blur(x, pad, gain=2.0), F.conv2d(x, kernel, padding=pad, groups=3))
    assert torch.autograd.gradcheck(lambda x: blur(x, pad, gain=2.0), x)
    assert torch.autograd.gradgradcheck(lambda x: blur(x, pad, gain=2.0).square(), x)


def test_a_penaltys_second_derivative_takes_no_more_convolutions_with_more_channels() -> None:
    def convolutions(channels: int) -> int:
        layer = EqualConv(channels, channels, 3, down=True)
        x = torch.randn(1, channels, 8, 8, requires_grad=True)
        with Counting() as counting:
            (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
            slope.square().sum().backward()
        return counting.convolutions

    assert convolutions(12) == convolutions(4) > 0


class Counting(TorchDispatchMode):
    """Counts convolutions, forwards and backwards."""

    convolutions = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.convolutions += "convolution" in str(function)
        return function(*args, **(kwargs or {}))


def test_both_upsamplings_are_zeros_and_the_filter_and_differ_at_the_edges_only() -> None:
    x = torch.randn(1, 1, 5, 3, dtype=torch.float64)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    expected = torch.zeros(10, 6, dtype=torch.float64)
    for r in range(10):
        for c in range(6):
            for i in range(5):
                for j in range(3):
                    a, b = r - 2 * i + 1, c - 2 * j + 1  # both grids lie around one centre
                    if 0 <= a < 4 and 0 <= b < 4:
                        expected[r, c] += 4 * taps[a] * taps[b] * x[0, 0, i, j]
    torch.testing.assert_close(upsample_zero(x)[0, 0], expected)
    torch.testing.assert_close(upsample_repeating(x)[:, :, 1:-1, 1:-1], upsample_zero(x)[:, :, 1:-1, 1:-1])
    assert not torch.allclose(upsample_repeating(x)[:, :, 0], upsample_zero(x)[:, :, 0])


def test_equalised_layer_starts_with_unit_variance() -> None:
    torch.manual_seed(0)
    layer = EqualConv(64, 64, 3, bias=False)
    assert float(layer(torch.randn(8, 64, 16, 16)).detach().std()) == pytest.approx(1.0, abs=0.1)


def test_deviation_channel_by_plain_loops() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 3, 4, 2)
    made = append_deviation(x)[:, -1]
    for group in range(2):  # pictures group, group + 2, ... form a group of four
        members = x[[group, group + 2, group + 4, group + 6]]
        expected = (members.var(0, correction=0) + 1e-8).sqrt().mean()
        assert float(made[group + 2].mean()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("height", "width"), [(64, 32), (128, 48), (128, 64), (32, 16), (48, 80)])
def test_any_rectangle(height: int, width: int) -> None:
    options = GanOptions(height=height, width=width, cmax=8, w_dim=8)
    generator, discriminator = StyleGAN2(options), Discriminator(options)
    w = generator.styles(torch.randn(4, 8))
    assert w.shape == (4, generator.num_ws, 8)
    pictures = generator.synthesize(w, torch.randn(4, generator.noise_length))
    assert pictures.shape == (4, 3, height, width)
    assert discriminator(pictures).shape == (4,)


def test_size_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(UserError, match="101"):
        resolutions(101, 50)


def test_truncation_moves_to_the_mean() -> None:
    generator = StyleGAN2(GanOptions(height=16, width=8, cmax=8, w_dim=8))
    generator.mapping.mean.fill_(3.0)
    z = torch.randn(2, 8)
    whole, half, none = (generator.styles(z, psi) for psi in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half, (whole + 3.0) / 2)
    torch.testing.assert_close(none, torch.full_like(none, 3.0))


def test_r1_differentiates_twice() -> None:
    discriminator = Discriminator(GanOptions(height=16, width=8, cmax=8))
    x = torch.randn(4, 3, 16, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    slope.square().sum().backward()
    gradient = discriminator.blocks[0].conv.weight.grad
    assert gradient is not None
    assert math.isfinite(float(gradient.abs().sum()))
    assert float(gradient.abs().sum()) > 0
