"""Which layers of a generator hold identity, pose, background and colour: the numbers and their figure, no pictures.

    python benchmarks/layer_roles.py NAME=GAN [NAME=GAN ...]

`GAN` is what `synreid gan layers` takes; `NAME` names the result, `results/invert/layers-NAME.json` and `.png`.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import tempfile
from pathlib import Path

from synreid.generate.place import generator_fingerprint, generator_place
from synreid.invert.layer_figure import draw_layers
from synreid.invert.layer_options import LayerOptions
from synreid.invert.layer_stage import read_layers, show_layers
from synreid.stage.files import write_json
from synreid.stage.fingerprint import plain
from synreid.stage.log import say
from synreid.stage.machine import machine

RESULTS = Path(__file__).parent.parent / "results" / "invert"


def main() -> None:
    """Measure each generator and write its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generators", nargs="+", metavar="NAME=GAN", help="a generator and the name of its result")
    options = LayerOptions()
    for given in parser.parse_args().generators:
        name, _, gan = given.partition("=")
        with tempfile.TemporaryDirectory() as folder:
            roles = read_layers(show_layers(Path(gan), Path(folder) / "layers", options, None))
        result = {
            "what": f"which layers of the generator {name} hold identity, pose, background and colour",
            "command": shlex.join(["python", "benchmarks/layer_roles.py", f"{name}=GAN"]),
            "generator": generator_fingerprint(generator_place(Path(gan))),
            "options": dataclasses.asdict(options),
            "safe": list(roles.safe()),
            "most": roles.most(),
            **plain(roles),
            "machine": machine(),
        }
        write_json(RESULTS / f"layers-{name}.json", result)
        draw_layers(roles, RESULTS / f"layers-{name}.png")
        say(roles.as_text())


if __name__ == "__main__":
    main()
