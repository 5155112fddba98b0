"""Whether the second judgement, through EfficientNet-Lite0, pays: training with and without it from the same start.

Usage: python benchmarks/vision_aided.py --data DIR [--data-name NAME] [--fraction 0.1] [--kimg 12] [--work DIR]

Both go on from the shipped generator, see the same pictures in the same order, and are measured on the features of
OSNet x0.25, which neither looked through. The pictures go to --work, numbers to `results/generate/vision-aided.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from synreid.data.pixels import pixels
from synreid.data.scan import open_data
from synreid.data.splits import subset
from synreid.data.table import pick
from synreid.features.embedders import OsnetEmbedder
from synreid.generate.network import SHIPPED, load_generator
from synreid.generate.options import GanOptions
from synreid.generate.sample import StyleSampler
from synreid.generate.train import train_gan
from synreid.quality.distribution import measure
from synreid.stage.files import read_json, write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

MEASURED = 1000  # pictures of each kind, at most
RESULT = Path(__file__).parent.parent / "results" / "generate" / "vision-aided.json"


def quality(gan: Path, real: np.ndarray, network: OsnetEmbedder) -> dict[str, Any]:
    """Return distances between `real`, uint8 [N, H, W, 3], and as many pictures of the generator."""
    sampler = StyleSampler(load_generator(gan), "measured", torch.device("cpu"))
    made = sampler.synthesize(sampler.latents(range(len(real))), range(len(real)))
    return measure(network.embed(real), network.embed(made), features=network.name)


def main() -> None:
    """Train both, measure start and ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of real pictures")
    parser.add_argument("--data-name", default="", help="what to call it in the result")
    parser.add_argument("--fraction", type=float, default=0.1, help="share of the training persons")
    parser.add_argument("--kimg", type=float, default=12.0, help="thousands of pictures to train on")
    parser.add_argument("--work", type=Path, help="folder for both runs, kept (default: a temporary one)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        table: pa.Table = pick(subset(open_data(given.data), fraction=given.fraction), split="train")
        options = GanOptions(start="street", kimg=given.kimg, snap=given.kimg / 4, measure=0)
        rows = np.sort(np.random.default_rng(0).permutation(len(table))[:MEASURED])
        real = np.array(pixels(table.take(rows), options.height, options.width))
        network = OsnetEmbedder()
        found: dict[str, Any] = {"start": quality(SHIPPED / "street", real, network)}
        for name, weight in (("without", 0.0), ("aided", GanOptions().vision)):
            gan = train_gan(table, work / name, dataclasses.replace(options, vision=weight))
            found[name] = {"seconds": read_json(gan / "run.json")["seconds"], **quality(gan, real, network)}
            say(f"{name}: {found[name]}")
    name = given.data_name or given.data.name
    write_json(
        RESULT,
        {
            "what": "training with and without the second judgement, from the shipped generator; one seed",
            "command": shlex.join(["python", "benchmarks/vision_aided.py", "--data", "DIR", "--data-name", name]),
            "data": {"name": name, "fraction": given.fraction, "pictures": len(table)},
            "kimg": given.kimg,
            "values": found,
            "threads": torch.get_num_threads(),
            "machine": machine(),
        },
    )


if __name__ == "__main__":
    main()
