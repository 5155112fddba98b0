"""Augmentation in front of the discriminator, with a probability that adapts to how much it over-fits.

Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data" (ADA), appendix B: all of its
transforms, with its distributions and strengths, for pictures of any height and width. Every transform is affine in
the picture, and differentiates as often as a gradient penalty wants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy import signal
from torch import Tensor

from synreid.stage.errors import UserError

XINT = 0.125  # share of height and width, at most
SCALE = 0.2  # standard deviation of the base-2 logarithm
ANISO = 0.2  # standard deviation of the base-2 logarithm
XFRAC = 0.125  # share of height and width, standard deviation
BRIGHTNESS = 0.2  # standard deviation
CONTRAST = 0.5  # standard deviation of the base-2 logarithm
SATURATION = 1.0  # standard deviation of the base-2 logarithm
IMGFILTER = 1.0  # standard deviation of the base-2 logarithm
SPECTRUM = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # expected power of a picture in the four bands, lowest first
NOISE = 0.1  # scale of the half-normal distribution of the noise's standard deviation
CUTOUT = 0.5  # share of height and width

_BLIT = ("xflip", "rotate90", "xint")
_GEOM = ("scale", "rotate", "aniso", "xfrac")
_COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
TRANSFORMS = (*_BLIT, *_GEOM, *_COLOR, "imgfilter", "noise", "cutout")
"""Names of all transforms, in the order in which they are applied."""

# A person on a street camera stands upright and is seen near or far, in any light. Turned and negative pictures would
# only teach the discriminator about what it never meets, and might leak into the generator at a high `p`; the paper
# finds little use in filtering, noise and cutout; mirroring is an option of the training already.
UPRIGHT = ("xint", "scale", "aniso", "xfrac", "brightness", "contrast", "hue", "saturation")

PIPES: dict[str, tuple[str, ...]] = {
    "blit": _BLIT,
    "geom": _GEOM,
    "color": _COLOR,
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": (*_BLIT, *_GEOM),
    "bgc": (*_BLIT, *_GEOM, *_COLOR),
    "bgcf": (*_BLIT, *_GEOM, *_COLOR, "imgfilter"),
    "bgcfn": (*_BLIT, *_GEOM, *_COLOR, "imgfilter", "noise"),
    "bgcfnc": TRANSFORMS,
    "upright": UPRIGHT,
}
"""Groups of transforms by the names that the field gives them; `bgc` is what the paper trains with."""

# Low-pass filters of the orthogonal symlets with 6 and 2 vanishing moments: Daubechies, "Ten Lectures on Wavelets"
# (1992), tables 6.3 and 6.1.
# fmt: off
SYM6 = (
    0.0154041093270448, 0.0034907120842221, -0.1179901111485198, -0.0483117425856978, 0.4910559419279739,
    0.7876411410286507, 0.3379294217281655, -0.0726375227863765, -0.0210602925123708, 0.0447249017707814,
    0.0017677118642540, -0.0078007083250324,
)
CENTRE = 5  # the largest tap of SYM6
SYM2 = tuple(tap / (4 * math.sqrt(2)) for tap in (
    1 - math.sqrt(3), 3 - math.sqrt(3), 3 + math.sqrt(3), 1 + math.sqrt(3),
))
# fmt: on


def transforms_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the transforms behind names of transforms and of `PIPES`, each once, in the order of `TRANSFORMS`.

    Raises UserError for an unknown name.
    """
    found: set[str] = set()
    for name in names:
        if name not in PIPES and name not in TRANSFORMS:
            known = ", ".join([*PIPES, *(each for each in TRANSFORMS if each not in PIPES)])
            raise UserError(f"There is no augmentation {name!r}: use any of {known}.")
        found.update(PIPES.get(name, (name,)))
    return tuple(name for name in TRANSFORMS if name in found)


