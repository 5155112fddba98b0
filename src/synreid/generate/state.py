"""All that a generator's training changes, and its checkpoint."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from synreid.generate.generator import Generator
from synreid.generate.network import AnyDiscriminator, new_discriminator, new_generator
from synreid.generate.options import GanOptions
from synreid.generate.transfer import Carried, carry_over
from synreid.generate.vision_aid import VisionAid
from synreid.stage.checkpoint import load_checkpoint, save_checkpoint

ADAM_EPS = 1e-8


@dataclass
class State:
    """Networks, optimisers and numbers that a step of training changes."""

    generator: Generator
    discriminator: AnyDiscriminator
    average: Generator
    vision_aid: VisionAid | None
    adam_g: torch.optim.Adam
    adam_d: torch.optim.Adam
    adam_v: torch.optim.Adam | None
    step: int
    ada_p: float
    signs: float
    r1: float  # the last penalty, for the log
    path_length: float

    def save(self, path: Path) -> None:
        """Write everything, whole or not at all."""
        values = {name: part.state_dict() for name, part in self._parts().items()}
        values |= {name: getattr(self, name) for name in _NUMBERS}
        save_checkpoint(path, values)

    def load(self, path: Path) -> None:
        """Read what `save` wrote; raises UserError for a damaged file or one of another configuration."""
        load_checkpoint(path, self._restore)

    def _restore(self, values: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(values[name])
        for name in _NUMBERS:
            setattr(self, name, values[name])

    def _parts(self) -> dict[str, Any]:
        names = ("generator", "discriminator", "average", "vision_aid", "adam_g", "adam_d", "adam_v")
        parts = {name: getattr(self, name) for name in names}
        return {name: part for name, part in parts.items() if part is not None}


_NUMBERS = ("step", "ada_p", "signs", "r1", "path_length")


def new_state(
    options: GanOptions, start: Path | None, device: torch.device, classes: tuple[str, ...] = ()
) -> tuple[State, list[Carried]]:
    """Return networks and optimisers before the first step, from random weights or from the folder `start`.

    The second value says what was carried over from `start`, layer by layer.
    """
    torch.manual_seed(options.seed)
    generator, discriminator = new_generator(options, classes), new_discriminator(options, classes)
    carried = carry_over(start, generator, discriminator, options) if start is not None else []
    vision_aid = VisionAid() if options.vision_aid else None
    networks: list[nn.Module] = [generator, discriminator, *([vision_aid] if vision_aid is not None else [])]
    for network in networks:
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in discriminator.finest(options.freezed):
        module.requires_grad_(False)

    def adam(network: nn.Module, lr: float, betas: tuple[float, float]) -> torch.optim.Adam:
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return torch.optim.Adam(learning, lr=lr, betas=betas, eps=ADAM_EPS)

    state = State(
        generator,
        discriminator,
        average=copy.deepcopy(generator).requires_grad_(False),
        vision_aid=vision_aid,
        adam_g=adam(generator, options.glr, generator.betas),
        adam_d=adam(discriminator, options.dlr, generator.betas),
        adam_v=adam(vision_aid.heads, options.lr_vision_aid, (0.0, 0.99)) if vision_aid is not None else None,
        step=0,
        ada_p=options.ada_p,
        signs=0.0,
        r1=0.0,
        path_length=0.0,
    )
    return state, carried
