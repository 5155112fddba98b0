"""The curve of a generator's distances over its training, as in figure 5.1 of the thesis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synreid.quality.metrics import frechet_name
from synreid.stage.files import atomic_path


def draw_curve(measures: Sequence[dict[str, Any]], path: Path) -> None:
    """Write a PNG of the Fréchet distance and KID against kimg, from the lines of a training's `quality.json`.

    Distances on other features or of other counts are not comparable: each kind has a line of its own.
    """
    figure = Figure(figsize=(7, 6), layout="constrained")
    distance, kernel = figure.subplots(2, 1, sharex=True)
    for label, lines in _kinds(measures).items():
        kimg = [line["kimg"] for line in lines]
        distance.plot(kimg, [line["frechet"] for line in lines], marker="o", label=label)
        kernel.errorbar(
            kimg,
            [line["kid"] for line in lines],
            [line["kid_sd"] for line in lines],
            marker="o",
            capsize=3,
            label=label,
        )
    names = {frechet_name(str(line["features"])) for line in measures}
    _finish(distance, names.pop() if len(names) == 1 else "Fréchet distance")
    _finish(kernel, "KID (bars: standard deviation)")
    kernel.axhline(0, color="0.6", linewidth=0.8)
    kernel.set_xlabel("kimg (thousands of real pictures shown)")
    figure.legend(*distance.get_legend_handles_labels(), loc="outside upper left", fontsize="small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _kinds(measures: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(measures, key=lambda line: line["kimg"]):
        label = f"{line['made']:,} made, {line['real']:,} real pictures; {line['features']}"
        kinds.setdefault(label, []).append(line)
    return kinds


def _finish(axes: Axes, name: str) -> None:
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
