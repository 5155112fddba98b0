"""StyleGAN3, configurations T and R, for pictures of any height and width, without a compiler.

Karras et al. 2021, "Alias-Free Generative Adversarial Networks", sections 3 and 4 and appendix F. Frequencies are in
cycles per picture height, so that pixels are square whatever the width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synreid.generate.banded import Taps, Way
from synreid.generate.filtered_lrelu import Resampling, filtered_lrelu
from synreid.generate.generator import Generator
from synreid.generate.layers import GAIN, EqualLinear
from synreid.generate.options import GanOptions
from synreid.generate.resample import LowPass, down_matrix, separable_parts, up_matrix

LAYERS = 14
CRITICAL = 2  # layers at the end that are critically sampled
FIRST_CUTOFF = 2.0
FIRST_STOPBAND = 2.0**2.1
STOPBAND_GROWTH = 2.0**0.3  # of the last layer's stopband over its cutoff
MARGIN = 10  # pixels around the picture, so that its edges do not reach into it
OVERSAMPLING = 2  # of the non-linearity
FILTER_SIZE = 6  # taps for each step of up- or down-sampling
MAGNITUDE_KIMG = 20.0  # half-life of the moving average of input magnitudes
OUTPUT_SCALE = 0.25
CLAMP = 256.0


@dataclass(frozen=True)
class Band:
    """The signal between two layers: what it may hold and how it is sampled."""

    cutoff: float
    stopband: float
    rate: float
    height: int
    width: int
    channels: int

    @property
    def half_width(self) -> float:
        """Half of the transition band of a filter for this signal."""
        return max(self.stopband, self.rate / 2) - self.cutoff


def bands(options: GanOptions, radial: bool) -> list[Band]:
    """Return the signal after each layer, the coarsest first; the first is also the input's.

    Cutoff and stopband grow geometrically up to the critically sampled layers; the sampling rate is the picture's
    height over a power of two. R has twice the channels, since its 1x1 kernels have a ninth of the weights.
    """
    height, width = options.height, options.width
    wide = 2 if radial else 1
    found = []
    for i in range(LAYERS):
        along = min(i / (LAYERS - CRITICAL), 1.0)
        cutoff = FIRST_CUTOFF * (height / 2 / FIRST_CUTOFF) ** along
        stopband = FIRST_STOPBAND * (height / 2 * STOPBAND_GROWTH / FIRST_STOPBAND) ** along
        rate = height * 2.0 ** math.ceil(math.log2(min(2 * stopband, height) / height) - 1e-9)
        margin = MARGIN if i < LAYERS - 1 else 0
        sides = [math.ceil(side * rate / height) + 2 * margin for side in (height, width)]
        channels = round(wide * max(4, min(options.cmax, options.cbase / 2 / cutoff)))
        found.append(Band(cutoff, stopband, rate, sides[0], sides[1], channels))
    return found


class FourierInput(nn.Module):
    """A translated and rotated map of sine waves; the style moves it."""

    frequencies: Tensor
    phases: Tensor
    places: Tensor

    def __init__(self, band: Band, w_dim: int) -> None:
        super().__init__()
        radius = band.cutoff * torch.rand(band.channels).sqrt()  # uniform on the disc of what the band may hold
        angle = 2 * math.pi * torch.rand(band.channels)
        self.register_buffer("frequencies", torch.stack([radius * angle.cos(), radius * angle.sin()], 1))
        self.register_buffer("phases", torch.rand(band.channels))
        rows, columns = ((torch.arange(n) - (n - 1) / 2) / band.rate for n in (band.height, band.width))
        self.register_buffer("places", torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1), persistent=False)
        self.weight = nn.Parameter(torch.randn(band.channels, band.channels))
        self.affine = EqualLinear(w_dim, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def forward(self, w: Tensor, transform: Tensor | None = None) -> Tensor:
        """Return [N, C, h, w] for styles `w` [N, w_dim]; `transform` [2, 3] moves the picture's places beforehand.

        In float32 even where the rest is not: half a pixel is lost in the rounding of bfloat16's places.
        """
        with torch.autocast(w.device.type, enabled=False):
            return self._waves(w.float(), transform)

    def _waves(self, w: Tensor, transform: Tensor | None) -> Tensor:
        moved = self.affine(w)
        moved = moved / moved[:, :2].norm(dim=1, keepdim=True)
        c, s = moved[:, 0], moved[:, 1]
        rotation = torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)  # [N, 2, 2]
        places = self.places
        if transform is not None:
            places = places @ transform[:, :2].T + transform[:, 2]
        places = places[None] - moved[:, None, None, 2:]
        frequencies = torch.einsum("cd,nde->nce", self.frequencies, rotation)
        waves = torch.einsum("nhwd,ncd->nhwc", places, frequencies) + self.phases
        x = torch.sin(2 * math.pi * waves) @ (self.weight / math.sqrt(self.weight.shape[1])).T
        return x.permute(0, 3, 1, 2)


class AliasFreeLayer(nn.Module):
    """A modulated convolution, then a leaky rectifier at a higher sampling rate between two low-pass filters."""

    magnitude: Tensor
    up_rows: Tensor
    up_columns: Tensor
    down_rows: Tensor
    down_columns: Tensor

    def __init__(self, before: Band, after: Band, w_dim: int, kernel: int, radial: bool, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.weight = nn.Parameter(torch.randn(after.channels, before.channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after.channels))
        self.affine = EqualLinear(w_dim, before.channels, bias=1.0)
        self.register_buffer("magnitude", torch.ones(()))
        self.kernel = kernel
        rate = OVERSAMPLING * max(before.rate, after.rate)
        up, down = round(rate / before.rate), round(rate / after.rate)
        rise = LowPass(FILTER_SIZE * up, before.cutoff, before.half_width, rate).separable()
        fall = LowPass(FILTER_SIZE * down, after.cutoff, after.half_width, rate)
        critical = 2 * after.cutoff > after.rate - 1e-9  # no room for a transition: radial filters would cut corners
        parts = separable_parts(fall.radial()) if radial and not critical else [(fall.separable(), fall.separable())]
        sides = zip((before.height, before.width), (after.height, after.width), strict=True)
        rises, falls = [], []
        for axis, (inputs, outputs) in enumerate(sides):
            inner = (outputs - 1) * down + fall.taps
            rises.append(up_matrix(rise, up, inputs + kernel - 1, inner)[None])
            falls.append(np.stack([down_matrix(part[axis], down, inner, outputs) for part in parts]))
        falls[0] = falls[0] * GAIN
        self.forwards = Way(*map(Taps.of, (*rises, *falls)))
        self.backwards = Way(*(Taps.of(one.transpose(0, 2, 1)) for one in (*falls, *rises)))
        for name, matrices in (("up", rises), ("down", falls)):
            for side, matrix in zip(("rows", "columns"), matrices, strict=True):
                self.register_buffer(f"{name}_{side}", torch.from_numpy(matrix).float(), persistent=False)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Return the signal after the layer for `x`, the one before, and styles `w` [N, w_dim]."""
        _track(self.magnitude, x, self.decay if self.training else None)
        x = modulated(x, self.weight, self.bias, self.affine(w).float(), torch.rsqrt(self.magnitude))
        up = Resampling(self.up_rows, self.up_columns)
        return filtered_lrelu(x, up, Resampling(self.down_rows, self.down_columns), self.forwards, self.backwards)


