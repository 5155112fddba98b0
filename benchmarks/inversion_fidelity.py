"""How well an encoder and refinement keep the person: likeness, and the rank of inverted queries among real pictures.

    python benchmarks/inversion_fidelity.py NAME=ENCODER --gan GAN --data PATH --reid MODEL --out FOLDER

`FOLDER` gets what `synreid encoder measure` makes, with the pictures; the numbers alone go to
`results/invert/fidelity-NAME.json`. The queries are of persons whom the encoder and the generator never saw.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from synreid.data.scan import open_data
from synreid.invert.encoder import encoder_fingerprint
from synreid.invert.measure import MEASURED, as_text, measure_encoder
from synreid.invert.measure_options import MeasureOptions
from synreid.invert.options import RefineOptions
from synreid.stage.files import read_json, write_json
from synreid.stage.machine import machine

RESULTS = Path(__file__).parent.parent / "results" / "invert"
MEASURE, REFINE = MeasureOptions(queries=150, latents=True), RefineOptions(steps=80)


def main() -> None:
    """Measure one encoder and write its numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", metavar="NAME=ENCODER", help="folder of a finished encoder and the result's name")
    parser.add_argument("--gan", type=Path, required=True, help="the generator it was trained with")
    parser.add_argument("--data", type=Path, required=True, help="pictures with query and gallery")
    parser.add_argument("--reid", type=Path, required=True, help="folder of a finished reid train")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and numbers")
    given = parser.parse_args()
    name, _, place = given.encoder.partition("=")
    measure_encoder(open_data(given.data, None), given.gan, Path(place), given.out, MEASURE, REFINE, given.reid, {})
    found = read_json(given.out / MEASURED)
    command = f"python benchmarks/inversion_fidelity.py {name}=ENCODER --gan GAN --data PATH --reid MODEL --out FOLDER"
    result = {
        "what": f"how well inversion keeps the person, encoder {name}",
        "command": command,
        "encoder": encoder_fingerprint(Path(place)),
        "options": {**dataclasses.asdict(MEASURE), **dataclasses.asdict(REFINE)},
        **found,
        "machine": machine(),
    }
    write_json(RESULTS / f"fidelity-{name}.json", result)
    print(as_text(found))


if __name__ == "__main__":
    main()
