from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage, signal
from scipy.spatial.transform import Rotation
from torch import Tensor

from synreid.generate import augment as module
from synreid.generate.augment import PIPES, SYM6, TRANSFORMS, UPRIGHT, adapt, amplify, augment, cutout, rotate90, warp
from synreid.generate.augment import transforms_of as expand
from synreid.stage.errors import UserError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, 3, height, width, generator=seeded(1)).to(dtype)


def draws(n: int = 4000, p: float = 1.0) -> module._Draws:
    return module._Draws(n, p, seeded(2))


# Names


def test_groups_expand_in_the_paper_s_order() -> None:
    assert expand(["bgc"]) == TRANSFORMS[:12]
    assert expand(["bgcfnc"]) == TRANSFORMS
    assert expand(["cutout", "hue", "blit", "xint"]) == ("xflip", "rotate90", "xint", "hue", "cutout")
    assert expand(["upright"]) == UPRIGHT
    assert expand([]) == ()
    for longer, shorter, added in (("bg", "blit", "geom"), ("bgc", "bg", "color"), ("bgcf", "bgc", "filter")):
        assert PIPES[longer] == PIPES[shorter] + PIPES[added]


def test_unknown_name_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"'bcg'.*bgc.*imgfilter"):
        expand(["bcg"])
    with pytest.raises(UserError, match="'flip'"):
        augment(noise(1, 4, 4), 0.5, seeded(), ("flip",))


# The whole


def test_no_probability_changes_nothing_and_the_seed_decides() -> None:
    x = noise(6, 16, 8)
    assert augment(x, 0.0, seeded(), TRANSFORMS) is x
    one, two, other = (augment(x, 0.8, seeded(seed), TRANSFORMS) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_share_of_changed_pictures_is_the_probability(name: str) -> None:
    x = noise(800, 8, 8)
    share = ((augment(x, 0.36, seeded(), (name,)) - x).abs().amax((1, 2, 3)) > 1e-4).double().mean()
    # Some draws are the neutral one: no flip, no turn, a shift that rounds to 0 in both directions.
    expected = 0.36 * {"xflip": 1 / 2, "rotate90": 3 / 4, "xint": 3 / 4, "lumaflip": 1 / 2}.get(name, 1)
    expected = 1 - 0.64**4 if name == "imgfilter" else expected  # each of its bands is a coin of its own
    assert float(share) == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 800))


@pytest.mark.parametrize("size", [(33, 17), (17, 33), (16, 16), (2, 3)])
def test_any_rectangle_keeps_its_shape(size: tuple[int, int]) -> None:
    y = augment(noise(8, *size), 0.7, seeded(), TRANSFORMS)
    assert y.shape == (8, 3, *size)
    assert bool(y.isfinite().all())


def test_a_picture_does_not_depend_on_its_neighbours() -> None:
    x = noise(6, 12, 8)
    other = x.clone()
    other[:5] = 0
    one, two = (augment(pictures, 0.7, seeded(3), TRANSFORMS)[5] for pictures in (x, other))
    assert torch.allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("names", [PIPES["blit"], PIPES["color"], ("hue", "imgfilter", "noise", "cutout")])
def test_transforms_follow_one_another(names: tuple[str, ...]) -> None:
    x, one_by_one = noise(50, 16, 16), seeded(4)
    y = x
    for name in names:
        y = augment(y, 0.7, one_by_one, (name,))
    assert torch.allclose(y, augment(x, 0.7, seeded(4), names), atol=3e-5)


def test_half_precision_is_worked_on_in_float32_also_under_autocast() -> None:
    x = noise(8, 16, 8).to(torch.bfloat16)
    exact = augment(x.float(), 0.8, seeded(5), TRANSFORMS)
    with torch.autocast("cpu", torch.bfloat16):
        y = augment(x, 0.8, seeded(5), TRANSFORMS)
        same = augment(x.float(), 0.8, seeded(5), TRANSFORMS)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, exact.to(torch.bfloat16))
    assert torch.equal(same, exact)


