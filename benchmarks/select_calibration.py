"""What every score of selection makes of real pictures and pairs, of broken persons, and of pictures of no person.

    python benchmarks/select_calibration.py NAME=DATA --resolution 64x32 --work DIR

Calibrates on the training split of DATA (in DIR, where pictures stay) and writes numbers and curves, no pictures, to
`results/select/calibration-NAME-RESOLUTION.json` and `.png`.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path

from synreid.data.scan import open_data
from synreid.select.calibration import FIGURE, NUMBERS, as_text, calibrate
from synreid.select.calibration_options import CalibrationOptions
from synreid.stage.files import read_json, write_json
from synreid.stage.folder import read_run
from synreid.stage.log import say
from synreid.stage.machine import machine

RESULTS = Path(__file__).parent.parent / "results" / "select"


def main() -> None:
    """Calibrate, and leave what shows nobody."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="NAME=DATA")
    parser.add_argument("--resolution", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=CalibrationOptions.pairs)
    parser.add_argument("--pictures", type=int, default=CalibrationOptions.pictures)
    given = parser.parse_args()
    name, _, place = given.data.partition("=")
    options = CalibrationOptions(pairs=given.pairs, pictures=given.pictures, resolution=given.resolution)
    out = calibrate(open_data(place), given.work / f"calibration-{name}-{given.resolution}", options)
    numbers = read_json(out / NUMBERS)
    result = {
        "what": f"scores of selection on pictures and pairs of {name} at {given.resolution}, and on broken persons",
        "command": f"python benchmarks/select_calibration.py {name}=DATA --resolution {given.resolution} --work DIR",
        "options": asdict(options),
        **numbers,
        "seconds": read_run(out, "calibration")["seconds"],
        "machine": machine(),
    }
    target = RESULTS / f"calibration-{name}-{given.resolution}"
    write_json(target.with_suffix(".json"), result)
    shutil.copyfile(out / FIGURE, target.with_suffix(".png"))
    say(as_text(numbers))


if __name__ == "__main__":
    main()