def augment(x: Tensor, p: float, rng: torch.Generator, transforms: Sequence[str] = UPRIGHT) -> Tensor:
    """Transform each picture of `x` [N, 3, H, W] in about -1 to 1; each of `transforms` with probability `p`.

    Names of `PIPES` stand for their transforms. `rotate90` turns oblong pictures upside down only, a square by any
    quarter turn. Random numbers come from `rng`, of the CPU, so a picture is treated alike on every device; the result
    has `x`'s device and type, computed in float32 or better. Raises UserError for an unknown transform.
    """
    names = transforms_of(transforms)
    if p <= 0:
        return x
    n, _, height, width = x.shape
    draw = _Draws(n, p, rng)
    with torch.autocast(x.device.type, enabled=False):
        y = x.to(torch.promote_types(x.dtype, torch.float32))
        if "xflip" in names:
            y = xflip(y, draw.choice(2).to(y.device))
        if "rotate90" in names:
            turns = draw.choice(4) if height == width else 2 * draw.choice(2)
            y = rotate90(y, turns.to(y.device))
        if any(name in names for name in ("xint", *_GEOM)):
            y = warp(y, _maps(draw, names, height, width))
        if any(name in names for name in _COLOR):
            colour = _colours(draw, names).to(y)
            y = torch.baddbmm(colour[:, :3, 3:], colour[:, :3, :3], y.flatten(2)).view(y.shape)
        if "imgfilter" in names:
            y = amplify(y, _gains(draw).to(y))
        if "noise" in names:
            deviation = draw.normal(NOISE).abs().to(y)
            y = y + torch.randn(y.shape, generator=rng).to(y) * deviation[:, None, None, None]
        if "cutout" in names:
            nowhere = torch.tensor(2.0)  # a centre so far outside that nothing is cut out
            centres = torch.where(draw.on()[:, None], torch.rand(n, 2, generator=rng), nowhere)
            y = cutout(y, centres.to(y))
        return y.to(x.dtype)


def adapt(p: float, sign: float, target: float, shown: int, ada_kimg: float) -> float:
    """Return the next augmentation probability.

    `sign` is the mean sign of the discriminator's logits on real pictures (the paper's r_t) since the last change,
    `shown` the number of pictures since then; `p` moves by as much as takes it from 0 to 1 in `ada_kimg`.
    """
    step = shown / (ada_kimg * 1000)
    return min(max(p + math.copysign(step, sign - target), 0.0), 1.0)


def xflip(x: Tensor, flipped: Tensor) -> Tensor:
    """Mirror those pictures of `x` [N, C, H, W] left to right whose `flipped` [N] is not 0."""
    return torch.where(flipped.bool()[:, None, None, None], x.flip(3), x)


def rotate90(x: Tensor, turns: Tensor) -> Tensor:
    """Turn pictures [N, C, H, W] by `turns` [N] times 90 degrees, 0 to 3, counter-clockwise.

    Oblong pictures keep their shape under half turns only: the odd quarter of `turns` is left out for them.
    """
    turns = turns[:, None, None, None]
    x = torch.where(turns >= 2, x.flip(2, 3), x)
    return torch.where(turns % 2 == 1, x.mT.flip(2), x) if x.shape[2] == x.shape[3] else x


def warp(x: Tensor, maps: Tensor) -> Tensor:
    """Resample pictures [N, C, H, W] by affine `maps` [N, 3, 3] of (x, y, 1) in the result to (x, y, 1) in the picture.

    Places are in pixels, from the picture's centre. Appendix B: the picture is continued by reflection, as far as it
    takes, up-sampled to twice the size by sym6, sampled bilinearly, filtered and brought back to its size. The filter
    is orthogonal, so shifts by whole pixels come out exactly.
    """
    oblique = (maps[:, 0, 1] != 0) | (maps[:, 1, 0] != 0)
    y = torch.zeros_like(x)
    for chosen, way in ((~oblique, _warp_axes), (oblique, _warp_plane)):  # the first is ten times as fast
        if chosen.any():
            pictures = chosen.nonzero()[:, 0].to(x.device)
            y = y.index_copy(0, pictures, way(x[pictures], maps[chosen].to(x)))
    return y


