"""The filtered leaky rectifier on a CPU, by the few taps that each sample has, compiled by Numba.

A product with the whole matrices of `resample` is mostly a product with zeros: a sample is the sum of 6 to 24 others.
Here each of a picture's fine rows is made, rectified and filtered while it lies in the cache, all channels abreast.
Always in single precision or better, whatever the pictures' number format.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numba import njit
from torch import Tensor

from synreid.generate.layers import LEAK

SIX, TWELVE = 6, 12  # StyleGAN3's filters have 6, 12 or 24 taps a sample; 6 or 12 are summed in one expression
TOGETHER = 64  # channels that one call works on: a few rows of them fit a core's cache
VECTOR = 16  # channels are filled up to a multiple of it
FAST = {"contract", "reassoc", "nsz"}  # sums in any order, but NaN and infinity stay what they are
FORMATS = (torch.float32, torch.float64, torch.bfloat16)


def compiled(function: Callable[..., None], **options: Any) -> Callable[..., None]:
    """Compile `function` at its first call, and keep the code beside it or in the user's cache (NUMBA_CACHE_DIR)."""
    compile_: Any = njit
    options = {"nogil": True, "fastmath": FAST, **options}
    try:
        made = compile_(cache=True, **options)(function)
    except RuntimeError:  # there is no folder to keep it in: each process compiles anew
        made = compile_(**options)(function)
    return cast(Callable[..., None], made)


@dataclass(frozen=True)
class Taps:
    """Banded matrices [P, outputs, inputs] of one band: output o is the sum of taps[:, o, k] x input first[o] + k.

    `first`, int64 [outputs], never falls; `taps`, float64 [P, outputs, K], K six or a multiple of twelve. Inputs beyond
    the last of `inputs`, which a short signal may be asked for, count as zero.
    """

    first: np.ndarray
    taps: np.ndarray
    inputs: int

    def __post_init__(self) -> None:
        count = self.taps.shape[2]
        if (np.diff(self.first) < 0).any() or (count != SIX and count % TWELVE):
            raise ValueError(f"{count} taps from {self.first}: they must be 6 or dozens, and their places never fall")

    @classmethod
    def of(cls, matrices: np.ndarray) -> Taps:
        """Read them off the matrices."""
        parts, outputs, inputs = matrices.shape
        used = (matrices != 0).any(0)
        found = used.any(1)
        low = np.where(found, used.argmax(1), inputs)
        low = np.minimum.accumulate(low[::-1])[::-1]  # never falls, though a filter's first tap may be 0 somewhere
        low = np.minimum(low, inputs - 1)
        high = np.where(found, inputs - used[:, ::-1].argmax(1), 0)
        most = int((high - low).max())
        count = SIX if most <= SIX else -(-most // TWELVE) * TWELVE
        padded = np.zeros((parts, outputs, max(inputs, count)))
        padded[:, :, :inputs] = matrices
        first = np.minimum(low, padded.shape[2] - count)
        places = first[:, None] + np.arange(count)
        return cls(first, np.take_along_axis(padded, places[None].repeat(parts, 0), axis=2), inputs)


@dataclass(frozen=True)
class Way:
    """Up to the fine signal and down again; `_rows` act along a picture's height, `_columns` along its width."""

    up_rows: Taps
    up_columns: Taps
    down_rows: Taps
    down_columns: Taps


def filtered(x: Tensor, positive: Tensor | None, way: Way) -> tuple[Tensor, Tensor]:
    """Return `way` of `x` [N, H, W, C], as [N, H', W', C], and where the fine signal was positive, bool.

    Where `positive` is given, it makes the choice between the slopes. Works in as many threads as PyTorch does. The
    first call of a machine compiles for some seconds. Raises ValueError where `x` or `positive` has another size than
    `way`; number formats other than float32, float64 and bfloat16 are worked on in float32.
    """
    if x.dtype not in FORMATS:
        y, positive = filtered(x.float(), positive, way)
        return y.to(x.dtype), positive
    n, *size, channels = x.shape
    fine = (n, len(way.up_rows.first), len(way.up_columns.first), channels)
    if size != [way.up_rows.inputs, way.up_columns.inputs] or (positive is not None and positive.shape != fine):
        raise ValueError(f"{tuple(x.shape)} or its signs do not fit taps that lead to {fine}")
    given = positive is not None
    if positive is None:
        positive = torch.empty(fine, dtype=torch.bool)
    y = x.new_empty(n, len(way.down_rows.first), len(way.down_columns.first), channels)
    arrays = [_numpy(one.detach().contiguous()) for one in (x, positive)]
    number = np.float64 if x.dtype == torch.float64 else np.float32
    taps: list[Any] = []
    for one in (way.up_rows, way.up_columns, way.down_rows, way.down_columns):
        taps += [one.first, one.taps.astype(number)]

    def work(task: tuple[int, int]) -> None:
        _picture(*task, *arrays, given, _numpy(y), x.dtype == torch.bfloat16, *taps, number(LEAK))

    tasks = [(picture, channel) for picture in range(n) for channel in range(0, channels, TOGETHER)]
    threads = min(torch.get_num_threads(), len(tasks))
    if threads <= 1:
        for task in tasks:
            work(task)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, tasks))
    return y, positive


