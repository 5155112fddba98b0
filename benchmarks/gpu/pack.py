"""A training in a small folder: what it takes to go on with it on another machine, in half precision.

    weights-1-of-4.safetensors ...   generator, its average and discriminator in float16, Adam's second moments in short
    state.json                       numbers, configuration, curves, sessions
    samples.png                      the last grid of samples, to look at

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
from safetensors.torch import load_file, save
from torch import Tensor

from synreid.generate.network import new_discriminator, new_generator
from synreid.generate.options import GanOptions
from synreid.generate.quality import FILE as QUALITY
from synreid.generate.state import State, new_state
from synreid.generate.train import CHECKPOINT
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path, read_json, write_json, write_text
from synreid.stage.folder import RUN
from synreid.stage.metrics import FILE as METRICS

NETWORKS = ("generator", "average", "discriminator")
ADAMS = ("adam_g", "adam_d")
NUMBERS = ("step", "ada_p", "signs", "path_length")
STATE, SAMPLES = "state.json", "samples.png"
MIB = 2**20
LOSES = (__doc__ or "").split("\n\n")[2].replace("\n", " ")


@dataclass
class Pack:
    """The folder; `part_mib` bounds each of its files, `whole_mib` the weights together."""

    folder: Path
    whole_mib: float
    part_mib: float
    sessions: list[dict[str, Any]] = field(default_factory=list)

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
        """Know again which sessions there were."""
        self.sessions = read_json(self.folder / STATE)["sessions"]

    def write(self, state: State, run: Path) -> None:
        """Write everything; `run` is the training's folder."""
        tensors = {f"{name}.{key}": half(value) for name in NETWORKS for key, value in weights(state, name).items()}
        for name in ADAMS:
            for number, moments in getattr(state, name).state_dict()["state"].items():
                tensors[f"{name}.{number}.exp_avg_sq"] = channel_means(moments["exp_avg_sq"]).cpu()
                tensors[f"{name}.{number}.step"] = torch.as_tensor(moments["step"]).cpu().float()
        parts = split(tensors, self.part_mib * MIB)
        (self.folder / STATE).unlink(missing_ok=True)
        for old in self.folder.glob("weights-*.safetensors"):
            old.unlink()
        for number, part in enumerate(parts, 1):
            with atomic_path(self.folder / f"weights-{number}-of-{len(parts)}.safetensors") as temporary:
                temporary.write_bytes(save(part))
        if grids := sorted(run.glob("samples-*.png")):
            shutil.copyfile(grids[-1], self.folder / SAMPLES)
        text = (run / METRICS).read_text(encoding="utf-8") if (run / METRICS).exists() else ""
        held = {
            "numbers": {name: getattr(state, name) for name in NUMBERS},
            "parts": len(parts),
            "run": read_json(run / RUN),
            "quality": curve(run),
            "metrics": text.splitlines(),
            "sessions": self.sessions,
        }
        write_json(self.folder / STATE, held)

    def read(self, run: Path, options: GanOptions) -> None:
        """Make of this pack the folder of a training that was cut off; `options` as it was begun with."""
        held = read_json(self.folder / STATE)
        files = [self.folder / f"weights-{k}-of-{held['parts']}.safetensors" for k in range(1, held["parts"] + 1)]
        if lacking := [path.name for path in files if not path.exists()]:
            raise UserError(f"{self.folder} lacks {', '.join(lacking)}; bring all of its files.")
        tensors: dict[str, Tensor] = {}
        for path in files:
            tensors |= load_file(path)
        state, _ = new_state(options, None, torch.device("cpu"))
        for name in NETWORKS:
            found = {key.removeprefix(f"{name}."): v for key, v in tensors.items() if key.startswith(f"{name}.")}
            getattr(state, name).load_state_dict(found)
        for name in ADAMS:
            restore(getattr(state, name), {k.removeprefix(f"{name}."): v for k, v in tensors.items()})
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


def half(value: Tensor) -> Tensor:
    """Return `value` in float16, unless it is no floating-point number or too large for it."""
    small = value.half() if value.is_floating_point() else value
    return small if small.isfinite().all() else value


def channel_means(moments: Tensor) -> Tensor:
    """Return the mean of `moments` [O, ...] over all but the first axis: [O], or a number as it is."""
    return moments.float().flatten(1).mean(1) if moments.ndim > 1 else moments.float().clone()


def restore(adam: torch.optim.Adam, found: dict[str, Tensor]) -> None:
    """Give every parameter of `adam` the second moments of its output channels."""
    parameters = [parameter for group in adam.param_groups for parameter in group["params"]]
    held: dict[int, dict[str, Tensor]] = {}
    for number, parameter in enumerate(parameters):
        if f"{number}.step" not in found:
            continue
        means = found[f"{number}.exp_avg_sq"]
        spread = means.reshape(-1, *[1] * (parameter.ndim - 1)).expand_as(parameter) if parameter.ndim else means
        step = found[f"{number}.step"].reshape(())
        held[number] = {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": spread.clone()}
    adam.load_state_dict({"state": held, "param_groups": adam.state_dict()["param_groups"]})


def split(tensors: dict[str, Tensor], limit: float) -> list[dict[str, Tensor]]:
    """Return `tensors` in as few parts as hold at most `limit` bytes each, in their order."""
    room = limit * 0.99  # a file's header wants some
    parts: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, value in tensors.items():
        size = value.numel() * value.element_size() + 200
        if filled + size > room and parts[-1]:
            parts.append({})
            filled = 0
        parts[-1][name] = value
        filled += size
    return parts


def size_mib(folder: Path) -> float:
    """Return the size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir()) / MIB
