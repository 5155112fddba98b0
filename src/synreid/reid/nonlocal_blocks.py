"""Non-local attention blocks between a ResNet's residual blocks, where AGW has them."""

from __future__ import annotations

from collections import OrderedDict

import torch
from timm.models import ResNet
from torch import nn

from synreid.reid.options import ReidOptions
from synreid.stage.errors import UserError

PLACES = {"layer2": 2, "layer3": 3}
"""After how many of a stage's last residual blocks one stands: AGW's 0, 2, 3 and 0 of the four stages of ResNet-50."""


class NonLocalBlock(nn.Module):
    """x + BN(W_z y), where y_i is the mean over all positions j of (theta(x_i) . phi(x_j)) g(x_j).

    Wang et al. 2018, "Non-local Neural Networks", equations 1 and 6 with the dot product of equation 4 and half the
    channels inside (arXiv 1711.07971). The batch norm's scale starts at 0, which makes the whole an identity.

    Ye et al. 2021 (AGW, arXiv 2001.04193) leave the block to that paper; their code takes the dot product, too, but has
    one channel inside, by mistake as its authors say (github.com/mangye16/ReID-Survey, issue 7).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = max(1, channels // 2)
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inside, 1) for _ in range(3))
        self.out, self.norm = nn.Conv2d(inside, channels, 1), nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps [N, C, H, W] of maps [N, C, H, W]."""
        theta, phi, g = (conv(x).flatten(2) for conv in (self.theta, self.phi, self.g))  # [N, C/2, HW]
        affinity = theta.transpose(1, 2) @ phi / phi.shape[2]  # [N, HW, HW]
        y = (affinity @ g.transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[2:])
        maps: torch.Tensor = x + self.norm(self.out(y))
        return maps


def insert_non_local_blocks(backbone: nn.Module, options: ReidOptions) -> None:
    """Put a block behind each of the last two residual blocks of a ResNet's second stage, and three of its third.

    A stage that has fewer gets one behind each. Other parts keep their names, and their weights. Raises UserError for
    another backbone than one of timm's ResNets.
    """
    if not isinstance(backbone, ResNet):
        raise UserError(
            f"re-ID option non_local is true, but {options.backbone} is not a ResNet, between whose blocks they stand; "
            "leave it out (false), or choose such a backbone."
        )
    channels = {part["module"]: part["num_chs"] for part in backbone.feature_info}
    for stage, count in PLACES.items():
        blocks = list(getattr(backbone, stage).named_children())
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for place, (name, block) in enumerate(blocks):
            parts[name] = block
            if place >= len(blocks) - count:
                parts[f"non_local_{name}"] = NonLocalBlock(channels[stage])
        setattr(backbone, stage, nn.Sequential(parts))