def _numpy(x: Tensor) -> np.ndarray:
    """Return the same memory; bfloat16 as its bits, uint16."""
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


@compiled
def _picture(
    picture: int,
    channel: int,
    x: Any,
    positive: Any,
    given: bool,
    y: Any,
    halves: bool,
    up_first: Any,
    up: Any,
    wide_first: Any,
    wide: Any,
    down_first: Any,
    down: Any,
    narrow_first: Any,
    narrow: Any,
    leak: Any,
) -> None:
    """Do `channel` and those after it of one picture of `x` [N, H, W, C] to `y`, reading or filling `positive`.

    Rings hold the last rows of what a sum along the height still needs, already filtered along the width.
    """
    _, height, width, channels = x.shape
    end = min(channel + TOGETHER, channels)
    lanes = (end - channel + VECTOR - 1) // VECTOR * VECTOR
    ups, fine_height, rise = up.shape
    downs, out_height, fall = down.shape
    fine_width, out_width = len(wide_first), len(narrow_first)
    row = np.zeros((max(width, wide.shape[2]), lanes), up.dtype)
    above = np.zeros((ups, rise, fine_width, lanes), up.dtype)
    fine = np.zeros((max(fine_width, narrow.shape[2]), lanes), up.dtype)
    below = np.zeros((downs, fall, out_width, lanes), up.dtype)
    out = np.zeros((out_width, lanes), up.dtype)
    read = written = 0
    for i in range(fine_height):
        while read < up_first[i] + rise:
            if read < height:
                _load(x[picture, read], channel, end, row, halves)
                for part in range(ups):
                    _along(row, wide_first, wide[part], above[part, read % rise])
            else:
                above[:, read % rise] = 0
            read += 1
        for part in range(ups):
            _across(above[part], up_first[i], up[part, i], fine[:fine_width], part == 0)
        _rectify(fine[:fine_width], positive[picture, i], channel, end, given, leak)
        for part in range(downs):
            _along(fine, narrow_first, narrow[part], below[part, i % fall])
        while written < out_height and (down_first[written] + fall - 1 <= i or i == fine_height - 1):
            for part in range(downs):
                _across(below[part], down_first[written], down[part, written], out, part == 0)
            _store(out, y[picture, written], channel, end, halves)
            written += 1


@compiled
def _load(x: Any, first: int, end: int, row: Any, halves: bool) -> None:
    """Copy channels `first` to `end` of `x` [W, C] into `row`; `halves` are the upper 16 bits of single precision."""
    bits = row.view(np.uint32)
    for w in range(len(x)):
        one, to, to_bits = x[w, first:end], row[w], bits[w]
        if halves:
            for c in range(len(one)):
                to_bits[c] = np.uint32(one[c]) << 16
        else:
            for c in range(len(one)):
                to[c] = one[c]


