"""A re-ID training in a small folder: what it takes to go on with it on another machine, in half precision.

    weights-STEP-1-of-4.safetensors ...   network and centres in float16, what has one axis in float32; Adam's second
                                          moments in short
    state.json                            numbers, configuration, curve, stretches; names the files of its step

What a resume from it loses: weights are rounded to 11 bits; the momentum of SGD, which would take as much room again,
begins anew from 0, so that the next twenty steps or so are shorter; of Adam's moments the first begin anew, too, and of
the second only the mean of each output channel is kept. Order, augmentation and dropout go on exactly, since every
random number comes from seed and step. A resume from the training's own checkpoint loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from parts import half, moments_of, of_part, read_parts, remove_others, restore_moments, with_part, write_parts
from torch import Tensor

from synreid.reid.options import ReidOptions
from synreid.reid.state import Training, enter, save
from synreid.stage.files import read_json, write_json, write_text
from synreid.stage.folder import RUN
from synreid.stage.metrics import FILE as METRICS

STATE = "state.json"
LOSES = (__doc__ or "").split("\n\n")[2].replace("\n", " ")


@dataclass
class ReidPack:
    """The folder; `part_mib` bounds each of its files. `of` says which training it holds, `stretches` its history."""

    folder: Path
    part_mib: float
    of: dict[str, Any] = field(default_factory=dict)
    stretches: list[dict[str, Any]] = field(default_factory=list)

    @property
    def exists(self) -> bool:
        """Whether there is a whole pack."""
        return (self.folder / STATE).exists()

    def remember(self) -> None:
        """Know again which training this is, and which stretches it had."""
        held = read_json(self.folder / STATE)
        self.of, self.stretches = held["of"], held["stretches"]

    def write(self, state: Training, run: Path, precision: str) -> None:
        """Write everything; `run` is the training's folder."""
        tensors = with_part(small(state.network.state_dict()), "network")
        if state.metric is not None:
            tensors |= with_part(small(state.metric.state_dict()), "metric")
        if isinstance(state.optimiser, torch.optim.Adam):
            tensors |= with_part(moments_of(state.optimiser), "adam")
        names = write_parts(self.folder, tensors, self.part_mib, state.step)
        text = (run / METRICS).read_text(encoding="utf-8") if (run / METRICS).exists() else ""
        held = {
            "of": self.of,
            "numbers": {"step": state.step, "sums": state.sums, "precision": precision},
            "classes": len(state.network.classifier.weight),
            "parts": names,
            "run": read_json(run / RUN),
            "metrics": text.splitlines(),
            "stretches": self.stretches,
        }
        write_json(self.folder / STATE, held)
        remove_others(self.folder, names)

    def remove(self) -> None:
        """Remove its files, once the training that it holds is scored."""
        (self.folder / STATE).unlink(missing_ok=True)
        remove_others(self.folder, ())

    def read(self, run: Path, options: ReidOptions) -> None:
        """Make of this pack the folder of a training that was cut off; `options` as it was begun with."""
        held = read_json(self.folder / STATE)
        tensors = read_parts(self.folder, held["parts"])
        state, _ = enter(run, options, held["classes"], torch.device("cpu"))
        state.network.load_state_dict(of_part(tensors, "network"))
        if state.metric is not None:
            state.metric.load_state_dict(of_part(tensors, "metric"))
        if isinstance(state.optimiser, torch.optim.Adam):
            restore_moments(state.optimiser, of_part(tensors, "adam"))
        state.step, state.sums = held["numbers"]["step"], held["numbers"]["sums"]
        self.remember()
        run.mkdir(parents=True, exist_ok=True)
        write_text(run / METRICS, "".join(line + "\n" for line in held["metrics"]))
        write_json(run / RUN, {**held["run"], "finished": None})
        save(state, run, held["numbers"]["precision"])


def small(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the CPU, in float16 those that have two axes or more."""
    found = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return {name: half(value) if value.ndim > 1 else value for name, value in found.items()}
