from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from synreid.generate import filtered_lrelu as module
from synreid.generate.filtered_lrelu import Resampling, bands_of, filtered_lrelu
from synreid.generate.resample import LowPass, down_matrix, separable_parts, up_matrix

UP, DOWN, H, W, C = 2, 2, 11, 7, 3
RISE = LowPass(6 * UP, 3.0, 2.0, 16.0)
FALL = LowPass(6 * DOWN, 3.0, 2.0, 16.0)
OUT = (9, 5)
FINE = tuple((side - 1) * DOWN + FALL.taps for side in OUT)


def operators(radial: bool) -> tuple[Resampling, Resampling, tuple[object, object]]:
    parts = separable_parts(FALL.radial(), 1e-12) if radial else [(FALL.separable(), FALL.separable())]
    up = [up_matrix(RISE.separable(), UP, side, fine)[None] for side, fine in zip((H, W), FINE, strict=True)]
    down = [np.stack([down_matrix(part[axis], DOWN, FINE[axis], OUT[axis]) for part in parts]) for axis in range(2)]
    bands = (
        bands_of(up[0], down[0], C, FINE[1]),
        bands_of(down[0].transpose(0, 2, 1), up[0].transpose(0, 2, 1), C, FINE[1]),
    )
    return Resampling(*map(torch.from_numpy, up)), Resampling(*map(torch.from_numpy, down)), bands


def run(x: Tensor, radial: bool = False) -> Tensor:
    up, down, bands = operators(radial)
    return filtered_lrelu(x, up, down, *bands)  # type: ignore[arg-type]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_CACHE", 1)
    monkeypatch.setattr(module, "LEAST_ROWS", 5)


@pytest.mark.parametrize("radial", [False, True])
def test_it_is_the_direct_convolution(radial: bool, small_blocks: None) -> None:
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
def test_small_blocks_whole_matrices_and_autograd_agree(radial: bool, small_blocks: None) -> None:
    up, down, bands = operators(radial)
    assert len(bands[0]) > 2  # type: ignore[arg-type]
    x = torch.randn(2, C, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    made = run(x, radial)
    fine = torch.nn.functional.leaky_relu(up.rows[0] @ x @ up.columns[0].T, 0.2)
    expected = sum(a @ fine @ b.T for a, b in zip(down.rows, down.columns, strict=True))
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(made, expected)
    y = torch.randn(made.shape, dtype=torch.float64)
    torch.testing.assert_close(*(torch.autograd.grad((one * y).sum(), x)[0] for one in (made, expected)))
    nhwc = x.detach().permute(0, 2, 3, 1)
    whole, positive = module._whole(nhwc, None, up, down, bands[0])  # type: ignore[arg-type]
    torch.testing.assert_close(whole.permute(0, 3, 1, 2), made.detach())
    again, _ = module._whole(nhwc, positive, up, down, bands[0])  # type: ignore[arg-type]
    torch.testing.assert_close(again, whole)


def test_it_has_every_further_derivative(small_blocks: None) -> None:
    x = torch.randn(1, 2, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(run, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda z: run(z).square(), x, fast_mode=True)
