"""StyleGAN2 for pictures of any height and width: skip generator, residual discriminator with input skips.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 4.1 and figure 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synreid.generate.layers import EqualConv, EqualLinear, ModulatedConv, activate, upsample
from synreid.generate.options import GanOptions
from synreid.stage.errors import UserError

LARGEST_BASE = 64  # pixels of the coarsest layer, which a constant fills
STD_GROUP = 4  # pictures over which the discriminator sees a standard deviation


def resolutions(height: int, width: int) -> list[tuple[int, int]]:
    """Return the sizes HxW from the coarsest layer to the picture, each twice the one before.

    Halves as long as both sides are even and the coarser one is not below 4x2 or 2x4 pixels.
    Raises UserError for a size that cannot be halved far enough.
    """
    sizes = [(height, width)]
    while True:
        h, w = sizes[0]
        if h % 2 or w % 2 or min(h, w) <= 2 or max(h, w) <= 4:
            break
        sizes.insert(0, (h // 2, w // 2))
    h, w = sizes[0]
    if h * w > LARGEST_BASE or len(sizes) < 2:
        raise UserError(
            f"height {height} and width {width} end at {h}x{w} when halved, more than {LARGEST_BASE} pixels;"
            " take sizes such as 64x32, 128x48 or 128x64."
        )
    return sizes


def channels_at(options: GanOptions, height: int) -> int:
    """Return the channels of a layer of that height."""
    return max(4, min(options.channels, 2 * options.channels_base // height))


class Mapping(nn.Module):
    """From z [N, w_dim] to one style [N, w_dim]; remembers the mean style for truncation."""

    mean: Tensor

    def __init__(self, w_dim: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EqualLinear(w_dim, w_dim, lr_multiplier=0.01) for _ in range(layers))
        self.register_buffer("mean", torch.zeros(w_dim))

    def forward(self, z: Tensor) -> Tensor:
        x = z.float() * torch.rsqrt(z.float().square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            x = activate(layer(x))
        return x


class SynthesisLayer(nn.Module):
    """A modulated 3x3 convolution, noise if asked, bias and activation."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, noise: bool, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, w_dim, up=up)
        self.noise_strength = nn.Parameter(torch.zeros(())) if noise else None
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """`noise` is normal, [N, 1, H, W] at the layer's own size, or None for a layer without."""
        x = self.conv(x, w)
        if self.noise_strength is not None and noise is not None:
            x = x + (noise * self.noise_strength).to(x.dtype)
        return activate(x + self.bias[:, None, None].to(x.dtype))


