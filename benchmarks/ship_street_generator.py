"""Makes the generator that the package ships, from drawn persons whom no recipe draws.

    python benchmarks/ship_street_generator.py --work runs/ship

draws a world of its own (seed 900001), trains on it, and writes both networks in half precision, with the digests of
all their training pictures, into the package; the curve goes to `results/generate/shipped-street.json`. A run
that was cut off goes on. OSNet's weights are needed to measure it (`SYNREID_WEIGHTS`).
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import torch
import yaml

from synreid.data.pixels import pixels
from synreid.data.scan import scan
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.data.table import column, from_columns
from synreid.features.embedders import OsnetEmbedder
from synreid.generate.network import halve
from synreid.generate.options import GanOptions
from synreid.generate.place import DISCRIMINATOR, GENERATOR, PICTURES, SHIPPED
from synreid.generate.quality import distance
from synreid.generate.train import train_gan
from synreid.stage.files import read_json, write_json, write_text
from synreid.stage.machine import machine

WORLD = StreetOptions(persons=1200, test_persons=0, pictures=6, seed=900_001)
GROWING = GanOptions(
    aug="none", ema_kimg=5, metrics="fd500", device="cpu"
)  # 7,200 pictures, few passes over them: no ADA
COARSE = dataclasses.replace(GROWING, ema_rampup=0.05, gamma=0.1, vision_aid=0)
STAGES = (
    dataclasses.replace(COARSE, height=16, width=8, kimg=60, snap=15),
    dataclasses.replace(COARSE, height=32, width=16, kimg=80, snap=10),
    dataclasses.replace(GROWING, kimg=20, tick=1, snap=5, gamma=2, vision_aid=0.5),
)
MEASURED = 1000  # pictures of each kind
RESULT = Path(__file__).parent.parent / "results" / "generate" / "shipped-street.json"


def main() -> None:
    """Draw, train, halve, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the drawn set and the training run")
    options = parser.parse_args()
    network = OsnetEmbedder()  # no training looked through it; where it is missing, that is said now
    torch.set_num_threads(1)  # so that the weights do not depend on the number of cores
    street = options.work / "street"
    if not street.exists():
        draw_street(street, WORLD)
    found = scan(street).table
    table = from_columns(
        **{name: column(found, name) for name in ("root", "path", "sha256", "pid", "camera")}, split="train"
    )
    gan: Path | None = None
    for stage in STAGES:
        start = str(gan) if gan is not None else None
        name = f"gan-{stage.height}x{stage.width}"
        gan = train_gan(table, options.work / name, dataclasses.replace(stage, start=start))
    assert gan is not None
    target = SHIPPED / "street"
    target.mkdir(parents=True, exist_ok=True)
    for name in (GENERATOR, DISCRIMINATOR, PICTURES):
        shutil.copy(gan / name, target / name)
    halve(target)
    asked = {"street": dataclasses.asdict(WORLD), "gan": [dataclasses.asdict(stage) for stage in STAGES]}
    write_text(target / "config.yaml", yaml.safe_dump(asked, sort_keys=False))
    rows = np.sort(np.random.default_rng(0).permutation(len(table))[:MEASURED])
    real = np.array(pixels(table.take(rows), STAGES[-1].height, STAGES[-1].width))
    size = sum((target / name).stat().st_size for name in (GENERATOR, DISCRIMINATOR, PICTURES))
    write_json(
        RESULT,
        {
            "what": "the shipped generator `street`: how it was made and how near it came to its training pictures",
            "command": "python benchmarks/ship_street_generator.py --work runs/ship",
            "asked": asked,
            "machine": machine(),
            "seconds": [read_json(folder / "run.json")["seconds"] for folder in sorted(options.work.glob("gan-*"))],
            "pictures": len(table),
            "megabytes": round(size / 1e6, 2),
            "quality": read_json(gan / "quality.json"),
            "quality_on_other_features": distance(target, real, network),
        },
    )


if __name__ == "__main__":
    main()
