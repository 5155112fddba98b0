"""Whether the vision-aided discriminator pays: training with and without it from the same start.

Usage: python benchmarks/vision_aided.py --data DIR [--data-name NAME] [--fraction 0.1] [--kimg 12] [--work DIR]

All go on from the shipped generator, see the same pictures in the same order, and are measured on the features of
OSNet x0.25 (`SYNREID_WEIGHTS`), which none looked through. Since an aided step takes longer, a third training goes
without aid for twice as many pictures. The pictures go to --work, numbers to `results/generate/vision-aided.json`.
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
from synreid.generate.options import GanOptions
from synreid.generate.place import SHIPPED
from synreid.generate.quality import distance
from synreid.generate.train import train_gan
from synreid.stage.files import read_json, write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

MEASURED = 1000  # pictures of each kind, at most
RESULT = Path(__file__).parent.parent / "results" / "generate" / "vision-aided.json"


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
        options = GanOptions(start="street", kimg=given.kimg, tick=given.kimg / 4, snap=1, metrics="none")
        rows = np.sort(np.random.default_rng(0).permutation(len(table))[:MEASURED])
        real = np.array(pixels(table.take(rows), options.height, options.width))
        network = OsnetEmbedder()
        found: dict[str, Any] = {"start": distance(SHIPPED / "street", real, network)}
        plain = dataclasses.replace(options, vision_aid=0)
        arms = {
            "aided": options,
            "without": plain,
            "without, twice as long": dataclasses.replace(plain, kimg=2 * given.kimg),
        }
        for name, asked in arms.items():
            gan = train_gan(table, work / name.replace(", ", "-").replace(" ", "-"), asked)
            found[name] = {"seconds": read_json(gan / "run.json")["seconds"], **distance(gan, real, network)}
            say(f"{name}: {found[name]}")
    name = given.data_name or given.data.name
    sizes = ["--fraction", f"{given.fraction:g}", "--kimg", f"{given.kimg:g}"]
    write_json(
        RESULT,
        {
            "what": "training with and without the vision-aided discriminator, from the shipped generator; one seed",
            "command": shlex.join(
                ["python", "benchmarks/vision_aided.py", "--data", "DIR", "--data-name", name, *sizes]
            ),
            "data": {"name": name, "fraction": given.fraction, "pictures": len(table)},
            "kimg": given.kimg,
            "values": found,
            "threads": torch.get_num_threads(),
            "machine": machine(),
        },
    )


if __name__ == "__main__":
    main()
