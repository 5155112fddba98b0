"""A training in a small folder: what it takes to go on with it on another machine, in half precision.

    weights-STEP-1-of-4.safetensors ...   generator, its average and discriminator in float16, Adam's second moments
                                          in short
    state.json                            numbers, configuration, curves, stretches; names the files of its step
    samples.png                           the last grid of samples, to look at

What a resume from it loses: weights are rounded to 11 bits; of Adam's second moments only the mean of each output
channel is kept, so step sizes are a little off until the moments have been learned anew (a few hundred steps); its
first moments are not kept, which costs nothing, since these networks train with a beta1 of 0. Order, latents and
augmentation go on exactly, since every random number comes from seed and step. A resume from the run's own checkpoint
loses nothing.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from parts import MIB, half, moments_of, of_part, read_parts, remove_others, restore_moments, with_part, write_parts
from torch import Tensor

from synreid.generate.network import new_discriminator, new_generator
from synreid.generate.options import GanOptions
from synreid.generate.quality import FILE as QUALITY
from synreid.generate.state import State, new_state
from synreid.generate.train import CHECKPOINT
from synreid.stage.errors import UserError
from synreid.stage.files import read_json, write_json, write_text
from synreid.stage.folder import RUN
from synreid.stage.metrics import FILE as METRICS

NETWORKS = ("generator", "average", "discriminator")
ADAMS = ("adam_g", "adam_d")
NUMBERS = ("step", "ada_p", "signs", "r1", "path_length")
STATE, SAMPLES = "state.json", "samples.png"
LOSES = (__doc__ or "").split("\n\n")[2].replace("\n", " ")


@dataclass
class Pack:
    """The folder; `part_mib` bounds each of its files, `whole_mib` the weights together."""

    folder: Path
    whole_mib: float
    part_mib: float
    stretches: list[dict[str, Any]] = field(default_factory=list)

    def check(self, options: GanOptions) -> None:
        """Raise UserError where the networks of `options` would not fit, before anything is trained."""
        with torch.device("meta"):
            made = [new_generator(options), new_generator(options), new_discriminator(options)]
        size = sum(2 * value.numel() for network in made for value in network.state_dict().values()) / MIB
        if size > self.whole_mib:
            raise UserError(
                f"generator, average and discriminator take {size:.0f} MiB in half precision, but the pack may hold "
                f"{self.whole_mib:g}; take a smaller cmax or cbase, or a larger --pack-mib."
            )

    @property
    def exists(self) -> bool:
        """Whether there is a whole pack: its state is written last."""
        return (self.folder / STATE).exists()

    def remember(self) -> None:
        """Know again which stretches there were."""
        self.stretches = read_json(self.folder / STATE)["stretches"]

    def write(self, state: State, run: Path) -> None:
        """Write everything; `run` is the training's folder."""
        tensors: dict[str, Tensor] = {}
        for name in NETWORKS:
            tensors |= with_part({key: half(value) for key, value in weights(state, name).items()}, name)
        for name in ADAMS:
            tensors |= with_part(moments_of(getattr(state, name)), name)
        names = write_parts(self.folder, tensors, self.part_mib, state.step)
        if grids := sorted(run.glob("samples-*.png")):
            shutil.copyfile(grids[-1], self.folder / SAMPLES)
        text = (run / METRICS).read_text(encoding="utf-8") if (run / METRICS).exists() else ""
        held = {
            "numbers": {name: getattr(state, name) for name in NUMBERS},
            "parts": names,
            "run": read_json(run / RUN),
            "quality": curve(run),
            "metrics": text.splitlines(),
            "stretches": self.stretches,
        }
        write_json(self.folder / STATE, held)
        remove_others(self.folder, names)

    def read(self, run: Path, options: GanOptions) -> None:
        """Make of this pack the folder of a training that was cut off; `options` as it was begun with."""
        held = read_json(self.folder / STATE)
        tensors = read_parts(self.folder, held["parts"])
        state, _ = new_state(options, None, torch.device("cpu"))
        for name in NETWORKS:
            getattr(state, name).load_state_dict(of_part(tensors, name))
        for name in ADAMS:
            restore_moments(getattr(state, name), of_part(tensors, name))
        for name in NUMBERS:
            setattr(state, name, held["numbers"][name])
        self.remember()
        run.mkdir(parents=True, exist_ok=True)
        write_text(run / METRICS, "".join(line + "\n" for line in held["metrics"]))
        write_json(run / QUALITY, held["quality"])
        write_json(run / RUN, {**held["run"], "finished": None})
        state.save(run / CHECKPOINT)


def curve(run: Path) -> list[dict[str, Any]]:
    """Return the measures of all snapshots so far."""
    return list(read_json(run / QUALITY)) if (run / QUALITY).exists() else []


def weights(state: State, name: str) -> dict[str, Tensor]:
    """Return a network's tensors by name, on the CPU."""
    return {key: value.detach().cpu().contiguous() for key, value in getattr(state, name).state_dict().items()}
