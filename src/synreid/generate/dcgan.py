"""DCGAN for pictures of any height and width that halve to a small map: what the label papers drew their pictures with.

Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
figure 1 and section 3. Zheng et al. 2017 (LSRO), Huang et al. 2019 (MpRL) and Ainam et al. 2019 (SLSR) label its
pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synreid.generate.generator import Generator
from synreid.generate.options import GanOptions
from synreid.generate.stylegan2 import channels_at, resolutions

DEVIATION = 0.02  # of the initial weights
BETAS = (0.5, 0.999)


class Identity(nn.Module):
    """The mapping of a network without styles: z is the style. Its mean is zero, as z's is."""

    mean: Tensor

    def __init__(self, w_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(w_dim))

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        return z.float()


class DCGAN(Generator):
    """DCGAN's generator: z is projected to a small map, which transposed convolutions double up to the picture.

    It has one style, z itself, so styles cannot be mixed. Conditional training is not part of the paper.
    """

    num_ws = 1
    betas = BETAS

    def __init__(self, options: GanOptions, classes: Sequence[str] = ()) -> None:
        super().__init__(options, classes)
        self.mapping = Identity(options.w_dim)
        self.sizes = resolutions(options.height, options.width)
        channels = [channels_at(options, h) for h, _ in self.sizes[:-1]]
        base = self.sizes[0][0] * self.sizes[0][1]
        self.project = nn.Linear(options.w_dim, channels[0] * base, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in channels)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=b == 3) for a, b in pairwise([*channels, 3]))
        self.apply(_initial)

    def synthesize(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
        del noise
        x = self.project(w[:, 0]).reshape(len(w), -1, *self.sizes[0])
        for norm, up in zip(self.norms, self.ups, strict=True):
            x = up(F.relu(norm(x)))
        return torch.tanh(x.float())


class DCGANDiscriminator(nn.Module):
    """DCGAN's discriminator: strided convolutions, from pictures [N, 3, H, W] to logits [N]."""

    def __init__(self, options: GanOptions, classes: int = 0) -> None:
        super().__init__()
        del classes
        self.sizes = resolutions(options.height, options.width)[::-1]
        channels = [channels_at(options, h) for h, _ in self.sizes[1:]]
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, bias=a == 3) for a, b in pairwise([3, *channels]))
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in channels[1:])  # not behind the picture itself
        self.logit = nn.Linear(channels[-1] * self.sizes[-1][0] * self.sizes[-1][1], 1)
        self.apply(_initial)

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return logits; there are no classes."""
        del classes
        for number, down in enumerate(self.downs):
            x = down(x)
            x = F.leaky_relu(self.norms[number - 1](x) if number else x, 0.2)
        return self.logit(x.flatten(1)).float().squeeze(1)

    def finest(self, count: int) -> list[nn.Module]:
        """Return the first `count` convolutions with their norms, for Freeze-D (Mo et al. 2020)."""
        return [*self.downs[:count], *self.norms[: max(0, count - 1)]]


def _initial(module: nn.Module) -> None:
    """Draw weights as the paper does; a norm's scale lies around 1."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, DEVIATION)
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, DEVIATION)
