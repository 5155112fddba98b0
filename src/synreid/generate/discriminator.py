"""The discriminator that all generators train against: StyleGAN2's residual one, with input skips.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 4.1 and figure 7.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synreid.generate.layers import EqualConv, EqualLinear, activate, unit
from synreid.generate.options import GanOptions
from synreid.generate.stylegan2 import channels_at, resolutions
from synreid.stage.errors import UserError

STD_GROUP = 4  # pictures over which the discriminator sees a standard deviation


class DiscriminatorBlock(nn.Module):
    """A residual block that halves height and width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = EqualConv(inputs, inputs, 3)
        self.down = EqualConv(inputs, outputs, 3, down=True)
        self.skip = EqualConv(inputs, outputs, 1, down=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = activate(self.down(activate(self.conv(x))))
        return (self.skip(x) + y) / math.sqrt(2.0)


class Discriminator(nn.Module):
    """From pictures [N, 3, H, W] in about -1 to 1 to logits [N]: above zero means real.

    Residual blocks, and at each size the halved picture comes in anew. Figure 7 of the paper shows the two as
    alternatives; with both, a discriminator that grows by a finer block, whose part starts at nothing, begins as the
    one that it grew from. With `classes`, the logit is a projection on the embedded class (Miyato and Koyama 2018, as
    in Karras et al. 2020, ADA). Pictures that cannot be halved often enough are continued to the right and below.
    """

    def __init__(self, options: GanOptions, classes: int = 0) -> None:
        super().__init__()
        self.classes, self.size = classes, judged_size(options.height, options.width)
        self.sizes = resolutions(*self.size)[::-1]
        channels = [channels_at(options, h) for h, _ in self.sizes]
        self.from_rgb = nn.ModuleList(EqualConv(3, c, 1) for c in channels)
        self.blocks = nn.ModuleList(DiscriminatorBlock(a, b) for a, b in pairwise(channels))
        self.conv = EqualConv(channels[-1] + 1, channels[-1], 3)
        self.hidden = EqualLinear(channels[-1] * self.sizes[-1][0] * self.sizes[-1][1], channels[-1])
        self.logit = EqualLinear(channels[-1], channels[-1] if classes else 1)
        self.embed = EqualLinear(classes, channels[-1]) if classes else None

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return logits for pictures and, if there are classes, their numbers, int64 [N]."""
        missing = [side - now for side, now in zip(self.size, x.shape[2:], strict=True)]
        if any(missing):
            x = F.pad(x, (0, missing[1], 0, missing[0]), mode="replicate")
        picture = x.contiguous(memory_format=torch.channels_last)
        x = activate(self.from_rgb[0](picture))
        for block, from_rgb in zip(self.blocks, self.from_rgb[1:], strict=True):
            picture = F.avg_pool2d(picture, 2)
            x = block(x) + activate(from_rgb(picture))
        x = activate(self.conv(append_deviation(x)))
        x = self.logit(activate(self.hidden(x.flatten(1)))).float()
        if self.embed is None:
            return x.squeeze(1)
        assert classes is not None, "a class-conditional discriminator needs a class for each picture"
        wanted = unit(self.embed(F.one_hot(classes, self.classes).float()))
        return (x * wanted).sum(1) / math.sqrt(x.shape[1])

    def finest(self, count: int) -> list[nn.Module]:
        """Return the first `count` blocks with what feeds them, for Freeze-D (Mo et al. 2020)."""
        return [*self.from_rgb[:count], *self.blocks[:count]]


def judged_size(height: int, width: int) -> tuple[int, int]:
    """Return the size HxW, at least the picture's, that can be halved to a small map."""
    try:
        resolutions(height, width)
    except UserError:
        halvings = max(1, math.floor(math.log2(max(2, min(height, width) / 2))))
        height, width = (math.ceil(side / 2**halvings) * 2**halvings for side in (height, width))
        resolutions(height, width)  # raises for a size such as 512x8
    return height, width


def append_deviation(x: Tensor) -> Tensor:
    """Append to `x` [N, C, H, W] a channel with the mean standard deviation over groups of pictures.

    Karras et al. 2018, section 3: it shows the discriminator a generator that makes few looks.
    """
    n, _, h, w = x.shape
    group = math.gcd(n, STD_GROUP)
    grouped = x.float().reshape(group, n // group, -1)
    deviation = (grouped.var(0, correction=0) + 1e-8).sqrt().mean(1)  # [N / group]
    return torch.cat([x, deviation.repeat(group).reshape(n, 1, 1, 1).expand(n, 1, h, w).to(x.dtype)], dim=1)
