from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from synreid.generate import filtered_lrelu as module
from synreid.generate.banded import Taps, Way, filtered
from synreid.generate.filtered_lrelu import Resampling, filtered_lrelu
from synreid.generate.resample import LowPass, down_matrix, separable_parts, up_matrix

UP, DOWN, H, W, C = 2, 2, 11, 7, 3
RISE = LowPass(6 * UP, 3.0, 2.0, 16.0)
FALL = LowPass(6 * DOWN, 3.0, 2.0, 16.0)
OUT = (9, 5)
FINE = tuple((side - 1) * DOWN + FALL.taps for side in OUT)


def operators(radial: bool) -> tuple[Resampling, Resampling, Way, Way]:
    parts = separable_parts(FALL.radial(), 1e-12) if radial else [(FALL.separable(), FALL.separable())]
    up = [up_matrix(RISE.separable(), UP, side, fine)[None] for side, fine in zip((H, W), FINE, strict=True)]
    down = [np.stack([down_matrix(part[axis], DOWN, FINE[axis], OUT[axis]) for part in parts]) for axis in range(2)]
    forwards = Way(*map(Taps.of, (*up, *down)))
    backwards = Way(*(Taps.of(one.transpose(0, 2, 1)) for one in (*down, *up)))
    return Resampling(*map(torch.from_numpy, up)), Resampling(*map(torch.from_numpy, down)), forwards, backwards


def run(x: Tensor, radial: bool = False) -> Tensor:
    return filtered_lrelu(x, *operators(radial))


@pytest.mark.parametrize("radial", [False, True])
def test_it_is_the_direct_convolution(radial: bool) -> None:
    x = torch.randn(1, 1, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = run(x, radial)[0, 0].numpy()
    expected = np.empty(OUT)
    fall = FALL.radial() if radial else np.outer(FALL.separable(), FALL.separable())
    fine = direct_fine(x[0, 0].numpy())
    for r in range(OUT[0]):
        for c in range(OUT[1]):
            expected[r, c] = (fine[r * DOWN : r * DOWN + 12, c * DOWN : c * DOWN + 12] * fall).sum()
    np.testing.assert_allclose(made, expected, atol=1e-9)


def direct_fine(x: np.ndarray) -> np.ndarray:
    """Zeros between samples, a two-dimensional filter, then the two slopes, in plain loops."""
    rise = np.outer(RISE.separable(), RISE.separable()) * UP**2
    fine = np.zeros(FINE)
    for r in range(FINE[0]):
        for c in range(FINE[1]):
            for i in range(H):
                for j in range(W):
                    a = (r - (FINE[0] - 1) / 2) - UP * (i - (H - 1) / 2) + (len(rise) - 1) / 2
                    b = (c - (FINE[1] - 1) / 2) - UP * (j - (W - 1) / 2) + (len(rise) - 1) / 2
                    if 0 <= a < len(rise) and 0 <= b < len(rise):
                        fine[r, c] += rise[round(a), round(b)] * x[i, j]
    return np.where(fine > 0, fine, 0.2 * fine)


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("channels", [3, 16, 67])
def test_taps_whole_matrices_and_autograd_agree(radial: bool, channels: int) -> None:
    up, down, forwards, _ = operators(radial)
    seed = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, H, W, dtype=torch.float64, generator=seed).requires_grad_()
    made = run(x, radial)
    fine = torch.nn.functional.leaky_relu(up.rows[0] @ x @ up.columns[0].T, 0.2)
    expected = sum(a @ fine @ b.T for a, b in zip(down.rows, down.columns, strict=True))
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(made, expected)
    y = torch.randn(made.shape, dtype=torch.float64)
    torch.testing.assert_close(*(torch.autograd.grad((one * y).sum(), x)[0] for one in (made, expected)))
    nhwc = x.detach().permute(0, 2, 3, 1)
    whole, positive = module._whole(nhwc, None, up, down)
    torch.testing.assert_close(whole.permute(0, 3, 1, 2), made.detach())
    again, _ = module._whole(nhwc, positive, up, down)
    torch.testing.assert_close(again, whole)
    torch.testing.assert_close(
        filtered(nhwc.contiguous(), ~positive, forwards)[0], module._whole(nhwc, ~positive, up, down)[0]
    )


def test_bfloat16_is_single_precision_rounded_once() -> None:
    x = torch.randn(2, 5, H, W, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert torch.equal(run(x), run(x.float()).bfloat16())


def test_threads_and_neighbours_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(3, 70, H, W, generator=torch.Generator().manual_seed(0))
    made = {}
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        made[threads] = run(x)
    assert torch.equal(made[1], made[2])
    assert torch.equal(made[1][1:2], run(x[1:2]))


@pytest.mark.parametrize("inputs", [2, 5, 40])
def test_taps_are_the_matrix(inputs: int) -> None:
    matrix = up_matrix(RISE.separable(), UP, inputs, 2 * inputs + 12)[None]
    taps = Taps.of(matrix)
    assert (np.diff(taps.first) >= 0).all()
    assert taps.taps.shape[2] % 6 == 0
    again = np.zeros((1, matrix.shape[1], max(inputs, taps.first[-1] + taps.taps.shape[2])))
    for o, first in enumerate(taps.first):
        again[:, o, first : first + taps.taps.shape[2]] = taps.taps[:, o]
    np.testing.assert_array_equal(again[:, :, :inputs], matrix)
    assert not again[:, :, inputs:].any()


def test_it_has_every_further_derivative() -> None:
    x = torch.randn(1, 2, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(run, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda z: run(z).square(), x, fast_mode=True)
