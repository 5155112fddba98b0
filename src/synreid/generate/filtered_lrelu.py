"""StyleGAN3's leaky rectifier at a higher sampling rate, between an up-sampling and a down-sampling low-pass filter.

Karras et al. 2021, "Alias-Free Generative Adversarial Networks", section 3.2 and appendix B. On each side of the
rectifier the operation is linear, a banded matrix along each axis (see `resample`), and the rectifier itself is a
choice between two slopes. So its gradient is the same operation backwards, with the choice remembered: one byte a
sample is all that is kept, and every further derivative comes for free.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from threading import Lock

import torch
from torch import Tensor

from synreid.generate.banded import Way, filtered
from synreid.generate.layers import LEAK

BY_TAPS: tuple[str, ...] = ("cpu",)  # devices that sum the few taps of a sample; others take whole matrices
_SETTING = Lock()  # what products are computed in is set for the whole process


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
    """All pictures at once, by whole matrices: for devices that have many cores and much memory bandwidth.

    In the number format of `x`, whatever autocast would have: CUDA's sums up in float32, and all that follows, with the
    gradient, would be float32 too.
    """
    with torch.autocast(x.device.type, enabled=False), _products_as_convolutions(x.device):
        fine = _added(_rows(rows, columns @ x) for rows, columns in _parts(up))
        positive = fine > 0 if positive is None else positive
        fine = torch.where(positive, fine, fine * LEAK)
        return _added(columns @ _rows(rows, fine) for rows, columns in _parts(down)), positive


@contextmanager
def _products_as_convolutions(device: torch.device) -> Iterator[None]:
    """Let a GPU multiply float32 matrices as it convolves: in TF32, unless that is turned off for convolutions.

    PyTorch's own default differs between the two: products are strict float32, which tensor cores do not compute.
    """
    if device.type != "cuda":
        yield
        return
    settings = torch.backends.cuda.matmul
    with _SETTING:
        before = settings.fp32_precision
        settings.fp32_precision = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
        try:
            yield
        finally:
            settings.fp32_precision = before


def _added(parts: Iterable[Tensor]) -> Tensor:
    """Return the sum of the parts, made one after another: never more than two of them are kept."""
    return reduce(torch.add, parts)


def _parts(one: Resampling) -> list[tuple[Tensor, Tensor]]:
    return list(zip(one.rows, one.columns, strict=True))


def _rows(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply `matrix` [H', H] along the rows of `x` [N, H, W, C]."""
    return (matrix @ x.flatten(2)).unflatten(2, x.shape[2:])
