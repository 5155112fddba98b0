"""A second opinion for the generator: small discriminators on the features of a frozen network that knows pictures.

Kumari et al. 2022, "Ensembling Off-the-shelf Models for GAN Training" (vision-aided GAN): beside the discriminator, a
pretrained network judges too, which is worth most where pictures are few. The multi-scale features, their random
projections and the hinge loss are those of Sauer et al. 2021, "Projected GANs Converge Faster", section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from synreid.features.embedders import efficientnet_lite0

HEIGHT = 128  # pixels at which EfficientNet-Lite0 sees a person, or the picture's own height where that is more
STAGES = (1, 2, 4, 6)  # of EfficientNet-Lite0: the last ones at 1/4, 1/8, 1/16, 1/32 of the picture
CHANNELS = (24, 40, 112, 320)  # that these give
PROJECTED = (64, 96, 128, 128)  # channels after the random projection
WIDTH = 128  # channels of a head


class Vision(nn.Module):
    """EfficientNet-Lite0 (ImageNet, frozen) and four heads on it, finest first; only the heads learn.

    Raises UserError where the weights of EfficientNet-Lite0 are not to be had.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = efficientnet_lite0()
        self.projections = nn.ModuleList(_random(a, b, 1) for a, b in zip(CHANNELS, PROJECTED, strict=True))
        self.merges = nn.ModuleList(_random(PROJECTED[i + 1], PROJECTED[i], 3) for i in range(len(STAGES) - 1))
        for fixed in (self.backbone, self.projections, self.merges):
            fixed.requires_grad_(False)
        self.heads = nn.ModuleList(_head(c, halvings) for c, halvings in zip(PROJECTED, (3, 2, 1, 0), strict=True))

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Return projected features [N, C, H, W] at four scales, finest first, of pictures [N, 3, H, W] in -1 to 1."""
        x = pictures
        if x.shape[2] < HEIGHT:
            x = F.interpolate(x, scale_factor=HEIGHT / x.shape[2], mode="bilinear", align_corners=False)
        x = (x * 127.5 + 0.5) / 128.0  # EfficientNet-Lite0 was trained on (value - 127) / 128
        x = self.backbone.bn1(self.backbone.conv_stem(x))  # type: ignore[operator]
        found: list[Tensor] = []
        for number, stage in enumerate(self.backbone.blocks):  # type: ignore[arg-type]
            x = stage(x)
            if number in STAGES:
                found.append(self.projections[len(found)](x))
        for i in range(len(found) - 2, -1, -1):  # coarse features flow into the finer ones
            coarse = F.interpolate(found[i + 1], size=found[i].shape[2:], mode="bilinear", align_corners=False)
            found[i] = found[i] + self.merges[i](coarse)
        return found

    def judge(self, features: list[Tensor]) -> list[Tensor]:
        """Return each head's logits [N, 1, h, w] for what `features` returned: above zero means real."""
        return [head(part).float() for head, part in zip(self.heads, features, strict=True)]

    def loss(self, real: list[Tensor], fake: list[Tensor]) -> Tensor:
        """Return the heads' hinge loss for the features of real and of made pictures."""
        pairs = zip(self.judge(real), self.judge([part.detach() for part in fake]), strict=True)
        return torch.stack([F.relu(1 - a).mean() + F.relu(1 + b).mean() for a, b in pairs]).mean()

    def generator_loss(self, fake: list[Tensor]) -> Tensor:
        """Return the mean negative logit of made pictures, for the generator to lower; the heads get no gradient."""
        self.heads.requires_grad_(False)
        loss = -torch.stack([logits.mean() for logits in self.judge(fake)]).mean()
        self.heads.requires_grad_(True)
        return loss

    def train(self, mode: bool = True) -> Vision:
        """Set the heads' mode; the backbone stays in evaluation."""
        super().train(mode)
        self.backbone.eval()
        return self


def _random(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def _head(channels: int, halvings: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(halvings):
        layers += [spectral_norm(nn.Conv2d(channels, WIDTH, 4, 2, 1)), nn.LeakyReLU(0.2)]
        channels = WIDTH
    layers += [spectral_norm(nn.Conv2d(channels, WIDTH, 3, 1, 1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(WIDTH, 1, 1)))