@torch.no_grad()
def _track(magnitude: Tensor, x: Tensor, decay: float | None) -> None:
    """Let the running mean square of a layer's inputs follow `x`; None leaves it."""
    if decay is not None:
        magnitude.copy_(x.float().square().mean().lerp(magnitude, decay))


def modulated(x: Tensor, weight: Tensor, bias: Tensor, style: Tensor, gain: Tensor) -> Tensor:
    """Return the full convolution of `gain` times `x` [N, I, H, W] with `weight` [O, I, k, k], plus `bias` [O].

    The weights are scaled by `style` [N, I] and demodulated, as in StyleGAN2's equations 1 to 3. Weights and styles are
    brought to unit size first, so that half precision holds: each picture's styles by themselves, so that a picture
    does not depend on those beside it.
    """
    weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
    style = style * style.square().mean(1, keepdim=True).rsqrt()
    power = weight.float().square().sum((2, 3))  # [O, I]
    scale = torch.rsqrt(style.square() @ power.t() + 1e-8)[:, :, None, None]
    y = F.conv2d(x * (style * gain)[:, :, None, None].to(x.dtype), weight, padding=weight.shape[2] - 1)
    return torch.addcmul(bias[:, None, None].to(y.dtype), y, scale.to(y.dtype))


class ToRgb3(nn.Module):
    """A modulated 1x1 convolution to three channels, without demodulation."""

    magnitude: Tensor

    def __init__(self, channels: int, w_dim: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.affine = EqualLinear(w_dim, channels, bias=1.0)
        self.register_buffer("magnitude", torch.ones(()))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Return pictures [N, 3, H, W]."""
        _track(self.magnitude, x, self.decay if self.training else None)
        style = self.affine(w).float() / math.sqrt(x.shape[1]) * torch.rsqrt(self.magnitude)
        rgb = F.conv2d(x * style[:, :, None, None].to(x.dtype), self.weight).float()
        return (rgb + self.bias[:, None, None]).clamp(-CLAMP, CLAMP) * OUTPUT_SCALE


class StyleGAN3(Generator):
    """StyleGAN3's generator, configuration T (3x3 kernels) or R (1x1, radial filters, twice the channels).

    Styles are the input's, fourteen layers', and the last for the colours. There is no noise.
    """

    num_ws = LAYERS + 2

    def __init__(self, options: GanOptions, classes: Sequence[str] = ()) -> None:
        super().__init__(options, classes)
        radial = options.cfg == "stylegan3-r"
        after = bands(options, radial)
        before = [after[0], *after[:-1]]
        kernel = 1 if radial else 3
        decay = 0.5 ** (options.batch / (MAGNITUDE_KIMG * 1000))  # of a step, in however many rounds
        self.input = FourierInput(after[0], options.w_dim)
        self.layers = nn.ModuleList(
            AliasFreeLayer(a, b, options.w_dim, kernel, radial, decay) for a, b in zip(before, after, strict=True)
        )
        self.to_rgb = ToRgb3(after[-1].channels, options.w_dim, decay)

    def synthesize(self, w: Tensor, noise: Tensor | None = None, transform: Tensor | None = None) -> Tensor:
        """Return pictures [N, 3, H, W], about -1 to 1, for styles `w` [N, num_ws, w_dim].

        `transform` [2, 3] maps places (x, y; 1 is the picture's height) before the waves are taken there.
        """
        del noise
        x = self.input(w[:, 0], transform)
        for number, layer in enumerate(self.layers):
            x = layer(x, w[:, number + 1])
        rgb: Tensor = self.to_rgb(x, w[:, -1])
        return rgb
