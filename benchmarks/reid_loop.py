"""How fast the re-ID training loop is, against the same network fed one fixed batch without end.

Usage: python benchmarks/reid_loop.py [--preset strong] [--rounds 6] [--steps 30] [--out FILE]

What is between the two is the loop's own doing: order, augmentation, targets, metrics, progress. Pictures are random. A
preset is taken at the size and with the backbone of the recipe market-cpu; the fixed batch has the same losses.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

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
SMALL = {"backbone": "resnet18", "pretrained": None, "height": 96, "width": 48}


def fixed(state: Training, pictures: torch.Tensor, labels: torch.Tensor, steps: int, precision: str) -> None:
    """Take `steps` steps on the same batch."""
    for _ in range(steps):
        with autocast(pictures.device, precision):
            features, logits = state.network.answers(pictures)
        loss = functional.cross_entropy(logits.float(), labels)
        if state.metric is not None:
            loss = loss + sum(state.metric(features, labels, torch.ones(len(labels))).values())
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        state.optimiser.step()


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, help="options to take, left out: the defaults")
    parser.add_argument("--rounds", type=int, default=6, help="how often the two take turns")
    parser.add_argument("--steps", type=int, default=30, help="optimisation steps in a turn")
    parser.add_argument("--out", type=Path, default=Path("results/speed/reid-loop.json"), help="where the result goes")
    given = parser.parse_args()
    words = ["--preset", given.preset] if given.preset else []
    asked = {**PRESETS[given.preset], **SMALL} if given.preset else {}
    options = ReidOptions(**asked, steps=given.steps)
    device = choose_device()
    precision = "bf16" if use_bfloat16(device, options.precision) else "fp32"
    draw = np.random.default_rng(options.seed)
    names = [f"{k % PERSONS:03d}" for k in range(PICTURES)]
    chosen = NewIdentity()
    chosen.classes(from_columns(path=names, sha256=names, pid=names))
    shape = (PICTURES, options.height, options.width, 3)
    sampler = sampler_for(options, np.zeros(PICTURES, dtype=bool), chosen.persons().numpy())
    batches = PixelBatches(torch.from_numpy(draw.integers(0, 256, shape, dtype=np.uint8)), options, device, sampler)
    network = build(options, PERSONS).to(device).to(memory_format=torch.channels_last).train()
    optimiser = optimiser_for(network, replace(options, lr=1e-6))  # so that noise as pictures cannot blow it up
    for group in optimiser.param_groups:
        group["initial_lr"] = 1e-6
    metric = MetricLosses(options, PERSONS, network.embedding) if options.triplet or options.centre else None
    rows = batches.rows(0)
    batch, labels = batches.batch(rows, 0), chosen.index[rows].to(device)
    rates: dict[str, list[float]] = {"loop": [], "fixed": []}
    for turn in range(given.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            fit(Training(network, optimiser, metric), batches, chosen, Path(folder), precision)
            middle = time.perf_counter()
            fixed(Training(network, optimiser, metric), batch, labels, given.steps, precision)
            end = time.perf_counter()
        if turn:  # the first warms up
            rates["loop"].append(given.steps * options.batch / (middle - start))
            rates["fixed"].append(given.steps * options.batch / (end - middle))
    ratio = statistics.median(loop / still for loop, still in zip(rates["loop"], rates["fixed"], strict=True))
    result = {
        "asked": f"the training loop reaches {TO_REACH} of the rate of the same network fed one fixed batch",
        "reached": ratio >= TO_REACH,
        "ratio_median_of_turns": round(ratio, 3),
        "pictures_per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "turns": {name: [round(value, 1) for value in values] for name, values in rates.items()},
        "options": asdict(options),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "command": shlex.join(
            ["python", "benchmarks/reid_loop.py", *words, "--rounds", str(given.rounds), "--steps", str(given.steps)]
        ),
        "seed": options.seed,
        "machine": machine(),
    }
    write_json(given.out, result)
    say(f"loop {result['pictures_per_second']}, ratio {ratio:.3f}; wrote {given.out}")


if __name__ == "__main__":
    main()
