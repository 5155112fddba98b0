from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from synreid.generate.network import load_generator
from synreid.generate.options import GanOptions
from synreid.generate.resample import LowPass, down_matrix, separable_parts, up_matrix
from synreid.generate.stylegan3 import LAYERS, StyleGAN3, bands
from synreid.generate.train import train_gan

SMALL = GanOptions(height=32, width=16, cmax=8, cbase=128, w_dim=8)
NETWORKS = ("stylegan3-t", "stylegan3-r")


@pytest.mark.parametrize("up", [2, 4])
@pytest.mark.parametrize("inputs", [9, 16])
def test_up_sampling_by_a_matrix_is_zeros_and_a_filter(up: int, inputs: int) -> None:
    kernel = LowPass(6 * up, 4.0, 2.0, 32.0).separable()
    x = torch.randn(inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = torch.from_numpy(up_matrix(kernel, up, inputs, 40)) @ x
    expected = np.zeros(40)
    for j in range(40):
        for i in range(inputs):
            tap = (j - 39 / 2) - up * (i - (inputs - 1) / 2) + (len(kernel) - 1) / 2
            assert tap == int(tap)
            if 0 <= tap < len(kernel):
                expected[j] += up * kernel[int(tap)] * float(x[i])
    np.testing.assert_allclose(made, expected, atol=1e-12)


def test_down_sampling_by_a_matrix_is_a_convolution_with_a_stride() -> None:
    kernel = LowPass(12, 4.0, 2.0, 32.0).separable()
    x = torch.randn(2 * 9 + 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = functional.conv1d(x[None, None], torch.from_numpy(kernel)[None, None], stride=2)[0, 0]
    made = torch.from_numpy(down_matrix(kernel, 2, len(x), len(expected))) @ x
    torch.testing.assert_close(made, expected)


def test_a_slow_wave_passes_both_ways_unchanged() -> None:
    rate, inner = 16.0, 64.0
    places = (np.arange(64) - 63 / 2) / rate
    fine = (np.arange(200) - 199 / 2) / inner
    kernel = LowPass(24, 4.0, 4.0, inner).separable()
    up = up_matrix(kernel, 4, 64, 200) @ np.sin(2 * np.pi * 0.5 * places)
    assert np.abs(up - np.sin(2 * np.pi * 0.5 * fine))[30:-30].max() < 0.02
    fast = np.sin(2 * np.pi * 13.0 * fine)  # would come back as a slow wave without the filter
    assert np.abs(down_matrix(kernel, 4, 200, 44) @ fast)[8:-8].max() < 0.02


def test_radial_filter_is_the_same_in_every_direction_and_a_sum_of_few_separable_ones() -> None:
    kernel = LowPass(24, 8.0, 4.0, 64.0).radial()
    assert kernel.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-12)
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-12)
    parts = separable_parts(kernel, 1e-3)
    error = np.linalg.norm(sum(np.outer(a, b) for a, b in parts) - kernel) / np.linalg.norm(kernel)
    assert error < 1e-3
    assert len(parts) < 8
    assert np.linalg.norm(sum(np.outer(a, b) for a, b in parts[:-1]) - kernel) / np.linalg.norm(kernel) > 1e-3


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("height", "width"), [(64, 32), (128, 48), (48, 80), (33, 17)])
def test_any_rectangle(height: int, width: int, network: str) -> None:
    options = dataclasses.replace(SMALL, height=height, width=width)
    generator = StyleGAN3(dataclasses.replace(options, cfg=network))
    assert generator.num_ws == LAYERS + 2
    with torch.no_grad():
        assert generator.synthesize(generator.styles(torch.randn(2, 8))).shape == (2, 3, height, width)


def test_bands_grow_from_the_papers_first_to_the_pictures_last() -> None:
    found = bands(dataclasses.replace(SMALL, height=256, width=128), radial=False)
    assert [band.cutoff for band in (found[0], found[-1])] == pytest.approx([2.0, 128.0])
    assert found[0].rate == 16
    assert all(a.cutoff <= b.cutoff and a.rate <= b.rate for a, b in itertools.pairwise(found))
    assert (found[-1].height, found[-1].width) == (256, 128)
    assert all(2 * band.cutoff <= band.rate for band in found)


def decibels(difference: Tensor) -> float:
    """Return the paper's PSNR of an equivariance error: pictures span 2 (equation 21)."""
    return float(10 * torch.log10(4 / difference.square().mean()))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_moved_input_moves_the_picture(network: str) -> None:
    torch.manual_seed(0)
    generator = StyleGAN3(dataclasses.replace(SMALL, cfg=network)).eval()
    with torch.no_grad():
        w = generator.styles(torch.randn(8, 8))
        still = generator.synthesize(w)
        moved = generator.synthesize(w, transform=torch.tensor([[1.0, 0, -4 / 32], [0, 1.0, 0]]))
        shuffled = decibels(still[1:] - still[:-1])
    assert decibels(moved[:, :, :, 4:] - still[:, :, :, :-4]) > max(50.0, shuffled + 20)


def test_only_r_turns_with_its_input() -> None:
    square = dataclasses.replace(SMALL, height=32, width=32)
    found = {}
    for network in NETWORKS:
        torch.manual_seed(0)
        generator = StyleGAN3(dataclasses.replace(square, cfg=network)).eval()
        with torch.no_grad():
            w = generator.styles(torch.randn(8, 8))
            turned = generator.synthesize(w, transform=torch.tensor([[0.0, -1, 0], [1, 0, 0]]))
            still = generator.synthesize(w)
        found[network] = max(decibels(torch.rot90(still, k, (2, 3)) - turned) for k in (1, 3))
    assert found["stylegan3-r"] > 50
    assert found["stylegan3-t"] < 40


def test_network_is_trained_saved_and_read_again(
    tmp_path: Path, train_table: pa.Table, tiny_options: GanOptions
) -> None:
    options = dataclasses.replace(tiny_options, cfg="stylegan3-t", kimg=0.032)
    out = train_gan(train_table, tmp_path / "gan", options)
    generator = load_generator(out)
    assert isinstance(generator, StyleGAN3)
    assert not math.isclose(float(generator.layers[3].magnitude), 1.0)
    on = train_gan(train_table, tmp_path / "on", dataclasses.replace(options, start=str(out)))
    assert isinstance(load_generator(on), StyleGAN3)
