"""Draws every study of `results/studies/` in one figure: what made pictures did to mAP.

    python benchmarks/studies_figure.py

Writes `results/studies/all.png`: a row for each arm that was held against real pictures trained for as many steps, with
the mean difference and its 95 % interval over seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from synreid.stage.files import read_json

RESULTS = Path(__file__).parent.parent / "results" / "studies"
ROW_INCHES = 0.23


def matched(result: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the title and the difference in mAP of each arm that was held against real pictures for as many steps."""
    arms = {arm["name"]: arm for arm in result["arms"]}
    rows = [row for row in result["differences"] if row["metric"] == "map" and arms[row["against"]]["matched"]]
    return [(arms[row["arm"]]["title"].replace("real + ", ""), row) for row in rows if row["low"] is not None]


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw the studies below each other, a heading and a row for each arm."""
    shown = {name: rows for name, result in results.items() if (rows := matched(result))}
    lines = sum(len(rows) + 1.4 for rows in shown.values())
    figure, axes = pyplot.subplots(figsize=(9, ROW_INCHES * lines + 0.7), layout="constrained")
    y, ticks = 0.0, []
    for name, rows in shown.items():
        result = results[name]
        ticks.append((y, f"{name}: {result['data']['train_identities']} persons, {len(result['seeds'])} seeds", True))
        for title, row in rows:
            y -= 1
            ticks.append((y, title, False))
            _difference(axes, row, y)
        y -= 1.4
    axes.axvline(0, color="0.2", linewidth=0.8)
    axes.set_yticks([tick[0] for tick in ticks], [tick[1] for tick in ticks], fontsize=8)
    for label, (_, _, heading) in zip(axes.get_yticklabels(), ticks, strict=True):
        label.set_fontweight("bold" if heading else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(y + 0.8, 0.8), xlabel="change of mAP against real pictures for as many steps, points")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=110)


def _difference(axes: Axes, row: dict[str, Any], y: float) -> None:
    low, mean, high = (100 * row[key] for key in ("low", "mean", "high"))
    colour, mark = ("tab:blue", "^") if low > 0 else ("tab:red", "v") if high < 0 else ("0.45", "o")
    axes.plot([low, high], [y, y], color=colour, linewidth=2)
    axes.plot([mean], [y], mark, color=colour, markersize=5)


def main() -> None:
    """Read, draw."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found = {path.stem: read_json(path) for path in sorted(RESULTS.glob("*.json"))}
    draw({name: result for name, result in found.items() if "differences" in result}, RESULTS / "all.png")


if __name__ == "__main__":
    main()
