"""StyleGAN2's generator for pictures of any height and width.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 4.1 and figure 7.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from synreid.generate.generator import Generator
from synreid.generate.layers import ModulatedConv, activate, upsample_repeating, upsample_zero
from synreid.generate.options import GanOptions
from synreid.stage.errors import UserError

LARGEST_BASE = 64  # pixels of the coarsest layer, which a constant fills


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
    return max(4, min(options.cmax, options.cbase // height))


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


class StyleGAN2(Generator):
    """StyleGAN2's generator, the one with skip connections; `noise_constant` is what its noise is if none is given."""

    noise_constant: Tensor

    def __init__(self, options: GanOptions, classes: Sequence[str] = ()) -> None:
        super().__init__(options, classes)
        self.sizes = resolutions(options.height, options.width)
        channels = [channels_at(options, h) for h, _ in self.sizes]
        self.constant = nn.Parameter(torch.randn(1, channels[0], *self.sizes[0]))
        self.blocks = nn.ModuleList(
            SynthesisBlock(channels[max(i - 1, 0)], channels[i], options.w_dim, options.noise, first=i == 0)
            for i in range(len(channels))
        )
        self.num_ws = 2 * len(self.sizes)
        self.layer_sizes = [size for i, size in enumerate(self.sizes) for _ in range(1 if i == 0 else 2)]
        self.upsample = upsample_zero if options.edges == "zero" else upsample_repeating
        self.noise = options.noise
        if self.noise:
            self.register_buffer("noise_constant", torch.randn(self.noise_length))

    @property
    def noise_length(self) -> int:
        return sum(h * w for h, w in self.layer_sizes) if self.noise else 0

    def synthesize(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
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
            rgb = part if rgb is None else self.upsample(rgb) + part
        assert rgb is not None
        return rgb

    def _split(self, noise: Tensor | None) -> Sequence[Tensor | None]:
        """Return each layer's noise, [N, 1, H, W]."""
        if not self.noise:
            return [None] * len(self.layer_sizes)
        noise = self.noise_constant[None] if noise is None else noise
        parts = noise.split([h * w for h, w in self.layer_sizes], dim=1)
        return [part.reshape(-1, 1, h, w) for part, (h, w) in zip(parts, self.layer_sizes, strict=True)]
