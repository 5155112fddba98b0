"""Augmentation in front of the discriminator that is always on: DiffAugment.

Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synreid.stage.errors import UserError

POLICIES = ("color", "translation", "cutout")
"""Names of all policies, in the order in which they are applied."""

TRANSLATION = 1 / 8  # share of height and width, at most
CUTOUT = 1 / 2  # share of height and width


def diffaugment(x: Tensor, rng: torch.Generator, policies: Sequence[str] = POLICIES) -> Tensor:
    """Transform each picture of `x` [N, 3, H, W] in about -1 to 1, by its own random numbers from `rng`, of the CPU.

    `color`: brightness changed by up to 1/2, saturation by a factor of 0 to 2, contrast of 1/2 to 3/2; `translation` by
    up to 1/8 of height and width, 0 moving in; `cutout` of a rectangle of half the height and width, to 0. The result
    has `x`'s device and type, computed in float32 or better. Raises UserError for an unknown policy.
    """
    for policy in policies:
        if policy not in POLICIES:
            raise UserError(f"There is no DiffAugment policy {policy!r}: use any of {', '.join(POLICIES)}.")
    y = x.to(torch.promote_types(x.dtype, torch.float32))
    if "color" in policies:
        brightness, saturation, contrast = torch.rand(3, len(x), generator=rng).to(y)
        y = recolour(y, brightness - 0.5, saturation * 2, contrast + 0.5)
    if "translation" in policies:
        y = translate(y, *(_shifts(len(x), size, rng).to(y.device) for size in x.shape[2:]))
    if "cutout" in policies:
        y = cutout(y, *(_corners(len(x), size, rng).to(y.device) for size in x.shape[2:]))
    return y.to(x.dtype)


def recolour(x: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Add `brightness` [N] to pictures [N, 3, H, W], then scale colours by `saturation` [N] and all by `contrast` [N].

    Saturation moves away from each pixel's mean, contrast from each picture's.
    """
    x = x + brightness[:, None, None, None]
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * saturation[:, None, None, None]
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * contrast[:, None, None, None]


def translate(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move pictures [N, C, H, W] by `down` [N] and `right` [N] whole pixels; 0 moves in."""
    for axis, shift in ((2, down), (3, right)):
        size = x.shape[axis]
        source = torch.arange(size, device=x.device) - shift[:, None]
        outside = (source < 0) | (source >= size)
        shape = [len(x), 1, size, 1] if axis == 2 else [len(x), 1, 1, size]
        x = torch.take_along_dim(x, source.clamp(0, size - 1).view(shape), axis).masked_fill(outside.view(shape), 0.0)
    return x


def cutout(x: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Set a rectangle of half the height and width of pictures [N, C, H, W] to 0.

    Its first pixel is at `top` [N] and `left` [N], which may lie outside; what reaches beyond the picture is cut off.
    """
    inside = []
    for first, size in ((top, x.shape[2]), (left, x.shape[3])):
        place = torch.arange(size, device=x.device) - first[:, None]
        inside.append((place >= 0) & (place < _half(size)))
    return x.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.0)


def _shifts(n: int, size: int, rng: torch.Generator) -> Tensor:
    most = int(size * TRANSLATION + 0.5)
    return torch.randint(-most, most + 1, (n,), generator=rng)


def _corners(n: int, size: int, rng: torch.Generator) -> Tensor:
    """Return first pixels [n] of rectangles whose centres are spread evenly over `size` pixels."""
    half = _half(size)
    return torch.randint(size + 1 - half % 2, (n,), generator=rng) - half // 2


def _half(size: int) -> int:
    return int(size * CUTOUT + 0.5)
