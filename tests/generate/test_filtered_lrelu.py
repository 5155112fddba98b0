from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from synreid.generate import filtered_lrelu as module
from synreid.generate.banded import Taps, Way, filtered
from synreid.generate.filtered_lrelu import Resampling, filtered_lrelu
from synreid.generate.network import new_generator
from synreid.generate.options import GanOptions
from synreid.generate.resample import LowPass, down_matrix, separable_parts, up_matrix

UP, DOWN, H, W = 2, 2, 11, 7
RISE = LowPass(6 * UP, 3.0, 2.0, 16.0)
FALL = LowPass(6 * DOWN, 3.0, 2.0, 16.0)
OUT = (9, 5)
FINE = tuple((side - 1) * DOWN + FALL.taps for side in OUT)


def operators(
    radial: bool = False, up: int = UP, down: int = DOWN, size: tuple[int, int] = (H, W), out: tuple[int, int] = OUT
) -> tuple[Resampling, Resampling, Way, Way]:
    rise, fall = LowPass(6 * up, 3.0, 2.0, 16.0), LowPass(6 * down, 3.0, 2.0, 16.0)
    parts = separable_parts(fall.radial(), 1e-12) if radial else [(fall.separable(), fall.separable())]
    fine = [(side - 1) * down + fall.taps for side in out]
    ups = [up_matrix(rise.separable(), up, side, inner)[None] for side, inner in zip(size, fine, strict=True)]
    downs = [np.stack([down_matrix(part[axis], down, fine[axis], out[axis]) for part in parts]) for axis in range(2)]
    forwards = Way(*map(Taps.of, (*ups, *downs)))
    backwards = Way(*(Taps.of(one.transpose(0, 2, 1)) for one in (*downs, *ups)))
    return Resampling(*map(torch.from_numpy, ups)), Resampling(*map(torch.from_numpy, downs)), forwards, backwards


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


@pytest.mark.parametrize(
    ("radial", "up", "down", "size", "out", "channels"),
    [
        (False, 2, 2, (11, 7), (9, 5), 3),
        (True, 2, 2, (11, 7), (9, 5), 67),  # a part for each of several separable filters; more channels than a call
        (False, 4, 2, (10, 6), (17, 9), 16),  # 24 taps backwards
        (True, 4, 4, (10, 6), (9, 5), 17),
        (False, 4, 4, (2, 2), (1, 3), 2),  # a signal shorter than the filter
        (True, 2, 4, (1, 1), (2, 2), 1),
    ],
)
def test_taps_whole_matrices_and_autograd_agree(
    radial: bool, up: int, down: int, size: tuple[int, int], out: tuple[int, int], channels: int
) -> None:
    rise, fall, forwards, backwards = operators(radial, up, down, size, out)
    seed = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, *size, dtype=torch.float64, generator=seed).requires_grad_()
    made = filtered_lrelu(x, rise, fall, forwards, backwards)
    fine = torch.nn.functional.leaky_relu(rise.rows[0] @ x @ rise.columns[0].T, 0.2)
    expected = sum(a @ fine @ b.T for a, b in zip(fall.rows, fall.columns, strict=True))
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(made, expected)
    y = torch.randn(made.shape, dtype=torch.float64)
    torch.testing.assert_close(*(torch.autograd.grad((one * y).sum(), x)[0] for one in (made, expected)))
    nhwc = x.detach().permute(0, 2, 3, 1)
    whole, positive = module._whole(nhwc, None, rise, fall)
    torch.testing.assert_close(whole.permute(0, 3, 1, 2), made.detach())
    again, _ = module._whole(nhwc, positive, rise, fall)
    torch.testing.assert_close(again, whole)
    torch.testing.assert_close(filtered(nhwc, ~positive, forwards)[0], module._whole(nhwc, ~positive, rise, fall)[0])


