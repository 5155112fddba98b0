"""Augmentation in front of the discriminator, with a probability that adapts to how much it over-fits.

Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data" (ADA), appendix B. Of its transforms
those are here that leave a person upright: rotations by 90 degrees and free rotations are left out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TRANSLATE = 0.125  # share of height and width, at most
SCALE = 0.2  # standard deviation of the base-2 logarithm, of size and of aspect
BRIGHTNESS = 0.2  # standard deviation
CONTRAST = 0.5  # standard deviation of the base-2 logarithm
SATURATION = 1.0  # standard deviation of the base-2 logarithm


def augment(x: Tensor, p: float, rng: torch.Generator) -> Tensor:
    """Transform each picture of `x` [N, 3, H, W] in about -1 to 1; each kind of transform with probability `p`."""
    if p <= 0:
        return x
    draw = _Draws(len(x), p, rng)
    geometry = _geometry(draw).to(x.device, x.dtype)
    colour = _colour(draw).to(x.device, x.dtype)
    grid = F.affine_grid(geometry, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return torch.einsum("nij,njhw->nihw", colour[:, :3, :3], x) + colour[:, :3, 3, None, None]


class _Draws:
    """Random numbers for `n` pictures, each replaced by the neutral one with probability 1 - p."""

    def __init__(self, n: int, p: float, rng: torch.Generator) -> None:
        self.n, self.p, self.rng = n, p, rng

    def _gate(self, value: Tensor, neutral: float) -> Tensor:
        on = torch.rand(self.n, generator=self.rng) < self.p
        return torch.where(on, value, torch.tensor(neutral))

    def uniform(self, limit: float) -> Tensor:
        return self._gate((torch.rand(self.n, generator=self.rng) * 2 - 1) * limit, 0.0)

    def normal(self, deviation: float) -> Tensor:
        return self._gate(torch.randn(self.n, generator=self.rng) * deviation, 0.0)

    def power(self, deviation: float) -> Tensor:
        return torch.exp2(self.normal(deviation))


def _geometry(draw: _Draws) -> Tensor:
    """Return affine maps [N, 2, 3] from places in the result to places in the picture."""
    scale, aspect = draw.power(SCALE), draw.power(SCALE)
    zero = torch.zeros(draw.n)
    x = torch.stack([scale * aspect, zero, 2 * draw.uniform(TRANSLATE)], dim=1)
    y = torch.stack([zero, scale / aspect, 2 * draw.uniform(TRANSLATE)], dim=1)
    return torch.stack([x, y], dim=1)


def _colour(draw: _Draws) -> Tensor:
    """Return colour maps [N, 4, 4] on (R, G, B, 1): brightness, contrast, hue, saturation, in this order."""
    n = draw.n
    eye = torch.eye(4).repeat(n, 1, 1)
    brightness = eye.clone()
    brightness[:, :3, 3] = draw.normal(BRIGHTNESS)[:, None]
    contrast = eye.clone()
    contrast[:, :3, :3] *= draw.power(CONTRAST)[:, None, None]
    grey = torch.full((4, 4), 1 / 3)
    grey[3, :] = grey[:, 3] = 0
    cross = torch.zeros(4, 4)  # the cross product with the grey axis
    cross[0, 1], cross[0, 2], cross[1, 0], cross[1, 2], cross[2, 0], cross[2, 1] = -1, 1, 1, -1, -1, 1
    angle = draw.uniform(math.pi)[:, None, None]
    keep = torch.eye(4)
    keep[3, 3] = 0
    hue = keep * angle.cos() + cross / math.sqrt(3) * angle.sin() + grey * (1 - angle.cos())
    hue[:, 3, 3] = 1
    factor = draw.power(SATURATION)[:, None, None]
    saturation = grey + (keep - grey) * factor
    saturation[:, 3, 3] = 1
    return saturation @ hue @ contrast @ brightness


def adapt(p: float, sign: float, target: float, shown: int, ada_kimg: float) -> float:
    """Return the next augmentation probability.

    `sign` is the mean sign of the discriminator's logits on real pictures (the paper's r_t) since the last change,
    `shown` the number of pictures since then; `p` moves by as much as takes it from 0 to 1 in `ada_kimg`.
    """
    step = shown / (ada_kimg * 1000)
    return min(max(p + math.copysign(step, sign - target), 0.0), 1.0)
