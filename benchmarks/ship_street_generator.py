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
COARSE = GanOptions(gamma=0.1, lr_g=2.5e-3, lr_d=2.5e-3, ema_kimg=5.0, ema_rampup=0.05, measure=0)
STAGES = (
    dataclasses.replace(COARSE, height=16, width=8, kimg=60, snap=60),
    dataclasses.replace(COARSE, height=32, width=16, kimg=50, snap=50),
    # At full size the generator must go slowly: at the coarse stages' rate it drew the same rings into every picture.
    GanOptions(kimg=8, snap=4, gamma=1.0, lr_g=5e-4, lr_d=2e-3, r1_every=8, measure=500),
)
RESULT = Path(__file__).parent.parent / "results" / "generate" / "shipped-street.json"


def main() -> None:
    """Draw, train, halve, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the drawn set and the training run")
    options = parser.parse_args()
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
        },
    )


if __name__ == "__main__":
    main()
