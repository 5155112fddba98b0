"""StyleGAN3's leaky rectifier at a higher sampling rate, between an up-sampling and a down-sampling low-pass filter.

Karras et al. 2021, "Alias-Free Generative Adversarial Networks", section 3.2 and appendix B. On each side of the
rectifier the operation is linear, a banded matrix along each axis (see `resample`), and the rectifier itself is a
choice between two slopes. So its gradient is the same operation backwards, with the choice remembered: one byte a
sample is all that is kept, and every further derivative comes for free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from synreid.generate.layers import LEAK

IN_CACHE = 1 << 17  # numbers of the fine signal that are worked on at a time, on a CPU
LEAST_ROWS = 32


@dataclass(frozen=True)
class Resampling:
    """A sum of separable resamplings: y = sum of rows[i] x columns[i]^T.

    `rows` [P, H', H], `columns` [P, W', W], banded; both in the number format and on the device of what they act on.
    """

    rows: Tensor
    columns: Tensor

    @property
    def transposed(self) -> Resampling:
        """The same backwards."""
        return Resampling(self.rows.transpose(1, 2), self.columns.transpose(1, 2))

    def to(self, like: Tensor) -> Resampling:
        """Return it in the number format and on the device of `like`."""
        return Resampling(self.rows.to(like), self.columns.to(like))


Bands = tuple[tuple[int, int, int, int, int, int], ...]


def bands_of(up: np.ndarray, down: np.ndarray, channels: int, width: int) -> Bands:
    """Return steps over the fine signal's rows: (first, last, of `up`'s columns, of `down`'s rows), last excluded.

    `up` [P, fine, coarse] and `down` [Q, coarse, fine] are banded, so a few fine rows touch only a few coarse ones.
    """
    fine = up.shape[1]
    count = max(LEAST_ROWS, IN_CACHE // max(1, channels * width))
    found = []
    for first in range(0, fine, count):
        last = min(first + count, fine)
        inputs = np.flatnonzero(np.abs(up[:, first:last]).sum((0, 1)))
        outputs = np.flatnonzero(np.abs(down[:, :, first:last]).sum((0, 2)))
        ends = [(int(one[0]), int(one[-1]) + 1) if len(one) else (0, 0) for one in (inputs, outputs)]
        found.append((first, last, *ends[0], *ends[1]))
    return tuple(found)


def filtered_lrelu(x: Tensor, up: Resampling, down: Resampling, forwards: Bands, backwards: Bands) -> Tensor:
    """Return `down` of the leaky rectifier, slope 0.2, of `up` of `x` [N, C, H, W]: [N, C, H', W'].

    `forwards` and `backwards` are `bands_of` the two, and of the transposed two in the other order.
    """
    nhwc = x.permute(0, 2, 3, 1).contiguous()  # what a convolution in channels_last leaves, so nothing is copied
    y: Tensor = _FilteredLrelu.apply(nhwc, None, up.to(x), down.to(x), forwards, backwards)
    return y.permute(0, 3, 1, 2)


class _FilteredLrelu(torch.autograd.Function):
    """On [N, H, W, C]. Where `positive` is given, it makes the choice between the slopes instead of the sign."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: torch.autograd.function.FunctionCtx,
        x: Tensor,
        positive: Tensor | None,
        up: Resampling,
        down: Resampling,
        forwards: Bands,
        backwards: Bands,
    ) -> Tensor:
        y, positive = (_blocked if x.device.type == "cpu" else _whole)(x, positive, up, down, forwards)
        ctx.save_for_backward(positive)
        ctx.way = (up, down, forwards, backwards)  # type: ignore[attr-defined]
        return y

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, slope: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (positive,) = ctx.saved_tensors  # type: ignore[attr-defined]
        up, down, forwards, backwards = ctx.way  # type: ignore[attr-defined]
        x = _FilteredLrelu.apply(slope.contiguous(), positive, down.transposed, up.transposed, backwards, forwards)
        return x, None, None, None, None, None


def _whole(x: Tensor, positive: Tensor | None, up: Resampling, down: Resampling, bands: Bands) -> tuple[Tensor, Tensor]:
    """All pictures at once, by whole matrices: for devices that have many cores and much memory bandwidth."""
    del bands
    n, _, _, c = x.shape
    fine = torch.stack([_rows(rows, columns @ x) for rows, columns in _parts(up)]).sum(0)
    positive = fine > 0 if positive is None else positive
    fine = torch.where(positive, fine, fine * LEAK)
    y = torch.stack([columns @ _rows(rows, fine) for rows, columns in _parts(down)]).sum(0)
    return y.reshape(n, *y.shape[1:3], c), positive


def _blocked(
    x: Tensor, positive: Tensor | None, up: Resampling, down: Resampling, bands: Bands
) -> tuple[Tensor, Tensor]:
    """Picture by picture, and of each a few rows of the fine signal at a time, which stay in a CPU's cache."""
    n, _, _, c = x.shape
    fine_height, fine_width = up.rows.shape[1], up.columns.shape[1]
    given = positive is not None
    if positive is None:
        positive = torch.empty(n, fine_height, fine_width, c, dtype=torch.bool)
    y = x.new_empty(n, down.rows.shape[1], down.columns.shape[1], c)
    coarse = x.new_empty(len(down.rows), down.rows.shape[1], fine_width * c)
    for picture, sign, out in zip(x, positive, y, strict=True):
        wide = [(columns @ picture).flatten(1) for columns in up.columns]
        coarse.zero_()
        for first, last, a, b, p, q in bands:
            fine = up.rows[0, first:last, a:b] @ wide[0][a:b]
            for rows, one in zip(up.rows[1:], wide[1:], strict=True):
                fine.addmm_(rows[first:last, a:b], one[a:b])
            chosen = sign[first:last].view(last - first, -1)
            if given:
                torch.where(chosen, fine, fine * LEAK, out=fine)
            else:
                torch.gt(fine, 0, out=chosen)
                F.leaky_relu_(fine, LEAK)
            for rows, part in zip(down.rows, coarse, strict=True):
                part[p:q].addmm_(rows[p:q, first:last], fine)
        parts = [columns @ part.view(-1, fine_width, c) for columns, part in zip(down.columns, coarse, strict=True)]
        out.copy_(torch.stack(parts).sum(0) if len(parts) > 1 else parts[0])
    return y, positive


def _parts(one: Resampling) -> list[tuple[Tensor, Tensor]]:
    return list(zip(one.rows, one.columns, strict=True))


def _rows(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply `matrix` [H', H] along the rows of `x` [N, H, W, C]."""
    return (matrix @ x.flatten(2)).unflatten(2, x.shape[2:])
