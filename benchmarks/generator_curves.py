"""Collects how generators came nearer to real pictures while they learned: one file, one figure, from finished runs.

    python benchmarks/generator_curves.py NAME=RUN [NAME=RUN ...] --data-name market1501

`RUN` is the folder of a `gan train`, finished or cut off; the pictures that it saw at coarser sizes (`grow`) count. Its
snapshots' measures go to `results/generate/<data-name>-curves.json`, drawn in the `.png` beside it. Only numbers leave
the runs' folders.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from synreid.stage.files import read_json, write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

RESULTS = Path(__file__).parent.parent / "results" / "generate"
MEASURES = ("frechet", "kid", "kid_sd", "precision", "recall", "density", "coverage", "looks", "looks_real")
DRAWN = (("frechet", "Fréchet distance"), ("kid", "kernel distance"), ("recall", "recall"), ("coverage", "coverage"))
LEFT_OUT = ("data", "out", "camera_pattern", "device")


def curve(folder: Path) -> dict[str, Any]:
    """Return what was asked, how long it took, and each snapshot's measures with all the pictures seen until then."""
    run = read_json(folder / "run.json")
    grown = [read_json(path) for path in sorted(folder.glob("grow-*/run.json"))]
    before = sum(stage.get("kimg", 0.0) for stage in grown)
    snapshots = [
        {"kimg": round(line["kimg"] + before, 3), **{name: line[name] for name in MEASURES if name in line}}
        for line in read_json(folder / "quality.json")
    ]
    last = read_json(folder / "quality.json")[-1]
    return {
        "asked": {name: value for name, value in run["config"].items() if name not in LEFT_OUT},
        "finished": run["finished"] is not None,
        "seconds": run["seconds"],  # the coarser sizes' with them
        "features": last["features"],
        "real": last["real"],
        "made": last["made"],
        "machine": run["machine"],
        "snapshots": snapshots,
    }


def draw(curves: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw each measure over the pictures seen, a line a run; lines differ in their marks as well as in colour."""
    figure, axes = pyplot.subplots(1, len(DRAWN), figsize=(4 * len(DRAWN), 3.4), constrained_layout=True)
    for axis, (name, title) in zip(axes, DRAWN, strict=True):
        for mark, (label, found) in zip("osd^vx", curves.items(), strict=False):
            lines = found["snapshots"]
            axis.plot([line["kimg"] for line in lines], [line[name] for line in lines], marker=mark, label=label)
        axis.set_title(title)
        axis.set_xlabel("kimg (coarser sizes included)")
        if name in ("frechet", "kid"):
            axis.set_yscale("log")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(curves), frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Collect and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--data-name", required=True, help="what to call the data in the result")
    given = parser.parse_args()
    curves = {name: curve(Path(folder)) for name, folder in (one.split("=", 1) for one in given.runs)}
    for name, found in curves.items():
        last = found["snapshots"][-1]
        say(f"{name}: FD-{found['features']} {last['frechet']:.0f}, KID {last['kid']:.3f} at {last['kimg']:g} kimg")
    names = " ".join(f"{name!r}=RUN" for name in curves)
    write_json(
        RESULTS / f"{given.data_name}-curves.json",
        {
            "what": f"generators that learn from {given.data_name}'s training split: each snapshot's distance to it",
            "command": f"python benchmarks/generator_curves.py {names} --data-name {given.data_name}",
            "curves": curves,
            "machine": machine(),
        },
    )
    draw(curves, RESULTS / f"{given.data_name}-curves.png")


if __name__ == "__main__":
    main()
