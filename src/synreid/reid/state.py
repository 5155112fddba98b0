"""All that changes while a re-ID model is trained, fresh or from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from synreid.reid.backbone import ReidNetwork, build
from synreid.reid.losses import MetricLosses
from synreid.reid.optimise import optimiser_for
from synreid.reid.options import ReidOptions
from synreid.stage.checkpoint import load_checkpoint, save_checkpoint
from synreid.stage.device import use_bfloat16
from synreid.stage.log import say

CHECKPOINT = "checkpoint.pt"


@dataclass
class Training:
    """What a checkpoint holds. `metric` is None where no loss compares pictures."""

    network: ReidNetwork
    optimiser: torch.optim.Optimizer
    metric: MetricLosses | None = None
    step: int = 0
    sums: dict[str, float] = field(default_factory=lambda: {"loss": 0.0, "wrong": 0.0, "pictures": 0.0})
    """Over the pictures since the last line of the metrics; losses by name where there are several."""

    def by_part(self) -> Iterator[torch.Tensor]:
        """Yield what a step finds out from a device's own part of the batch: gradients, running statistics, centres.

        Averaged in every step, running statistics count all pictures, and a checkpoint holds what every device has.
        """
        for parameter in self.network.parameters():
            if parameter.grad is not None:
                yield parameter.grad
        for name, buffer in self.network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                yield buffer
        if self.metric is not None:
            yield from self.metric.buffers()


def enter(folder: Path, options: ReidOptions, classes: int, device: torch.device) -> tuple[Training, str]:
    """Return a fresh state and the precision, or those of the folder's checkpoint; UserError for a damaged one."""
    path = folder / CHECKPOINT
    network = build(options, classes, weights=not path.exists()).to(device).to(memory_format=torch.channels_last)
    state = Training(network.train(), optimiser_for(network, options))
    if options.triplet or options.centre:
        state.metric = MetricLosses(options, classes, network.embedding).to(device)
    if not path.exists():
        return state, "bf16" if use_bfloat16(device, options.precision) else "fp32"
    precision = ""

    def restore(saved: dict[str, Any]) -> None:
        nonlocal precision
        network.load_state_dict(saved["network"])
        state.optimiser.load_state_dict(saved["optimiser"])
        if state.metric is not None:
            state.metric.load_state_dict(saved["metric"])
        state.step, state.sums, precision = saved["step"], saved["sums"], str(saved["precision"])

    load_checkpoint(path, restore)
    say(f"{folder} goes on at step {state.step:,}.")
    return state, precision


def save(state: Training, folder: Path, precision: str) -> None:
    """Write the checkpoint, whole or not at all."""
    values = {
        "step": state.step,
        "sums": state.sums,
        "precision": precision,
        "network": state.network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "metric": state.metric.state_dict() if state.metric is not None else {},
    }
    save_checkpoint(folder / CHECKPOINT, values)
