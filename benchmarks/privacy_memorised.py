"""Whether the privacy audit sees a generator that has learned its pictures by heart, and clears one that has not.

    python benchmarks/privacy_memorised.py NAME --data PATH --out FOLDER [--kimg K]

Two generators of the same options are trained, without augmentation: `few` on 20 training pictures of `PATH` (a folder
of persons, or `street`, which is drawn), which it learns by heart if it is given the time, and `all` on the whole
training split. Both are audited against the persons of query and gallery. `FOLDER` gets generators and audits, with
pictures; the numbers alone go to `results/privacy/NAME.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synreid.data.scan import open_data
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.data.table import pick, rows
from synreid.generate.options import GanOptions
from synreid.generate.place import generator_fingerprint
from synreid.generate.train import train_gan
from synreid.stage.files import write_json
from synreid.stage.machine import machine
from synreid.study.privacy import as_text, audit_privacy, read_privacy

RESULTS = Path(__file__).parent.parent / "results" / "privacy"
STREET = StreetOptions(persons=60)
GAN = GanOptions(batch=16, gamma=0.1, aug="none", vision_aid=0, snap=25, metrics="none")


def data_of(given: str, out: Path) -> pa.Table:
    """Return the picture table of a folder, or of `street`, drawn into `out` if it is not there yet."""
    if given != "street":
        return open_data(Path(given))
    place = out / "street"
    return open_data(place if place.exists() else draw_street(place, STREET))


def audited(name: str, learned: pa.Table, data: pa.Table, out: Path, options: GanOptions, count: int) -> dict[str, Any]:
    """Train a generator on `learned` in the folder `out / name`, audit it against `data`; return what was found."""
    gan = train_gan(learned, out / name, options)
    audit = audit_privacy(gan, data, out / f"{name}-audit", count)
    numbers, _ = read_privacy(audit)
    print(f"\n{name}: {as_text(numbers)}\n")
    return {"generator": generator_fingerprint(gan), **numbers}


def main() -> None:
    """Train and audit both generators and write their numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="the result's name")
    parser.add_argument("--data", required=True, help="folder of person pictures with a test split, or street")
    parser.add_argument("--out", type=Path, required=True, help="folder for generators, audits and pictures")
    parser.add_argument("--kimg", type=float, default=200.0, help="thousands of pictures that each is trained with")
    parser.add_argument("--pictures", type=int, default=20, help="pictures that the first one learns")
    parser.add_argument("--count", type=int, default=2000, help="samples of each that are audited")
    parser.add_argument("--height", type=int, default=32)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0, help="of the generators and of the choice of pictures")
    given = parser.parse_args()
    data = data_of(given.data, given.out)
    train = pick(data, split="train", junk=False)
    chosen = np.sort(np.random.default_rng(given.seed).permutation(len(train))[: given.pictures])
    size = {"height": given.height, "width": given.width}
    options = dataclasses.replace(GAN, **size, kimg=given.kimg, seed=given.seed)
    sets = {"few": rows(train, chosen), "all": train}
    found = {name: audited(name, learned, data, given.out, options, given.count) for name, learned in sets.items()}
    asked = ("data", "kimg", "pictures", "count", "height", "width", "seed")
    shown = {**{key: getattr(given, key) for key in asked}, "data": "street" if given.data == "street" else "PATH"}
    words = " ".join(f"--{key} {value}" for key, value in shown.items())
    result = {
        "what": f"the privacy audit of a generator that learned {given.pictures} pictures, and of one that learned all",
        "command": f"python benchmarks/privacy_memorised.py {given.name} {words} --out FOLDER",
        "options": dataclasses.asdict(options),
        "street": dataclasses.asdict(STREET) if given.data == "street" else None,
        "seed": given.seed,
        **found,
        "machine": machine(),
    }
    write_json(RESULTS / f"{given.name}.json", result)


if __name__ == "__main__":
    main()
