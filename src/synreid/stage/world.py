"""Several devices that work on one stage together, by Lightning Fabric; or one, which needs nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from threading import Thread
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from synreid.stage.device import choose_device
from synreid.stage.errors import UserError
from synreid.stage.log import PARENT, console

PATIENCE = timedelta(days=1)  # while the first process measures, the others wait
TO_SPEAK = 60.0  # seconds that the first process has to say what stops all of them, and to end
T = TypeVar("T")


class World:
    """One device by itself: what it computes is the result."""

    rank = 0
    size = 1

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all devices."""

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace every one of `tensors`, float32 of any shape, by its mean over all devices."""

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of `values`, any shape, over all devices."""
        return values

    def agree(self, value: bool) -> bool:
        """Return what the first device says."""
        return value

    def turn(self, step: int) -> int:
        """Return a number of this device's own for each step, to draw random numbers by; of one device, the step."""
        return step * self.size + self.rank

    def first(self, work: Callable[[], T]) -> T:
        """Return what `work` does in every process, in the first before the others, who find the files it leaves."""
        return work()

    def keeping(self, folder: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
        """Return the context that the stage is worked on in: its folder, which the first process alone holds."""
        return folder


class FabricWorld(World):
    """This process as one of several that Lightning Fabric (or torchrun) has started, each with a device.

    The first speaks for all of them, and the others end when it does.
    """

    def __init__(self, device: torch.device, count: int) -> None:
        try:
            from lightning_fabric import Fabric
            from lightning_fabric.strategies.ddp import DDPStrategy
        except ImportError as error:
            raise UserError(
                "training on several devices needs Lightning Fabric: pip install 'synreid[devices]', or take --gpus 1."
            ) from error
        if str(device) not in ("cpu", "cuda"):
            raise UserError(f"--gpus {count} works with --device cpu or cuda, not with {device}; take one of them.")
        accelerator = "gpu" if device.type == "cuda" else device.type
        if device.type == "cuda" and torch.cuda.device_count() < count:
            raise UserError(f"--gpus {count} is more than the {torch.cuda.device_count()} GPUs of this machine.")
        strategy = DDPStrategy(timeout=PATIENCE)
        try:
            self.fabric = Fabric(accelerator=accelerator, devices=count, strategy=strategy, plugins=_environment())
            if self.fabric.local_rank:
                Thread(target=_end_with_parent, daemon=True).start()
                sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, for as long as the process lives
                console().quiet = True
            else:
                os.environ[PARENT] = str(os.getpid())  # which the processes to be started inherit
            self.fabric.launch()
        except ValueError as error:
            reason = str(error).partition(". ")[0].rstrip(".")
            raise UserError(
                f"--gpus {count} does not fit how the processes were started ({reason}); "
                "give their number as --gpus, or start one process, which starts the others."
            ) from error
        if self.fabric.world_size != count:
            raise UserError(f"--gpus {count} was asked for, but {self.fabric.world_size} processes were started.")
        super().__init__(self.fabric.device)
        self.rank, self.size = self.fabric.global_rank, self.fabric.world_size

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        self._reduce([parameter.grad for parameter in parameters if parameter.grad is not None], "sum")

    def average(self, tensors: Iterable[Tensor]) -> None:
        self._reduce(list(tensors), "mean")

    @torch.no_grad()
    def _reduce(self, tensors: list[Tensor], by: str) -> None:
        whole = torch.cat([tensor.flatten() for tensor in tensors])  # one exchange takes less time than many
        whole = self.fabric.all_reduce(whole, reduce_op=by)  # type: ignore[assignment]
        for tensor, part in zip(tensors, whole.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def mean(self, values: Tensor) -> Tensor:
        reduced = self.fabric.all_reduce(values, reduce_op="mean")
        assert isinstance(reduced, Tensor)
        return reduced

    def agree(self, value: bool) -> bool:
        return bool(self.fabric.broadcast(value))

    def first(self, work: Callable[[], T]) -> T:
        if self.rank:
            self.fabric.barrier()
            return work()
        done = work()
        self.fabric.barrier()
        return done

    def keeping(self, folder: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
        return _after_the_first() if self.rank else folder


def _environment() -> Any:
    """Return how Fabric is to start the processes, or None for what it finds: of SLURM it expects one task for each."""
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    one_task = os.environ.get("SLURM_NTASKS") == "1" and not TorchElasticEnvironment.detect()
    return LightningEnvironment() if one_task else None


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has: a GPU would wait for its numbers without end."""
    parent = int(os.environ.get(PARENT, os.getppid()))  # it may have ended while this one was importing
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def _after_the_first() -> Iterator[None]:
    """Let the first process say what stops all of them, which ends this one too; what stops this one alone it says."""
    try:
        yield
    except BaseException:
        time.sleep(TO_SPEAK)
        raise


def join_world(device: str, count: int) -> World:
    """Return the devices to work with: one called `device`, or `count` of its kind, one for each process.

    Raises UserError for a device that is not there, or fewer of them than asked for.
    """
    chosen = choose_device(device)
    return World(chosen) if count == 1 else FabricWorld(chosen, count)