def test_differentiates_twice() -> None:
    x = noise(4, 5, 4, torch.float64).requires_grad_()

    def squared(pictures: Tensor) -> Tensor:
        return augment(pictures, 0.9, seeded(6), TRANSFORMS).square()

    assert torch.autograd.gradcheck(squared, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(squared, (x,), fast_mode=True)


def test_gradient_penalty_through_every_transform_teaches_a_network() -> None:
    x = noise(8, 16, 8).requires_grad_()
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Softplus(), torch.nn.Flatten())
    (slope,) = torch.autograd.grad(network(augment(x, 1.0, seeded(), TRANSFORMS)).sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert bool((slope.abs().amax((1, 2, 3)) > 0).all())
    assert all(float(weight.grad.abs().sum()) > 0 for weight in [network[0].weight, network[0].bias])


# Pixel blitting


def test_xflip_mirrors_half_of_the_pictures() -> None:
    x = noise(400, 6, 5)
    y = augment(x, 1.0, seeded(), ("xflip",))
    flipped = torch.tensor([torch.equal(a, b.flip(2)) for a, b in zip(y, x, strict=True)])
    same = torch.tensor([torch.equal(a, b) for a, b in zip(y, x, strict=True)])
    assert bool((flipped ^ same).all())
    assert 0.4 < float(flipped.double().mean()) < 0.6


def test_rotate90_is_that_of_numpy() -> None:
    x = noise(4, 6, 6)
    y = rotate90(x, torch.arange(4))
    for turns in range(4):
        np.testing.assert_array_equal(y[turns], np.rot90(x[turns], turns, axes=(1, 2)))


def test_oblong_pictures_are_turned_upside_down_only() -> None:
    x = noise(100, 6, 5)
    y = augment(x, 1.0, seeded(), ("rotate90",))
    turned = [torch.equal(a, b.flip(1, 2)) for a, b in zip(y, x, strict=True)]
    assert all(turn or torch.equal(a, b) for turn, a, b in zip(turned, y, x, strict=True))
    assert 30 < sum(turned) < 70


def test_xint_shifts_by_whole_pixels_up_to_an_eighth_with_reflected_edges() -> None:
    x = noise(200, 16, 24)
    y = augment(x, 1.0, seeded(), ("xint",)).numpy()
    padded = np.pad(x, ((0, 0), (0, 0), (4, 4), (4, 4)), mode="reflect")
    met = set()
    for n, (down, right) in itertools.product(range(len(x)), itertools.product(range(-4, 5), repeat=2)):
        if np.allclose(y[n], padded[n, :, 4 - down : 20 - down, 4 - right : 28 - right], atol=1e-5):
            met.add((down, right))
            y[n] = np.nan
    assert np.isnan(y).all()
    assert {down for down, _ in met} == set(range(-2, 3))
    assert {right for _, right in met} == set(range(-3, 4))


# Geometry


def test_filter_is_the_least_asymmetric_orthogonal_one_of_six_vanishing_moments() -> None:
    taps = np.array(SYM6)
    for shift in range(6):
        assert taps[2 * shift :] @ taps[: 12 - 2 * shift] == pytest.approx(float(shift == 0), abs=1e-14)
    for power in range(6):
        assert abs(np.sum((-1.0) ** np.arange(12) * (np.arange(12) / 12) ** power * taps)) < 1e-13
    # Daubechies: |H|^2 is a polynomial; each choice between its roots inside and outside of the circle is a filter.
    roots = []
    for y in np.roots([math.comb(5 + k, k) for k in range(6)][::-1]):
        pair = np.roots([1, 4 * y - 2, 1])
        roots.append(pair[np.argmin(np.abs(pair))])
    real = [root for root in roots if abs(root.imag) < 1e-9]
    complex_ = [root for root in roots if root.imag >= 1e-9]
    filters = []
    for inverted in itertools.product([False, True], repeat=len(real) + len(complex_)):
        chosen: list[complex] = [-1.0] * 6
        for root, invert in zip([*real, *complex_], inverted, strict=True):
            root = 1 / root if invert else root
            chosen += [root] if abs(root.imag) < 1e-9 else [root, root.conjugate()]
        found = np.real(np.poly(chosen))
        filters.append(found * math.sqrt(2) / found.sum())

    def asymmetry(found: np.ndarray) -> float:
        omega = np.linspace(0.05, 2.8, 200)
        phase = np.unwrap(np.angle(signal.freqz(found, worN=omega)[1]))
        return float(np.abs(phase - omega * (omega @ phase) / (omega @ omega)).max())

    least = min(asymmetry(found) for found in filters)
    nearest = min(filters, key=lambda found: float(np.abs(found - taps).max()))
    np.testing.assert_allclose(taps, nearest, atol=1e-12)
    assert asymmetry(nearest) == pytest.approx(least)


def slow_warp(picture: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Resample one channel [H, W] step by step, on a picture continued far enough."""
    height, width = picture.shape
    pad = 3 * max(height, width)
    taps = np.array(SYM6)
    y = np.pad(picture, pad, mode="reflect")
    for axis in (0, 1):  # the sixth tap on the pixel
        y = signal.upfirdn(math.sqrt(2) * taps, y, up=2, axis=axis)
    y = y[5:, 5:]
    rows, columns = np.mgrid[-10 : 2 * height + 10, -10 : 2 * width + 10] / 2
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    places = np.stack([columns - centre[0], rows - centre[1], np.ones_like(rows)])
    across, down, _ = np.einsum("ij,jhw->ihw", inverse, places)
    y = ndimage.map_coordinates(y, [2 * (down + centre[1] + pad), 2 * (across + centre[0] + pad)], order=1)
    for axis in (0, 1):
        y = signal.upfirdn(taps[::-1] / math.sqrt(2), y, down=2, axis=axis)
    return y[8 : 8 + height, 8 : 8 + width]


@pytest.mark.parametrize("size", [(12, 12), (33, 17), (7, 16)])
@pytest.mark.parametrize("turned", [False, True])
def test_warp_is_the_padded_upsampled_bilinear_downsampled_picture(size: tuple[int, int], turned: bool) -> None:
    x = noise(6, *size, torch.float64)
    names = [name for name in TRANSFORMS if turned or name != "rotate"]
    maps = module._maps(draws(6), names, *size).double()
    y = warp(x, maps)
    for n, channel in itertools.product(range(6), range(3)):
        np.testing.assert_allclose(y[n, channel], slow_warp(x[n, channel].numpy(), maps[n].numpy()), atol=1e-5)


def test_both_ways_to_warp_agree() -> None:
    x = noise(6, 20, 11, torch.float64)
    maps = module._maps(draws(6), UPRIGHT, 20, 11).double()
    turned = maps.clone()
    turned[:, 0, 1] = 1e-300
    assert torch.allclose(warp(x, maps), warp(x, turned), atol=1e-12)


@pytest.mark.parametrize("off", [0.0, 1e-300])
def test_the_identity_returns_the_picture(off: float) -> None:
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 3e-6)):
        maps = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
        maps[:, 0, 1] = off
        x = noise(2, 33, 17, dtype)
        assert torch.allclose(warp(x, maps), x, atol=tolerance)


@pytest.mark.parametrize(
    "change", [[[1, 0, 2.3], [0, 1, -1.6]], [[0.9, 0, 0], [0, 1.1, 0]], [[0.8, -0.6, 1.0], [0.6, 0.8, 0.5]]]
)
def test_a_smooth_picture_is_moved_scaled_and_turned_as_its_formula(change: list[list[float]]) -> None:
    height, width = 48, 40
    inverse = np.array([*change, [0, 0, 1]])
    down, across = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]

    def formula(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.cos(0.25 * x + 0.4) * np.cos(0.2 * y - 0.3)

    x, y, _ = np.einsum("ij,jhw->ihw", inverse, np.stack([across, down, np.ones_like(down)]))
    picture = torch.from_numpy(formula(across, down)).expand(1, 3, -1, -1)
    made = warp(picture, torch.from_numpy(inverse)[None])[0, 0].numpy()
    inside = (np.abs(x) < width / 2 - 5) & (np.abs(y) < height / 2 - 5)
    assert inside.mean() > 0.3
    assert np.abs(made - formula(x, y))[inside].max() < 0.012


def test_geometry_has_the_paper_s_strengths() -> None:
    maps = module._maps(draws(), ("scale",), 40, 20)
    assert torch.allclose(maps[:, 0, 0], maps[:, 1, 1])
    assert float(maps[:, 0, 0].log2().std()) == pytest.approx(0.2, rel=0.05)
    maps = module._maps(draws(), ("aniso",), 40, 20)
    assert torch.allclose(maps[:, 0, 0] * maps[:, 1, 1], torch.ones(4000))
    assert float(maps[:, 0, 0].log2().std()) == pytest.approx(0.2, rel=0.05)
    maps = module._maps(draws(), ("xfrac",), 40, 20)
    assert float(maps[:, 0, 2].std()) == pytest.approx(20 / 8, rel=0.05)
    assert float(maps[:, 1, 2].std()) == pytest.approx(40 / 8, rel=0.05)
    maps = module._maps(draws(), ("rotate",), 40, 20)
    angles = torch.atan2(maps[:, 1, 0], maps[:, 0, 0])
    assert torch.allclose(maps.det(), torch.ones(4000), atol=1e-5)
    assert torch.histc(angles, 4, -math.pi, math.pi).min() > 4000 / 4 * 0.9


def test_steps_are_undone_in_reverse_order() -> None:
    one_by_one, place = seeded(2), torch.ones(20, 3, 1)
    names = ("xint", "scale", "aniso", "xfrac")
    forward = place
    for name in names:
        forward = module._maps(module._Draws(20, 1.0, one_by_one), (name,), 40, 20).inverse() @ forward
    assert torch.allclose(module._maps(draws(20), names, 40, 20) @ forward, place, atol=1e-4)


# Colour


def colours(name: str, n: int = 4000) -> Tensor:
    return module._colours(draws(n), (name,)).double()


def test_colour_strengths_and_forms() -> None:
    eye, luma = torch.eye(3, dtype=torch.float64), torch.full((3, 3), 1 / 3, dtype=torch.float64)
    brightness = colours("brightness")[:, :3]
    assert torch.equal(brightness[:, :, :3], eye.expand(4000, 3, 3))
    assert torch.equal(brightness[:, :, 3:], brightness[:, :1, 3:].expand(-1, 3, -1))
    assert float(brightness[:, 0, 3].std()) == pytest.approx(0.2, rel=0.05)
    contrast = colours("contrast")[:, :3]
    factor = contrast[:, 0, 0, None, None]
    assert torch.allclose(contrast[:, :, :3], factor * eye)
    assert float(factor.log2().std()) == pytest.approx(0.5, rel=0.05)
    saturation = colours("saturation")[:, :3, :3]
    factor = (saturation[:, 0, 0] - saturation[:, 0, 1])[:, None, None]
    assert torch.allclose(saturation, luma + factor * (eye - luma), atol=1e-5)
    assert float(factor.log2().std()) == pytest.approx(1.0, rel=0.05)
    for name in ("contrast", "lumaflip", "hue", "saturation"):
        made = colours(name, 5)
        assert torch.equal(made[:, :3, 3], torch.zeros(5, 3))
        assert torch.equal(made[:, 3], torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(5, 4))


def test_hue_turns_about_the_grey_axis() -> None:
    hue = colours("hue")[:, :3, :3]
    angles = torch.atan2(math.sqrt(3) * (hue[:, 1, 0] - hue[:, 0, 1]) / 2, (hue.diagonal(0, 1, 2).sum(1) - 1) / 2)
    axis = np.full(3, 1 / math.sqrt(3))
    oracle = Rotation.from_rotvec(angles.numpy()[:, None] * axis).as_matrix()
    np.testing.assert_allclose(hue, oracle, atol=1e-5)
    assert torch.histc(angles, 4, -math.pi, math.pi).min() > 4000 / 4 * 0.9
    x = noise(20, 4, 4)
    y = augment(x, 1.0, seeded(), ("hue",))
    assert torch.allclose(y.mean(1), x.mean(1), atol=1e-5)
    assert torch.allclose(y.norm(dim=1), x.norm(dim=1), atol=1e-5)


def test_lumaflip_negates_luma_keeps_chroma_and_undoes_itself() -> None:
    x = noise(40, 4, 4)
    y = augment(x, 1.0, seeded(), ("lumaflip",))
    flipped = (y - x).abs().amax((1, 2, 3)) > 1e-3
    assert 10 < int(flipped.sum()) < 30
    assert torch.allclose(y.mean(1)[flipped], -x.mean(1)[flipped], atol=1e-5)
    assert torch.allclose(y - y.mean(1, keepdim=True), x - x.mean(1, keepdim=True), atol=1e-5)
    assert torch.allclose(augment(y, 1.0, seeded(), ("lumaflip",)), x, atol=1e-5)


# Filtering and corruptions


@pytest.mark.parametrize("size", [(32, 16), (9, 33), (5, 4)])
def test_unit_gains_reproduce_the_picture(size: tuple[int, int]) -> None:
    x = noise(3, *size)
    assert torch.allclose(amplify(x, torch.ones(3, 4)), x, atol=1e-5)


def test_a_wave_is_amplified_by_the_gains_of_its_bands() -> None:
    size = 41
    gains = torch.rand(1, 4, generator=seeded()).double() + 0.5

    def low(omega: float) -> float:  # |H|^2 / 2 of Daubechies's filter of two vanishing moments
        return math.cos(omega / 2) ** 4 * (1 + 2 * math.sin(omega / 2) ** 2)

    for waves in range(size):
        omega = math.pi * waves / (size - 1)  # reflection at the ends continues this wave
        below = [1.0, low(omega), low(omega) * low(2 * omega), low(omega) * low(2 * omega) * low(4 * omega)]
        shares = [below[3], below[2] - below[3], below[1] - below[2], below[0] - below[1]]
        assert sum(shares) == pytest.approx(1)
        wave = torch.cos(omega * torch.arange(size, dtype=torch.float64))[:, None].expand(1, 3, size, 6)
        expected = wave * (gains[0] @ torch.tensor(shares, dtype=torch.float64)) * gains[0, 0]  # a column is one band
        assert torch.allclose(amplify(wave, gains), expected, atol=1e-6)


def test_gains_keep_the_power_that_a_picture_is_expected_to_have() -> None:
    gains = module._gains(draws(4000, 0.1))
    alone = torch.stack([(gains - each).abs().lt(1e-6).sum(1) for each in gains.split(1, 1)]).amax(0) == 3
    assert 800 < int(alone.sum()) < 1500
    power = torch.tensor([10.0, 1.0, 1.0, 1.0]) / 13
    assert torch.allclose((gains[alone].square() * power).sum(1), torch.ones(int(alone.sum())), atol=1e-5)
    ratios = (gains / gains.median(1, keepdim=True).values).log2()[alone]
    assert float(ratios[ratios.abs() > 1e-4].std()) == pytest.approx(1.0, rel=0.1)


def test_noise_has_a_half_normal_strength() -> None:
    x = torch.zeros(2000, 3, 8, 8)
    y = augment(x, 1.0, seeded(), ("noise",))
    strengths = y.square().mean((1, 2, 3)).sqrt()
    assert float(strengths.square().mean().sqrt()) == pytest.approx(0.1, rel=0.05)
    assert float(strengths.mean()) == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.05)
    assert abs(float(y.mean())) < 1e-3
    assert abs(float((y[:, 0] * y[:, 1]).mean())) < 1e-3


@pytest.mark.parametrize("size", [(16, 8), (9, 13)])
def test_cutout_blackens_half_of_each_side(size: tuple[int, int]) -> None:
    height, width = size
    centres = torch.rand(30, 2, generator=seeded())
    centres[0] = 0.5
    y = cutout(torch.ones(30, 3, height, width), centres)
    for n, (x_share, y_share) in enumerate(centres.tolist()):
        for row, column in itertools.product(range(height), range(width)):
            in_rows = abs((row + 0.5) / height - y_share) < 0.25
            in_columns = abs((column + 0.5) / width - x_share) < 0.25
            assert bool((y[n, :, row, column] == 0).all()) == (in_rows and in_columns)
    if height % 2 == width % 2 == 0:
        assert float(y[0].mean()) == pytest.approx(0.75)


def test_cutout_takes_somewhat_less_than_a_quarter() -> None:
    y = augment(torch.ones(2000, 3, 16, 8), 1.0, seeded(), ("cutout",))
    # Of a centre spread over 0 to 1, half a side of 1/2 stays inside for 7/8 in the mean.
    assert float((y == 0).double().mean()) == pytest.approx((7 / 16) ** 2, abs=0.01)


# Adaptation


def test_probability_moves_towards_the_target_and_stays_within_bounds() -> None:
    assert adapt(0.5, sign=0.9, target=0.6, shown=500, ada_kimg=50) == pytest.approx(0.51)
    assert adapt(0.5, sign=0.1, target=0.6, shown=500, ada_kimg=50) == pytest.approx(0.49)
    assert adapt(0.0, sign=0.1, target=0.6, shown=500, ada_kimg=50) == 0.0
    assert adapt(1.0, sign=0.9, target=0.6, shown=500, ada_kimg=50) == 1.0
