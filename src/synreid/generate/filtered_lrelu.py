"""StyleGAN3's leaky rectifier at a higher sampling rate, between an up-sampling and a down-sampling low-pass filter.

Karras et al. 2021, "Alias-Free Generative Adversarial Networks", section 3.2 and appendix B. On each side of the
rectifier the operation is linear, a banded matrix along each axis (see `resample`), and the rectifier itself is a
choice between two slopes. So its gradient is the same operation backwards, with the choice remembered: one byte a
sample is all that is kept, and every further derivative comes for free.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synreid.generate.banded import Way, filtered
from synreid.generate.layers import LEAK

BY_TAPS: tuple[str, ...] = ("cpu",)  # devices that sum the few taps of a sample; others take whole matrices


@dataclass(frozen=True)
class Resampling:
    """A sum of separable resamplings: y = sum of rows[i] x columns[i]^T.

    `rows` [P, H', H], `columns` [P, W', W], banded; on the device of what they act on.
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


def filtered_lrelu(x: Tensor, up: Resampling, down: Resampling, forwards: Way, backwards: Way) -> Tensor:
    """Return `down` of the leaky rectifier, slope 0.2, of `up` of `x` [N, C, H, W]: [N, C, H', W'].

    `forwards` are the taps of the two, `backwards` those of the transposed two in the other order.
    """
    nhwc = x.permute(0, 2, 3, 1).contiguous()  # what a convolution in channels_last leaves, so nothing is copied
    y: Tensor = _FilteredLrelu.apply(nhwc, None, up, down, forwards, backwards)
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
        forwards: Way,
        backwards: Way,
    ) -> Tensor:
        if x.device.type in BY_TAPS:
            y, positive = filtered(x, positive, forwards)
        else:
            y, positive = _whole(x, positive, up.to(x), down.to(x))
        ctx.save_for_backward(positive)
        ctx.way = (up, down, forwards, backwards)  # type: ignore[attr-defined]
        return y

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, slope: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (positive,) = ctx.saved_tensors  # type: ignore[attr-defined]
        up, down, forwards, backwards = ctx.way  # type: ignore[attr-defined]
        x = _FilteredLrelu.apply(slope.contiguous(), positive, down.transposed, up.transposed, backwards, forwards)
        return x, None, None, None, None, None


def _whole(x: Tensor, positive: Tensor | None, up: Resampling, down: Resampling) -> tuple[Tensor, Tensor]:
    """All pictures at once, by whole matrices: for devices that have many cores and much memory bandwidth."""
    n, _, _, c = x.shape
    fine = torch.stack([_rows(rows, columns @ x) for rows, columns in _parts(up)]).sum(0)
    positive = fine > 0 if positive is None else positive
    fine = torch.where(positive, fine, fine * LEAK)
    y = torch.stack([columns @ _rows(rows, fine) for rows, columns in _parts(down)]).sum(0)
    return y.reshape(n, *y.shape[1:3], c), positive


def _parts(one: Resampling) -> list[tuple[Tensor, Tensor]]:
    return list(zip(one.rows, one.columns, strict=True))


def _rows(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply `matrix` [H', H] along the rows of `x` [N, H, W, C]."""
    return (matrix @ x.flatten(2)).unflatten(2, x.shape[2:])
