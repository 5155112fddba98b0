"""Several devices that work on one stage together, by Lightning Fabric; or one, which needs nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import torch
from torch import Tensor, nn

from synreid.stage.device import choose_device
from synreid.stage.errors import UserError

PATIENCE = timedelta(days=1)  # while the first process measures, the others wait


class World:
    """One device by itself: what it computes is the result."""

    rank = 0
    size = 1

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all devices."""

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of `values`, any shape, over all devices."""
        return values

    def agree(self, value: bool) -> bool:
        """Return what the first device says."""
        return value


class FabricWorld(World):
    """This process as one of several that Lightning Fabric (or torchrun) has started, each with a device."""

    def __init__(self, device: torch.device, count: int) -> None:
        try:
            from lightning_fabric import Fabric
            from lightning_fabric.strategies.ddp import DDPStrategy
        except ImportError as error:
            raise UserError(
                "training on several devices needs Lightning Fabric: pip install 'synreid[devices]', or take --gpus 1."
            ) from error
        accelerator = "gpu" if device.type == "cuda" else device.type
        if device.type == "cuda" and torch.cuda.device_count() < count:
            raise UserError(f"--gpus {count} is more than the {torch.cuda.device_count()} GPUs of this machine.")
        strategy = DDPStrategy(timeout=PATIENCE)
        self.fabric = Fabric(accelerator=accelerator, devices=count, strategy=strategy)
        self.fabric.launch()
        if self.fabric.world_size != count:
            raise UserError(f"--gpus {count} was asked for, but {self.fabric.world_size} processes were started.")
        super().__init__(self.fabric.device)
        self.rank, self.size = self.fabric.global_rank, self.fabric.world_size

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        whole = torch.cat([gradient.flatten() for gradient in gradients])
        whole = self.fabric.all_reduce(whole, reduce_op="sum")  # type: ignore[assignment]
        for gradient, part in zip(gradients, whole.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def mean(self, values: Tensor) -> Tensor:
        reduced = self.fabric.all_reduce(values, reduce_op="mean")
        assert isinstance(reduced, Tensor)
        return reduced

    def agree(self, value: bool) -> bool:
        return bool(self.fabric.broadcast(value))


def join_world(device: str, count: int) -> World:
    """Return the devices to work with: one called `device`, or `count` of its kind, one for each process.

    Raises UserError for a device that is not there, or fewer of them than asked for.
    """
    chosen = choose_device(device)
    return World(chosen) if count == 1 else FabricWorld(chosen, count)
