"""How fast the re-ID training loop is, against the same network fed one fixed batch without end.

Usage: python benchmarks/reid_loop.py [--preset strong] [--own-size] [--device cuda] [--rounds 6] [--steps 30]

What is between the two is the loop's own doing: order, augmentation, targets, metrics, progress. Pictures are random. A
preset is taken at the size and with the backbone of the recipe market-cpu, or at its own; the fixed batch has the same
losses. `gpu/reid_throughput.py` asks the same of a GPU, and of embedding.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from clock import timed
from synreid.data.table import from_columns
from synreid.label.new_identity import NewIdentity
from synreid.reid.backbone import build
from synreid.reid.batches import PixelBatches
from synreid.reid.losses import MetricLosses
from synreid.reid.optimise import optimiser_for
from synreid.reid.options import PRESETS, ReidOptions
from synreid.reid.sampler import sampler_for
from synreid.reid.train import Training, fit
from synreid.stage.device import autocast, choose_device, use_bfloat16
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

PICTURES, PERSONS = 1290, 75  # of the recipe market-cpu
TO_REACH = 0.92
SMALL = {"backbone": "resnet18", "height": 96, "width": 48}


def noise(count: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """Return `count` random pictures, uint8 [N, H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


class Pair:
    """The training loop on random pictures, and the network that it trains fed one of its batches again and again."""

    def __init__(self, options: ReidOptions, pictures: int, persons: int, device: torch.device) -> None:
        self.options, self.device = options, device
        self.precision = "bf16" if use_bfloat16(device, options.precision) else "fp32"
        names = [f"{k % persons:04d}" for k in range(pictures)]
        self.labels = NewIdentity()
        self.labels.classes(from_columns(path=names, sha256=names, pid=names))
        sampler = sampler_for(options, np.zeros(pictures, dtype=bool), self.labels.persons().numpy())
        drawn = torch.from_numpy(noise(pictures, options.size, options.seed))
        self.batches = PixelBatches(drawn, options, device, sampler)
        self.network = build(options, persons).to(device).to(memory_format=torch.channels_last).train()
        self.optimiser = optimiser_for(self.network, replace(options, lr=1e-6))  # so that noise cannot blow it up
        self.metric = None
        if options.triplet or options.centre:
            self.metric = MetricLosses(options, persons, self.network.embedding).to(device)
        rows = self.batches.rows(0)
        self.batch, self.of_batch = self.batches.batch(rows, 0), self.labels.index[rows].to(device)

    def loop(self, folder: Path) -> None:
        """Take the options' steps as a training does, which writes into `folder`."""
        fit(Training(self.network, self.optimiser, self.metric), self.batches, self.labels, folder, self.precision)

    def fixed(self) -> None:
        """Take as many steps on the same batch."""
        alike = torch.ones(len(self.of_batch), device=self.device)
        for _ in range(self.options.steps or 1):
            with autocast(self.device, self.precision):
                features, logits = self.network.answers(self.batch)
            loss = functional.cross_entropy(logits.float(), self.of_batch)
            if self.metric is not None:
                loss = loss + sum(self.metric(features, self.of_batch, alike).values())
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()

    def rates(self, rounds: int) -> dict[str, list[float]]:
        """Return the pictures/s of `loop` and `fixed` in turns, after one turn each that warms up."""
        found: dict[str, list[float]] = {"loop": [], "fixed": []}
        pictures = (self.options.steps or 1) * self.options.batch
        for turn in range(rounds + 1):
            with tempfile.TemporaryDirectory() as folder:
                seconds = {
                    "loop": timed(lambda folder=folder: self.loop(Path(folder)), self.device),
                    "fixed": timed(self.fixed, self.device),
                }
            if turn:
                for name, taken in seconds.items():
                    found[name].append(pictures / taken)
        return found


def summary(rates: dict[str, list[float]]) -> dict[str, object]:
    """Return the medians of `Pair.rates`, and what part of the fixed batch's rate the loop reaches."""
    ratio = statistics.median(loop / still for loop, still in zip(rates["loop"], rates["fixed"], strict=True))
    return {
        "reached": ratio >= TO_REACH,
        "ratio_median_of_turns": round(ratio, 3),
        "pictures_per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "turns": {name: [round(value, 1) for value in values] for name, values in rates.items()},
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, help="options to take, left out: the defaults")
    parser.add_argument("--own-size", action="store_true", help="the preset's own backbone and size")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--rounds", type=int, default=6, help="how often the two take turns")
    parser.add_argument("--steps", type=int, default=30, help="optimisation steps in a turn")
    parser.add_argument("--out", type=Path, default=Path("results/speed/reid-loop.json"), help="where the result goes")
    given = parser.parse_args()
    words = ["--preset", given.preset] if given.preset else []
    words += ["--own-size"] * given.own_size
    small = {} if given.own_size else SMALL
    asked = {**PRESETS[given.preset], **small, "pretrained": None} if given.preset else {}
    options = ReidOptions(**asked, steps=given.steps)
    pair = Pair(options, PICTURES, PERSONS, choose_device(given.device))
    result = {
        "asked": f"the training loop reaches {TO_REACH} of the rate of the same network fed one fixed batch",
        **summary(pair.rates(given.rounds)),
        "options": asdict(options),
        "precision": pair.precision,
        "device": pair.device.type,
        "threads": torch.get_num_threads(),
        "command": shlex.join(
            ["python", "benchmarks/reid_loop.py", *words, "--rounds", str(given.rounds), "--steps", str(given.steps)]
        ),
        "seed": options.seed,
        "machine": machine(),
    }
    write_json(given.out, result)
    say(f"loop {result['pictures_per_second']}, ratio {result['ratio_median_of_turns']}; wrote {given.out}")


if __name__ == "__main__":
    main()
