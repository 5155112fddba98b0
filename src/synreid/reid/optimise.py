"""The optimiser of a re-ID training and the schedule of its learning rates."""

from __future__ import annotations

import torch

from synreid.reid.backbone import ReidNetwork
from synreid.reid.options import ReidOptions

WARM_UP_FROM = 0.01  # part of a learning rate that a warm-up begins with, reid-strong-baseline's


def optimiser_for(network: ReidNetwork, options: ReidOptions) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum, or Adam, with two rates: the backbone's and the head's."""
    factor = options.backbone_lr_factor
    if factor is None:
        factor = 1.0 if options.pretrained is None else 0.1
    named = [(name, value) for name, value in network.named_parameters() if value.requires_grad]
    groups = [
        {
            "params": [value for name, value in named if name.startswith("backbone.")],
            "initial_lr": options.lr * factor,
        },
        {"params": [value for name, value in named if not name.startswith("backbone.")], "initial_lr": options.lr},
    ]
    if options.optimiser == "adam":
        return torch.optim.Adam(groups, lr=options.lr, weight_decay=options.weight_decay, fused=True)
    return torch.optim.SGD(
        groups, lr=options.lr, momentum=options.momentum, nesterov=True, weight_decay=options.weight_decay, fused=True
    )


def set_rates(optimiser: torch.optim.Optimizer, options: ReidOptions, step: int, total: int) -> None:
    """Set each group's learning rate to its own times `rate_factor`."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * rate_factor(step, total, options)


def rate_factor(step: int, total: int, options: ReidOptions) -> float:
    """Return what the learning rates are multiplied by at `step` of `total`.

    It grows linearly from 0.01 to 1 over the warm-up, and is multiplied by 0.1 from each part in `step_at` on.
    """
    factor = 0.1 ** sum(step >= round(part * total) for part in options.steps_at)
    warm_up = round(options.warm_up * total)
    if step < warm_up:
        factor *= WARM_UP_FROM + (1 - WARM_UP_FROM) * step / warm_up
    return factor
