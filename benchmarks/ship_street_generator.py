"""Makes the generator that the package ships, from drawn persons whom no recipe draws.

    python benchmarks/ship_street_generator.py --work runs/ship

draws a world of its own (seed 900001), trains on it, and writes both networks in half precision, with the digests of
all their training pictures, into the package; the curve goes to `results/generate/shipped-street.json`. A run
that was cut off goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

import yaml

from synreid.data.scan import scan
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.data.table import column, from_columns
from synreid.generate.network import DISCRIMINATOR, GENERATOR, PICTURES, SHIPPED, halve
from synreid.generate.options import GanOptions
from synreid.generate.train import train_gan
from synreid.stage.files import read_json, write_json, write_text
from synreid.stage.machine import machine

WORLD = StreetOptions(persons=1200, test_persons=0, pictures=6, seed=900_001)
TRAINING = GanOptions(height=64, width=32, kimg=40, grow=(60.0, 50.0), snap=10, measure=1000, seed=0)
RESULT = Path(__file__).parent.parent / "results" / "generate" / "shipped-street.json"


def main() -> None:
    """Draw, train, halve, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the drawn set and the training run")
    parser.add_argument("--kimg", type=float, default=TRAINING.kimg, help="thousands of pictures to train with")
    options = parser.parse_args()
    training = dataclasses.replace(TRAINING, kimg=options.kimg)
    street = options.work / "street"
    if not street.exists():
        draw_street(street, WORLD)
    found = scan(street).table
    table = from_columns(
        **{name: column(found, name) for name in ("root", "path", "sha256", "pid", "camera")}, split="train"
    )
    gan = train_gan(table, options.work / "gan", training)
    target = SHIPPED / "street"
    target.mkdir(parents=True, exist_ok=True)
    for name in (GENERATOR, DISCRIMINATOR, PICTURES):
        shutil.copy(gan / name, target / name)
    halve(target)
    asked = {"street": dataclasses.asdict(WORLD), "gan": dataclasses.asdict(training)}
    write_text(target / "config.yaml", yaml.safe_dump(asked, sort_keys=False))
    run = read_json(gan / "run.json")
    size = sum((target / name).stat().st_size for name in (GENERATOR, DISCRIMINATOR, PICTURES))
    write_json(
        RESULT,
        {
            "what": "the shipped generator `street`: how it was made and how near it came to its training pictures",
            "command": f"python benchmarks/ship_street_generator.py --work runs/ship --kimg {options.kimg:g}",
            "asked": asked,
            "machine": machine(),
            "seconds": run["seconds"],
            "pictures": len(table),
            "megabytes": round(size / 1e6, 2),
            "quality": read_json(gan / "quality.json"),
        },
    )


if __name__ == "__main__":
    main()
