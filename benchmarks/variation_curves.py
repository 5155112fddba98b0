"""What variations of real persons did to mAP, beside the thesis's table 5.11, and what selection made of each way.

    python benchmarks/variation_curves.py STUDY --name market-variations [--beside NAME ...]

`STUDY` is the folder of a finished study with variations; its numbers must have been exported to
`results/studies/NAME.json` before (`benchmarks/export_study.py`). Writes `NAME-ways.json` (where it selected), and
`NAME.png`: the paired differences to the real arms, with their intervals, beside the thesis's single runs and other
exported studies. Only numbers leave the folder.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot

from synreid.data.table import TABLE, column, read_table
from synreid.select.run import read_selection
from synreid.stage.files import read_json, write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

RESULTS = Path(__file__).parent.parent / "results" / "studies"
THESIS = {  # table 5.11: variations of each person, mAP in percent, one run each, not matched in steps
    **{0: 74.26, 5: 71.97, 10: 70.49, 15: 68.62, 20: 67.40, 25: 66.38, 30: 65.45, 35: 63.58, 40: 64.00, 45: 63.05},
    **{60: 62.44, 70: 62.35, 85: 61.40, 105: 60.57, 135: 60.11},
}
MARKERS = {"inversions": "s", "variations": "o", "selected": "^", "soft": "D"}
SAID = {
    "inversions": "inverted only",
    "variations": "hard labels, no selection",
    "selected": "hard labels, selected",
    "soft": "soft labels, selected",
}


def ways(study: Path) -> dict[str, dict[str, Any]]:
    """Return for each way to vary how many were made, what became of them, and their identity scores."""
    table, selection = read_table(study / "variations" / TABLE), read_selection(study / "select-variations")
    place = {path: row for row, path in enumerate(column(selection, "path"))}
    reasons, scores = column(selection, "reason"), column(selection, "identity")
    found: dict[str, list[int]] = {}
    for path, maker in zip(column(table, "path"), column(table, "maker"), strict=True):
        found.setdefault(json.loads(maker)["operation"], []).append(place[path])
    return {way: _of_way(np.array(rows), reasons, scores) for way, rows in found.items()}


def _of_way(rows: np.ndarray, reasons: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    judged = scores[rows][np.isfinite(scores[rows])]
    counts = Counter(reason or "kept" for reason in reasons[rows])
    return {
        "made": len(rows),
        **dict(sorted(counts.items())),
        "kept_share": round(counts["kept"] / len(rows), 3),
        "identity_median": round(float(np.median(judged)), 3) if len(judged) else None,
    }


def differences(result: dict[str, Any], named: bool) -> list[tuple[int, str, dict[str, Any]]]:
    """Return a study's differences in mAP to the real arms of as many steps: variations, label, row."""
    arms = {arm["name"]: arm for arm in result["arms"]}
    shown = [d for d in result["differences"] if d["metric"] == "map" and d["against"].startswith("real-as-variations")]
    said = f" ({result['recipe']})" if named else ""
    made = [row for row in shown if arms[row["arm"]]["variations"]]
    return [(arms[row["arm"]]["variations"], SAID[row["arm"].split("-")[0]] + said, row) for row in made]


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Draw the differences of each study, and the thesis's to its real arm."""
    figure, axes = pyplot.subplots(figsize=(8, 4.2), layout="constrained")
    amounts = sorted(THESIS)
    axes.plot(
        amounts, [THESIS[n] - THESIS[0] for n in amounts], "x-", color="0.6", label="thesis, table 5.11 (one run)"
    )
    shown = [one for result in results for one in differences(result, len(results) > 1)]
    labels = list(dict.fromkeys(label for _, label, _ in shown))
    for amount in sorted({amount for amount, _, _ in shown}):
        here = [(label, row) for number, label, row in shown if number == amount]
        for place, (label, row) in enumerate(here):
            x = amount + min(1.5, 6 / len(here)) * (place - (len(here) - 1) / 2)
            ends = [[100 * (row["mean"] - row["low"])], [100 * (row["high"] - row["mean"])]]
            colour, mark = f"C{labels.index(label)}", MARKERS[row["arm"].split("-")[0]]
            axes.errorbar([x], [100 * row["mean"]], yerr=ends, fmt=mark, color=colour, capsize=3, label=label)
    axes.axhline(0, color="0.3", linewidth=0.8)
    axes.set(xlabel="variations of each real person", ylabel="change of mAP, points", xlim=(-3, 50), ylim=(-14, 4))
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(handles.values(), handles.keys(), fontsize="small")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Collect, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of a finished study with variations")
    parser.add_argument("--name", required=True, help="name of the exported result")
    parser.add_argument("--beside", nargs="*", default=[], help="names of other exported results to draw too")
    given = parser.parse_args()
    exported = [read_json(RESULTS / f"{name}.json") for name in (given.name, *given.beside)]
    draw(exported, RESULTS / f"{given.name}.png")
    if not (given.study / "select-variations").exists():
        say("The study did not select, so there is nothing to say of each way.")
        return
    measured = {
        "what": "what selection made of each way to vary real persons",
        "command": shlex.join(["python", "benchmarks/variation_curves.py", "STUDY", "--name", given.name]),
        "study": exported[0]["recipe"],
        "ways": ways(given.study),
        "latents": _latents(given.study),
        "thesis_map_percent": {str(amount): value for amount, value in THESIS.items()},
        "machine": machine(),
    }
    write_json(RESULTS / f"{given.name}-ways.json", measured)
    say(json.dumps(measured["ways"], indent=1))


def _latents(study: Path) -> dict[str, float]:
    """Return the mean of each loss of the latents, before and after refinement."""
    table = read_table(study / "latents" / TABLE)
    names = [name for name in table.column_names if name.removesuffix("_encoder") in ("l2", "lpips", "w_norm")]
    return {name: round(float(column(table, name).mean()), 4) for name in names}


if __name__ == "__main__":
    main()