class ToRgb(nn.Module):
    """A modulated 1x1 convolution to three channels, without demodulation."""

    def __init__(self, inputs: int, w_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, 3, 1, w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.conv(x, w).float() + self.bias[:, None, None]


class SynthesisBlock(nn.Module):
    """One size: up-sampling layer (but for the coarsest), layer, and its part of the picture."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, noise: bool, first: bool) -> None:
        super().__init__()
        self.up = None if first else SynthesisLayer(inputs, outputs, w_dim, noise, up=True)
        self.layer = SynthesisLayer(outputs, outputs, w_dim, noise)
        self.to_rgb = ToRgb(outputs, w_dim)

    @property
    def num_ws(self) -> int:
        """Styles that this block takes for itself; its `to_rgb` shares the next block's first one."""
        return 1 if self.up is None else 2


class Generator(nn.Module):
    """From styles to pictures.

    `height`, `width` in pixels; `num_ws` styles of size `w_dim` for each picture, the coarsest first.
    """

    def __init__(self, options: GanOptions) -> None:
        super().__init__()
        self.height, self.width, self.w_dim = options.height, options.width, options.w_dim
        self.sizes = resolutions(options.height, options.width)
        self.mapping = Mapping(options.w_dim, options.mapping_layers)
        channels = [channels_at(options, h) for h, _ in self.sizes]
        self.constant = nn.Parameter(torch.randn(1, channels[0], *self.sizes[0]))
        self.blocks = nn.ModuleList(
            SynthesisBlock(channels[max(i - 1, 0)], channels[i], options.w_dim, options.noise, first=i == 0)
            for i in range(len(channels))
        )
        self.num_ws = 2 * len(self.sizes)
        self.layer_sizes = [size for i, size in enumerate(self.sizes) for _ in range(1 if i == 0 else 2)]
        self.noise = options.noise

    def synthesize(self, w: Tensor, noise: Tensor) -> Tensor:
        """Return pictures [N, 3, H, W], about -1 to 1, for styles `w` [N, num_ws, w_dim], `noise` [N, noise_length]."""
        noises = self._split(noise)
        x = self.constant.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        rgb: Tensor | None = None
        place = 0  # of the next style
        layer = 0  # of the next noise
        for block in self.blocks:
            assert isinstance(block, SynthesisBlock)
            if block.up is not None:
                x = block.up(x, w[:, place], noises[layer])
                place, layer = place + 1, layer + 1
            x = block.layer(x, w[:, place], noises[layer])
            place, layer = place + 1, layer + 1
            part = block.to_rgb(x, w[:, place])
            rgb = part if rgb is None else upsample(rgb) + part
        assert rgb is not None
        return rgb

    @property
    def noise_length(self) -> int:
        """Normal numbers that one picture's noise takes; 0 for a generator without noise."""
        return sum(h * w for h, w in self.layer_sizes) if self.noise else 0

    def _split(self, noise: Tensor) -> Sequence[Tensor | None]:
        if not self.noise:
            return [None] * len(self.layer_sizes)
        parts = noise.split([h * w for h, w in self.layer_sizes], dim=1)
        return [part.reshape(-1, 1, h, w) for part, (h, w) in zip(parts, self.layer_sizes, strict=True)]

    def styles(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """Return styles [N, num_ws, w_dim] for `z` [N, w_dim], the same one for every layer."""
        w = self.mapping(z)
        if truncation != 1.0:
            w = self.mapping.mean.lerp(w, truncation)
        return w[:, None].expand(-1, self.num_ws, -1)


class DiscriminatorBlock(nn.Module):
    """A residual block that halves height and width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = EqualConv(inputs, inputs, 3)
        self.down = EqualConv(inputs, outputs, 3, down=True)
        self.skip = EqualConv(inputs, outputs, 1, down=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = activate(self.down(activate(self.conv(x))))
        return (self.skip(x) + y) / math.sqrt(2.0)


class Discriminator(nn.Module):
    """From pictures [N, 3, H, W] in about -1 to 1 to logits [N]: above zero means real.

    Residual blocks, and at each size the halved picture comes in anew. Figure 7 of the paper shows the two as
    alternatives; with both, a discriminator that grows by a finer block, whose part starts at nothing, begins as the
    one that it grew from.
    """

    def __init__(self, options: GanOptions) -> None:
        super().__init__()
        sizes = resolutions(options.height, options.width)[::-1]
        channels = [channels_at(options, h) for h, _ in sizes]
        self.from_rgb = nn.ModuleList(EqualConv(3, c, 1) for c in channels)
        self.blocks = nn.ModuleList(DiscriminatorBlock(a, b) for a, b in pairwise(channels))
        self.conv = EqualConv(channels[-1] + 1, channels[-1], 3)
        self.hidden = EqualLinear(channels[-1] * sizes[-1][0] * sizes[-1][1], channels[-1])
        self.logit = EqualLinear(channels[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        picture = x.contiguous(memory_format=torch.channels_last)
        x = activate(self.from_rgb[0](picture))
        for block, from_rgb in zip(self.blocks, self.from_rgb[1:], strict=True):
            picture = F.avg_pool2d(picture, 2)
            x = block(x) + activate(from_rgb(picture))
        x = activate(self.conv(append_deviation(x)))
        return self.logit(activate(self.hidden(x.flatten(1)))).float().squeeze(1)


def append_deviation(x: Tensor) -> Tensor:
    """Append to `x` [N, C, H, W] a channel with the mean standard deviation over groups of pictures.

    Karras et al. 2018, section 3: it shows the discriminator a generator that makes few looks.
    """
    n, _, h, w = x.shape
    group = math.gcd(n, STD_GROUP)
    grouped = x.float().reshape(group, n // group, -1)
    deviation = (grouped.var(0, correction=0) + 1e-8).sqrt().mean(1)  # [N / group]
    return torch.cat([x, deviation.repeat(group).reshape(n, 1, 1, 1).expand(n, 1, h, w).to(x.dtype)], dim=1)
