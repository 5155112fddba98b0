"""The layers that StyleGAN2's networks are made of, for pictures of any height and width.

Equalised learning rate: Karras et al. 2018 (progressive growing), section 4.1. Modulated convolution: Karras et al.
2020 (StyleGAN2), equations 1 to 3.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAK = 0.2
GAIN = math.sqrt(2.0)  # keeps a unit variance through the leaky rectifier


def activate(x: Tensor) -> Tensor:
    """Leaky rectifier, slope 0.2, with the gain that keeps the variance."""
    return F.leaky_relu(x, LEAK) * GAIN


def unit(x: Tensor) -> Tensor:
    """Scale each row of `x` [N, D] to a mean square of 1."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class EqualLinear(nn.Module):
    """A fully connected layer whose weights are normal and scaled when used (equalised learning rate)."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr_multiplier))
        self.lr_multiplier = lr_multiplier
        self.scale = lr_multiplier / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_multiplier)


class EqualConv(nn.Module):
    """A convolution with equalised learning rate; `down` low-passes and halves height and width.

    A 1x1 convolution halves by the mean of 2x2 pixels: a strided depthwise filter is 15 times as slow on a CPU.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, down: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.kernel, self.down = kernel, down

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if not self.down:
            return F.conv2d(x, weight, self.bias, padding=self.kernel // 2)
        if self.kernel == 1:
            return F.conv2d(F.avg_pool2d(x, 2), weight, self.bias)
        return F.conv2d(blur(x, pad=2), weight, self.bias, stride=2)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style, and its output channels back to unit variance.

    Computed as scale, one shared convolution, scale, which equals the paper's scaled weights and needs no grouped
    convolution. `up` doubles height and width.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, w_dim: int, up: bool = False, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.style = EqualLinear(w_dim, inputs, bias=1.0)
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.kernel, self.up, self.demodulate = kernel, up, demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Return [N, outputs, H, W] (twice that if `up`) for `x` [N, inputs, H, W] and styles `w` [N, w_dim]."""
        style = self.style(w).float()
        weight = self.weight * self.scale
        x = x * style[:, :, None, None].to(x.dtype)
        if self.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = blur(x, pad=1, gain=4.0)
        else:
            x = F.conv2d(x, weight, padding=self.kernel // 2)
        if self.demodulate:
            power = weight.float().square().sum((2, 3))  # [outputs, inputs]
            x = x * torch.rsqrt(style.square() @ power.t() + 1e-8)[:, :, None, None].to(x.dtype)
        return x


@cache
def _binomial(channels: int, device: torch.device, dtype: torch.dtype, gain: float) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps)
    kernel = kernel / kernel.sum() * gain
    return kernel.to(device, dtype).expand(channels, 1, 4, 4).contiguous()


def blur(x: Tensor, pad: int, gain: float = 1.0) -> Tensor:
    """Low-pass `x` [N, C, H, W] with the separable binomial filter [1, 3, 3, 1], zeros around it: `pad` 0 to 3."""
    y: Tensor = _Blur.apply(x, pad, gain)
    return y


class _Blur(torch.autograd.Function):
    """The gradient of a symmetric filter is the same filter, so a derivative of any order is one grouped convolution.

    PyTorch's own second derivative of a grouped convolution takes its channels one by one, of which R1 and path lengths
    would need thousands.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, pad: int, gain: float) -> Tensor:  # type: ignore[override]
        ctx.backwards = (3 - pad, gain)  # type: ignore[attr-defined]
        return F.conv2d(x, _binomial(x.shape[1], x.device, x.dtype, gain), padding=pad, groups=x.shape[1])

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, slope: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _Blur.apply(slope, *ctx.backwards), None, None  # type: ignore[attr-defined]


def upsample_repeating(x: Tensor) -> Tensor:
    """Double height and width of `x` [N, C, H, W] with the filter [1, 3, 3, 1]; beyond the edges they go on.

    That filter is bilinear interpolation.
    """
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def upsample_zero(x: Tensor) -> Tensor:
    """Double height and width of `x` [N, C, H, W] with the filter [1, 3, 3, 1]; beyond the edges lies nothing."""
    return upsample_repeating(F.pad(x, (1, 1, 1, 1)))[:, :, 2:-2, 2:-2]
