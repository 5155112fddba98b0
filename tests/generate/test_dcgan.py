from __future__ import annotations

import dataclasses

import pytest
import torch

from synreid.generate.dcgan import DCGAN, DCGANDiscriminator
from synreid.generate.network import new_discriminator, new_generator
from synreid.generate.options import GAN_PRESETS, GanOptions
from synreid.stage.errors import UserError

SMALL = GanOptions(cfg="dcgan", cmax=8, cbase=128, w_dim=8, gamma=0)


@pytest.mark.parametrize("size", [(64, 32), (128, 48), (64, 64)])
def test_pictures_of_any_rectangle_within_their_range(size: tuple[int, int]) -> None:
    options = dataclasses.replace(SMALL, height=size[0], width=size[1])
    generator, discriminator = new_generator(options), new_discriminator(options)
    assert isinstance(generator, DCGAN)
    assert isinstance(discriminator, DCGANDiscriminator)
    pictures = generator.synthesize(generator.styles(torch.randn(4, 8)))
    assert pictures.shape == (4, 3, *size)
    assert float(pictures.detach().abs().max()) <= 1
    assert discriminator(pictures).shape == (4,)


def test_z_is_its_only_style() -> None:
    generator = new_generator(SMALL)
    z = torch.randn(4, 8)
    assert generator.num_ws == 1
    assert torch.equal(generator.styles(z)[:, 0], z)
    assert torch.equal(generator.styles(z, 0.5)[:, 0], z / 2)  # its mean is zero


def test_weights_begin_as_the_paper_draws_them() -> None:
    torch.manual_seed(0)
    generator = new_generator(dataclasses.replace(SMALL, cmax=64, cbase=1024))
    weight = generator.ups[0].weight  # type: ignore[union-attr, index]
    assert float(weight.std()) == pytest.approx(0.02, rel=0.05)


def test_picture_depends_on_its_own_z_only_once_trained() -> None:
    generator = new_generator(SMALL).eval()
    z = torch.randn(4, 8)
    with torch.no_grad():
        alone = generator.synthesize(generator.styles(z[:1]))
        together = generator.synthesize(generator.styles(z))
    torch.testing.assert_close(alone, together[:1])


def test_preset_is_the_papers_network() -> None:
    options = GanOptions(height=64, width=64, **GAN_PRESETS["dcgan"])
    generator = new_generator(options)
    assert [up.weight.shape[0] for up in generator.ups] == [512, 512, 256, 128]  # type: ignore[union-attr]
    assert generator.betas == (0.5, 0.999)


def test_classes_are_refused() -> None:
    with pytest.raises(UserError, match="dcgan takes neither cond nor pl_weight"):
        dataclasses.replace(SMALL, cond="pid")
