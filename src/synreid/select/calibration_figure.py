"""Calibration drawn: histograms and ROC curves of every score, and the pictures that were scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synreid.data.sheets import sheet, shown_scale, titled
from synreid.data.table import spread
from synreid.select.curves import PROPOSED, ScoreSample
from synreid.stage.files import atomic_path

BINS = 40
SHOWN = 8  # pictures of each kind
SHORT = {"pedestrian (ssdlite)": "ssd", "pedestrian (yolox-nano)": "yolox", "pedestrian (hog)": "hog"}
SHORT |= {
    "pedestrian (key-points)": "points",
    "pedestrian (yolo-fastest)": "fastest",
    "realism (EfficientNet-Lite0)": "realism",
}


def draw_calibration(samples: Sequence[ScoreSample], accept: float, path: Path) -> None:
    """Write a PNG: for each score a histogram of every kind with its thresholds, and beside it its ROC curves."""
    figure = Figure(figsize=(10, 2.6 * len(samples)), layout="constrained")
    panels = figure.subplots(len(samples), 2, squeeze=False, width_ratios=(2, 1))
    for (left, right), sample in zip(panels, samples, strict=True):
        _draw_histogram(left, sample, accept)
        _draw_roc(right, sample)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _draw_histogram(axes: Axes, sample: ScoreSample, accept: float) -> None:
    every = np.concatenate(list(sample.values.values()))
    low, high = float(every.min()), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    for kind, values in sample.values.items():
        style = {"color": "black", "linewidth": 1.8} if kind == sample.good else {"linewidth": 1.0}
        axes.hist(
            values, edges.tolist(), weights=np.full(len(values), 1 / len(values)), histtype="step", label=kind, **style
        )
    thresholds = {PROPOSED: sample.proposed(accept), **sample.thresholds}
    for (whose, value), line in zip(thresholds.items(), ("-", "--", ":"), strict=False):
        axes.axvline(value, color="0.5", linewidth=0.9, linestyle=line, label=f"{whose} {value:.3g}")
    axes.set(title=sample.name, ylabel="share")
    axes.legend(fontsize="x-small")
    axes.grid(alpha=0.3)


def _draw_roc(axes: Axes, sample: ScoreSample) -> None:
    curve = sample.curve().to_pydict()
    kinds, shares = np.array(curve["kind"]), np.array(curve["passes"])
    for kind in sample.values:
        if kind != sample.good:
            axes.plot(shares[kinds == kind], shares[kinds == sample.good], label=kind, linewidth=1.2)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axes.set(xlabel="share of others that passes", ylabel=f"share of '{sample.good}'", xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(fontsize="x-small", loc="lower right")
    axes.grid(alpha=0.3)


def probe_sheet(shown: dict[str, np.ndarray], samples: Sequence[ScoreSample]) -> np.ndarray:
    """Return a page, uint8 `[H, W, 3]`: a row a kind with its first pictures, and under each what every score says."""
    count = len(next(iter(shown.values())))
    chosen = spread(count, SHOWN)
    cells = [pictures[k] for pictures in shown.values() for k in chosen]
    captions = ["\n".join(_said(sample, kind, int(k)) for sample in samples) for kind in shown for k in chosen]
    page = sheet(cells, len(chosen), captions, scale=shown_scale(cells[0].shape[0]), sides=list(shown))
    return titled(page, "What single-picture scores say of real pictures, pictures of no person, and broken persons")


def _said(sample: ScoreSample, kind: str, row: int) -> str:
    return f"{SHORT.get(sample.name, sample.name)} {sample.values[kind][row]:.3g}"
