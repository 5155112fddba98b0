"""Directions: where styles are read, against closed forms and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synreid.generate.network import new_generator
from synreid.generate.options import GanOptions
from synreid.generate.stylegan2 import StyleGAN2
from synreid.generate.stylegan3 import StyleGAN3
from synreid.invert.directions import camera_differences, pca, sefa, style_weights

GAN = GanOptions(height=16, width=8, w_dim=8, cmax=8, cbase=128, map_depth=2)


@pytest.fixture(scope="module")
def generator() -> StyleGAN2:
    torch.manual_seed(0)
    network = new_generator(GAN).eval()
    assert isinstance(network, StyleGAN2)
    return network


def test_every_layers_maps_are_found(generator: StyleGAN2) -> None:
    """As the network's own code hands them out: a block's to_rgb shares the next block's first style."""
    found = style_weights(generator)
    first, second = generator.blocks[0], generator.blocks[1]
    assert [len(maps) for maps in found] == [1, 2, 1, 2, 1, 1]  # three sizes: the last to_rgb has a style of its own
    torch.testing.assert_close(found[0][0], first.layer.conv.style.weight * first.layer.conv.style.scale)
    expected = [first.to_rgb.conv.style, second.up.conv.style]
    for weight, linear in zip(found[1], expected, strict=True):
        torch.testing.assert_close(weight, linear.weight * linear.scale)


def test_style_weights_of_the_other_generators() -> None:
    torch.manual_seed(0)
    network = new_generator(GanOptions(cfg="stylegan3-t", height=16, width=8, w_dim=8, cmax=8, cbase=128, map_depth=2))
    assert isinstance(network, StyleGAN3)
    assert all(len(maps) == 1 for maps in style_weights(network.eval()))


def test_sefa_moves_the_style_most(generator: StyleGAN2) -> None:
    """No random direction moves what reads the style further than the first; their lengths are singular values."""
    layers = [1, 2]
    a = torch.cat([weight for layer in layers for weight in style_weights(generator)[layer]])
    directions = sefa(generator, layers, 3)
    lengths = (directions @ a.T).norm(dim=1)
    torch.testing.assert_close(directions @ directions.T, torch.eye(3))
    torch.testing.assert_close(lengths, torch.linalg.svdvals(a)[:3])
    random = torch.nn.functional.normalize(torch.randn(200, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    assert (random @ a.T).norm(dim=1).max() <= lengths[0] + 1e-5


def test_pca_explains_most_of_the_styles(generator: StyleGAN2) -> None:
    directions = pca(generator, 2)
    z = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(7))
    w = generator.styles(z)[:, 0].detach()
    spread = ((w - w.mean(dim=0)) @ directions.T).var(dim=0)
    expected = torch.linalg.eigvalsh(torch.cov(w.T)).flip(0)[:2]
    torch.testing.assert_close(spread, expected, rtol=0.1, atol=0)


def test_camera_differences_are_means_over_persons_that_both_saw() -> None:
    rng = np.random.default_rng(0)
    persons = np.array([*"aaaabbbccccd", None], dtype=object)
    cameras = np.array(["1", "1", "2", "3", "1", "2", "2", "1", "2", "2", "3", "1", "1"], dtype=object)
    w = torch.from_numpy(rng.standard_normal((13, 2, 3)).astype(np.float32))
    found = camera_differences(w, persons, cameras)
    steps = []
    for person in "abc":
        means = [w[[i for i in range(13) if (persons[i], cameras[i]) == (person, c)]].mean(dim=0) for c in "12"]
        steps.append(means[1] - means[0])
    assert set(found) == {("1", "2"), ("2", "1")}  # camera 3 shares two persons with each
    torch.testing.assert_close(found["1", "2"], sum(steps) / 3)
    torch.testing.assert_close(found["2", "1"], -found["1", "2"])