def amplify(x: Tensor, gains: Tensor) -> Tensor:
    """Multiply the frequency bands of pictures [N, C, H, W], up to 1/8, 1/4, 1/2 and 1 of the highest frequency.

    `gains` [N, 4], lowest band first. Rows and columns are filtered alike, continued by reflection.
    """
    rows = torch.einsum("nb,bij->nij", gains, _bands(x.shape[2], x.dtype, x.device))
    columns = torch.einsum("nb,bij->nij", gains, _bands(x.shape[3], x.dtype, x.device))
    return _separable(x, rows[:, None], columns[:, None])


def cutout(x: Tensor, centres: Tensor) -> Tensor:
    """Blacken to 0 a rectangle of half the height and width of each picture of `x` [N, C, H, W].

    `centres` [N, 2]: x and y as shares of width and height; a rectangle that reaches beyond the picture is cut off.
    """
    inside = []
    for share, size in zip(centres.unbind(1), (x.shape[3], x.shape[2]), strict=True):
        place = torch.arange(size, device=x.device)
        first, end = (torch.round((share + side * CUTOUT / 2) * size)[:, None] for side in (-1, 1))
        inside.append((place >= first) & (place < end))
    return x.masked_fill((inside[1][:, :, None] & inside[0][:, None, :])[:, None], 0.0)


class _Draws:
    """Random numbers for `n` pictures, each 0, which changes nothing, with probability 1 - p."""

    def __init__(self, n: int, p: float, rng: torch.Generator) -> None:
        self.n, self.p, self.rng = n, p, rng

    def on(self, p: float | None = None) -> Tensor:
        return torch.rand(self.n, generator=self.rng) < (self.p if p is None else p)

    def choice(self, count: int) -> Tensor:
        return self.on() * torch.randint(count, (self.n,), generator=self.rng)

    def uniform(self, limit: float, p: float | None = None) -> Tensor:
        return self.on(p) * (torch.rand(self.n, generator=self.rng) * 2 - 1) * limit

    def normal(self, deviation: float) -> Tensor:
        return self.on() * torch.randn(self.n, generator=self.rng) * deviation


def _maps(draw: _Draws, names: Sequence[str], height: int, width: int) -> Tensor:
    """Return affine maps [N, 3, 3] for `warp`: inverses of the paper's G, so each step is multiplied on the right."""
    maps = torch.eye(3).repeat(draw.n, 1, 1)
    size = torch.tensor([width, height])
    if "xint" in names:
        on = draw.on()[:, None]
        share = (torch.rand(draw.n, 2, generator=draw.rng) * 2 - 1) * XINT
        maps = maps @ _translation(on * -torch.round(share * size))
    if "scale" in names:
        size_change = draw.normal(SCALE)
        maps = maps @ _scaling(-size_change, -size_change)
    # Turned before or after the change of aspect: p is the probability that either happens.
    p_rotate = 1 - math.sqrt(1 - min(draw.p, 1.0))
    if "rotate" in names:
        maps = maps @ _rotation(draw.uniform(math.pi, p_rotate))
    if "aniso" in names:
        aspect = draw.normal(ANISO)
        maps = maps @ _scaling(-aspect, aspect)
    if "rotate" in names:
        maps = maps @ _rotation(draw.uniform(math.pi, p_rotate))
    if "xfrac" in names:
        on = draw.on()[:, None]
        maps = maps @ _translation(on * -torch.randn(draw.n, 2, generator=draw.rng) * XFRAC * size)
    return maps


def _translation(shift: Tensor) -> Tensor:
    """Return maps [N, 3, 3] that add `shift` [N, 2]."""
    maps = torch.eye(3).repeat(len(shift), 1, 1)
    maps[:, :2, 2] = shift
    return maps


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    """Return maps [N, 3, 3] that multiply by two to the power of `x` [N] and `y` [N]."""
    return torch.diag_embed(torch.exp2(torch.stack([x, y, torch.zeros_like(x)], dim=1)))


def _rotation(angle: Tensor) -> Tensor:
    """Return maps [N, 3, 3] that turn by `angle` [N], radians."""
    maps = torch.eye(3).repeat(len(angle), 1, 1)
    maps[:, 0, 0] = maps[:, 1, 1] = angle.cos()
    maps[:, 1, 0] = angle.sin()
    maps[:, 0, 1] = -maps[:, 1, 0]
    return maps