def test_what_does_not_fit_the_taps_is_refused() -> None:
    *_, forwards, _ = operators()
    with pytest.raises(ValueError, match="do not fit"):
        filtered(torch.zeros(1, H, W - 1, 3), None, forwards)
    with pytest.raises(ValueError, match="do not fit"):
        filtered(torch.zeros(1, H, W, 3), torch.zeros(1, 3, 3, 3, dtype=torch.bool), forwards)
    assert filtered(torch.zeros(0, H, W, 3), None, forwards)[0].shape == (0, *OUT, 3)


def test_half_precision_is_worked_on_in_single() -> None:
    x = torch.randn(1, H, W, 3, generator=torch.Generator().manual_seed(0)).half()
    *_, forwards, _ = operators()
    assert torch.equal(filtered(x, None, forwards)[0], filtered(x.float(), None, forwards)[0].half())


def test_taps_survive_a_zero_at_a_filters_edge() -> None:
    matrix = np.zeros((1, 4, 9))
    for o, first in enumerate((1, 3, 2, 3)):  # the second output's first tap is 0
        matrix[0, o, first : first + 4] = 1.0 + o
    taps = Taps.of(matrix)
    assert taps.first.tolist() == [1, 2, 2, 3]
    assert taps.taps.sum() == matrix.sum()
    with pytest.raises(ValueError, match="8 taps"):
        Taps(np.array([0]), np.zeros((1, 1, 8)), 8)


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
    assert taps.taps.shape[2] in (6, 12)
    again = np.zeros((1, matrix.shape[1], max(inputs, taps.first[-1] + taps.taps.shape[2])))
    for o, first in enumerate(taps.first):
        again[:, o, first : first + taps.taps.shape[2]] = taps.taps[:, o]
    np.testing.assert_array_equal(again[:, :, :inputs], matrix)
    assert not again[:, :, inputs:].any()


def test_it_has_every_further_derivative() -> None:
    x = torch.randn(1, 2, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(run, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda z: run(z).square(), x, fast_mode=True)


class Products(TorchDispatchMode):
    """Counts the products of matrices by their number format and what float32 ones would be computed in on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[tuple[torch.dtype, str]] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.bmm.default:
            self.seen[args[0].dtype, torch.backends.cuda.matmul.fp32_precision] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def bfloat16_on_cuda() -> Iterator[None]:
    """What autocast does on a GPU; `torch.autocast` itself does nothing where there is none."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before[0])
        torch.set_autocast_dtype("cuda", before[1])


def on_cuda(module: nn.Module) -> None:
    """Put fake parameters and buffers of a GPU in place of a module's own."""
    for part in module.modules():
        for name, value in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(torch.empty(value.shape, device="cuda")))
        for name, value in list(part.named_buffers(recurse=False)):
            setattr(part, name, torch.empty(value.shape, device="cuda", dtype=value.dtype))


def test_bfloat16_stays_bfloat16_under_a_gpus_autocast() -> None:
    options = GanOptions(cfg="stylegan3-r", height=16, width=8, cmax=8, cbase=128, w_dim=8)
    generator = new_generator(options)
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_cuda(generator)
        w = torch.empty(2, generator.num_ws, 8, device="cuda")
        x = generator.input(w[:, 0])
        with bfloat16_on_cuda(), Products() as products:
            for layer in generator.layers:
                x = layer(x, w[:, 1])
                assert x.dtype == torch.bfloat16
    assert {kind for kind, _ in products.seen} == {torch.bfloat16}


@pytest.mark.parametrize(("tf32", "precision"), [(True, "tf32"), (False, "none")])
def test_a_gpus_products_are_as_exact_as_its_convolutions(tf32: bool, precision: str) -> None:
    rise, fall, *_ = operators(radial=True)
    before = torch.backends.cuda.matmul.fp32_precision
    for device, expected in (("cuda", precision), ("cpu", before)):
        with (
            torch.backends.cudnn.flags(enabled=True, allow_tf32=tf32),
            FakeTensorMode(allow_non_fake_inputs=True),
            Products() as products,
        ):
            x = torch.empty(1, H, W, 3, device=device)
            module._whole(x, None, rise.to(x), fall.to(x))
        assert set(products.seen) == {(torch.float32, expected)}
        assert torch.backends.cuda.matmul.fp32_precision == before