@compiled
def _store(row: Any, y: Any, first: int, end: int, halves: bool) -> None:
    """Copy `row` into channels `first` to `end` of `y` [W, C]; `halves` are rounded to the nearest, ties to even."""
    bits = row.view(np.uint32)
    for w in range(len(y)):
        one, of, of_bits = y[w, first:end], row[w], bits[w]
        if halves:
            for c in range(len(one)):
                one[c] = (of_bits[c] + np.uint32(0x7FFF) + ((of_bits[c] >> 16) & np.uint32(1))) >> 16
        else:
            for c in range(len(one)):
                one[c] = of[c]


@compiled
def _along(x: Any, first: Any, taps: Any, out: Any) -> None:
    """Sum along the width: `x` [W, c] to `out` [W', c]."""
    if taps.shape[1] == SIX:
        for o in range(len(first)):
            _six(x[first[o] :], taps[o], out[o], True)
    for k in range(0, taps.shape[1] // TWELVE * TWELVE, TWELVE):
        for o in range(len(first)):
            _twelve(x[first[o] + k :], taps[o, k:], out[o], k == 0)


@compiled
def _across(ring: Any, first: int, taps: Any, out: Any, fresh: bool) -> None:
    """Sum rows of `ring` [K, W, c], where row r lies at r modulo K, into `out` [W, c], or add to what is there."""
    count = len(taps)
    turned = np.empty(count, taps.dtype)
    for k in range(count):
        turned[(first + k) % count] = taps[k]
    rows, to = ring.reshape(count, ring.shape[1] * ring.shape[2]), out.reshape(out.size)
    if count == SIX:
        _six(rows, turned, to, fresh)
    for k in range(0, count // TWELVE * TWELVE, TWELVE):
        _twelve(rows[k:], turned[k:], to, fresh and k == 0)


@partial(compiled, inline="always")
def _six(x: Any, taps: Any, out: Any, fresh: bool) -> None:
    """Sum the first six rows of `x` [K, n] times `taps` into `out` [n], or add to what is there.

    Rows and taps are named first, for `out` may lie where they do as far as LLVM knows.
    """
    a, b, c, d, e, f = x[0], x[1], x[2], x[3], x[4], x[5]
    t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    if fresh:
        for i in range(len(out)):
            out[i] = t0 * a[i] + t1 * b[i] + t2 * c[i] + t3 * d[i] + t4 * e[i] + t5 * f[i]
    else:
        for i in range(len(out)):
            out[i] += t0 * a[i] + t1 * b[i] + t2 * c[i] + t3 * d[i] + t4 * e[i] + t5 * f[i]


@partial(compiled, inline="always")
def _twelve(x: Any, taps: Any, out: Any, fresh: bool) -> None:
    """Like `_six`, twelve at once: twice six would read and write `out` again."""
    a, b, c, d, e, f = x[0], x[1], x[2], x[3], x[4], x[5]
    g, h, j, k, m, n = x[6], x[7], x[8], x[9], x[10], x[11]
    t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    t6, t7, t8, t9, t10, t11 = taps[6], taps[7], taps[8], taps[9], taps[10], taps[11]
    if fresh:
        for i in range(len(out)):
            y = t0 * a[i] + t1 * b[i] + t2 * c[i] + t3 * d[i] + t4 * e[i] + t5 * f[i]
            out[i] = y + (t6 * g[i] + t7 * h[i] + t8 * j[i] + t9 * k[i] + t10 * m[i] + t11 * n[i])
    else:
        for i in range(len(out)):
            y = t0 * a[i] + t1 * b[i] + t2 * c[i] + t3 * d[i] + t4 * e[i] + t5 * f[i]
            out[i] += y + (t6 * g[i] + t7 * h[i] + t8 * j[i] + t9 * k[i] + t10 * m[i] + t11 * n[i])


@compiled
def _rectify(fine: Any, positive: Any, first: int, end: int, given: bool, leak: Any) -> None:
    """Scale `fine` [W, c] by `leak` where `positive` [W, C] is not set; set it first unless it is given."""
    for w in range(len(positive)):
        values, signs = fine[w], positive[w, first:end]
        if given:
            for c in range(len(signs)):
                values[c] = values[c] if signs[c] else values[c] * leak
        else:
            for c in range(len(signs)):
                signs[c] = values[c] > 0
                values[c] = values[c] if values[c] > 0 else values[c] * leak