def _colours(draw: _Draws, names: Sequence[str]) -> Tensor:
    """Return the paper's C [N, 4, 4]: maps of (R, G, B, 1)."""
    colours = torch.eye(4).repeat(draw.n, 1, 1)
    rgb = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0]))
    rest = torch.eye(4) - rgb
    luma = rgb @ torch.full((4, 4), 1 / 3) @ rgb  # v v^T: the part of a colour along the grey axis v
    if "brightness" in names:
        brightness = torch.eye(4).repeat(draw.n, 1, 1)
        brightness[:, :3, 3] = draw.normal(BRIGHTNESS)[:, None]
        colours = brightness @ colours
    if "contrast" in names:
        colours = (rgb * torch.exp2(draw.normal(CONTRAST))[:, None, None] + rest) @ colours
    if "lumaflip" in names:
        colours = (torch.eye(4) - 2 * luma * draw.choice(2)[:, None, None]) @ colours
    if "hue" in names:
        angle = draw.uniform(math.pi)[:, None, None]
        cross = torch.zeros(4, 4)  # the cross product with v
        cross[:3, :3] = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
        colours = (rest + luma + (rgb - luma) * angle.cos() + cross * angle.sin()) @ colours
    if "saturation" in names:
        colours = (rest + luma + (rgb - luma) * torch.exp2(draw.normal(SATURATION))[:, None, None]) @ colours
    return colours


def _gains(draw: _Draws) -> Tensor:
    """Return gains [N, 4] of the four bands that keep the power of a picture of spectrum `SPECTRUM`."""
    gains = torch.ones(draw.n, len(SPECTRUM))
    power = torch.tensor(SPECTRUM)
    for band in range(len(SPECTRUM)):
        one = torch.ones_like(gains)
        one[:, band] = torch.exp2(draw.normal(IMGFILTER))
        gains = gains * one / (power * one.square()).sum(1, keepdim=True).sqrt()
    return gains


def _warp_axes(x: Tensor, maps: Tensor) -> Tensor:
    """Resample by `maps` without their off-diagonal parts: one matrix a picture for the rows, one for the columns."""
    matrices = []
    for axis, size in ((1, x.shape[2]), (0, x.shape[3])):
        up, down = _up(size, x.dtype, x.device), _down(size, x.dtype, x.device)
        place = maps[:, axis, axis, None] * _places(size, x) + maps[:, axis, 2, None]
        sample = _samples(place, size, len(up) - 1)
        first = sample.long().clamp(max=len(up) - 2)
        matrices.append(down @ torch.lerp(up[first], up[first + 1], (sample - first)[:, :, None]))
    rows, columns = matrices
    return _separable(x, rows[:, None], columns[:, None])


def _warp_plane(x: Tensor, maps: Tensor) -> Tensor:
    """Resample by `maps`, each point of the doubled grid from its four neighbours."""
    height, width = x.shape[2:]
    plane = _separable(x, _up(height, x.dtype, x.device), _up(width, x.dtype, x.device))
    result = torch.stack(torch.meshgrid(_places(width, x), _places(height, x), indexing="xy"), dim=2)
    places = torch.einsum("nij,hwj->nhwi", maps[:, :2, :2], result) + maps[:, None, None, :2, 2]
    period = torch.tensor([plane.shape[3] - 1, plane.shape[2] - 1], dtype=x.dtype, device=x.device)
    samples = _samples(places, torch.tensor([width, height], device=x.device), period)
    y = _Bilinear.apply(plane, samples * (2 / period) - 1)
    return _separable(y, _down(height, x.dtype, x.device), _down(width, x.dtype, x.device))


_BILINEAR = (0, 1, True)  # bilinear, beyond the border the border's value, the outermost pixels' centres at -1 and 1


class _Bilinear(torch.autograd.Function):
    """`grid_sample` of x [N, C, H, W] at places [N, H', W', 2], -1 to 1 from the first pixel's centre to the last's.

    PyTorch's own lacked its second derivative for long (its issue 34704). But it is linear in x, so it and its
    transpose are each other's derivatives, however often. The places are constants.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.shape = x.shape
        return torch.grid_sampler_2d(x, places, *_BILINEAR)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _BilinearTransposed.apply(grad, *ctx.saved_tensors, ctx.shape), None


class _BilinearTransposed(torch.autograd.Function):
    """The transpose of `_Bilinear`: each pixel of y [N, C, H', W'] to the four pixels around its place."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, places: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(places)
        x = y.new_zeros(1).expand(shape)  # only its shape counts
        return torch.ops.aten.grid_sampler_2d_backward(y, x, places, *_BILINEAR, [True, False])[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Bilinear.apply(grad, *ctx.saved_tensors), None, None


def _separable(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return [N, C, H', W']: `x` [N, C, H, W] filtered by `rows` [..., H', H] and `columns` [..., W', W]."""
    return rows @ (x @ columns.mT)


def _places(size: int, like: Tensor) -> Tensor:
    """Return where those samples of the doubled grid lie [2 size + 10], in pixels from the centre, that make `size`.

    Every second one lies on a pixel: the filter, nearly symmetric, is centred on its largest tap.
    """
    samples = torch.arange(2 * size + len(SYM6) - 2, dtype=like.dtype, device=like.device) - CENTRE
    return (samples - (size - 1)) / 2


def _samples(place: Tensor, size: Tensor | int, period: Tensor | int) -> Tensor:
    """Return the fractional row of `_up` [period + 1, size] at `place`, pixels from the centre."""
    return torch.remainder(2 * place + (size - 1), period)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _up(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return [period + 1, size]: pixels to a period of their reflected continuation at twice the sampling rate.

    The last sample is the first once more, so that every place lies between two.
    """
    matrix = np.zeros((4 * max(size - 1, 1) + 1, size))
    for tap, value in enumerate(SYM6):
        for sample in range(len(matrix)):
            pixel, between = divmod(sample + CENTRE - tap, 2)
            if not between:
                matrix[sample, _reflected(pixel, size)] += math.sqrt(2) * value
    return torch.from_numpy(matrix).to(device, dtype)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _down(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return [size, 2 size + 10]: samples at `_places` to pixels; undoes `_up`."""
    matrix = np.zeros((size, 2 * size + len(SYM6) - 2))
    for pixel in range(size):
        matrix[pixel, 2 * pixel : 2 * pixel + len(SYM6)] = np.array(SYM6) / math.sqrt(2)
    return torch.from_numpy(matrix).to(device, dtype)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _bands(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return [4, size, size]: a row of pixels to its four frequency bands, lowest first; they sum to the row.

    The paper's filter bank: H(z) H(1/z) / 2 of sym2 keeps the lower half of the band, H(-z) H(-1/z) / 2 the rest, and
    with z squared each splits the lower half again.
    """
    low = np.convolve(SYM2, SYM2[::-1]) / 2
    high = low * (-1.0) ** (np.arange(len(low)) - len(low) // 2)
    kernels, lower = [], np.ones(1)
    for level in range(len(SPECTRUM) - 1):
        spread_low, spread_high = (signal.upfirdn([1.0], kernel, up=2**level) for kernel in (low, high))
        kernels.append(np.convolve(lower, spread_high))
        lower = np.convolve(lower, spread_low)
    matrix = np.zeros((len(SPECTRUM), size, size))
    for band, kernel in enumerate([lower, *reversed(kernels)]):
        for tap, value in enumerate(kernel):
            for pixel in range(size):
                matrix[band, pixel, _reflected(pixel + tap - len(kernel) // 2, size)] += value
    return torch.from_numpy(matrix).to(device, dtype)


def _reflected(pixel: int, size: int) -> int:
    """Return the pixel that stands at `pixel` when a row is continued by reflection, its ends not repeated."""
    if size == 1:
        return 0
    pixel %= 2 * (size - 1)
    return min(pixel, 2 * (size - 1) - pixel)
