"""Matplotlib figures as small inline SVG that takes its colours from the page, so light, dark and print all work."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDTH = 360.0  # units of the viewBox; one unit is one CSS pixel on a phone, so text is drawn at its true size there
INK, SOFT, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
ABOVE, BELOW = "#050505", "#060606"
SERIES = ("#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04", "#0a0a05", "#0a0a06")
# Colours that no figure uses stand for the page's own, put in their place when the figure is written.
COLOURS = {
    INK: "currentColor",
    SOFT: "var(--soft)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    ABOVE: "var(--above)",
    BELOW: "var(--below)",
    **{colour: f"var(--s{index + 1})" for index, colour in enumerate(SERIES)},
}
RULES: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "synreid",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Line:
    """How one of several lines is drawn: a colour, a dash and a marker of its own, so that grey tells them apart."""

    colour: str
    dash: tuple[float, ...]
    marker: str


_DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1.5, 1.8), (7, 2, 1.5, 2), (3, 1.5), (9, 3))
LINES = [Line(colour, dash, marker) for colour, dash, marker in zip(SERIES, _DASHES, "osD^vP", strict=True)]


def line_style(index: int) -> Line:
    """Return the style of line `index`; after six, colours and markers come again in other pairs."""
    turn = index // len(LINES)
    own, other = LINES[index % len(LINES)], LINES[(index + turn) % len(LINES)]
    return Line(own.colour, other.dash, LINES[(index + 2 * turn) % len(LINES)].marker)


@contextmanager
def house_style() -> Iterator[None]:
    """Draw within this context, whatever the user's own matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RULES)
        yield


def blank(height: float, left: float = 0, right: float = 0, top: float = 4, bottom: float = 38) -> tuple[Figure, Axes]:
    """Return a figure `WIDTH` x `height` units with one pair of axes inside the margins, all in units."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    box = (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - top - bottom) / height)
    return figure, figure.add_axes(box)


def curve(axes: Axes, x: Sequence[float] | np.ndarray, y: np.ndarray, style: Line, **own: Any) -> None:
    """Draw a curve in its style; `own` are matplotlib's further options of the line."""
    dashes = style.dash or (None, None)
    axes.plot(x, y, color=style.colour, dashes=dashes, linewidth=1.7, marker=style.marker, **own)


def frame_curves(axes: Axes, x_label: str) -> None:
    """Give curves their frame: level lines with few numbers, and no line at the left."""
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel(x_label)


def to_svg(figure: Figure, name: str, label: str) -> Markup:
    """Return the figure as one <svg> element; `name` keeps its ids apart from other figures', `label` is read aloud."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure)
    figure.savefig(
        buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|<defs>\s*</defs>", "", text, flags=re.S)
    for colour, stands_for in COLOURS.items():
        text = text.replace(colour, stands_for)
    text = re.sub(r"font: ([\d.]+px)[^;\"]*|font-family: [^;\"]*", _font, text)
    text = _own_ids(text, name)
    width, height = (round(72 * inches, 1) for inches in figure.get_size_inches())
    head = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
    text = re.sub(r"\s*\n\s*", "\n", head + text[text.index(">") + 1 :]).replace("xlink:href", "href")
    return Markup(text)


def _font(found: re.Match[str]) -> str:
    return f"font-size: {found[1]}" if found[1] else "font-family: inherit"


def _own_ids(text: str, name: str) -> str:
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda m: f"{m[1]}{name}-{m[2]}", text)


def swatch(index: int, place: str) -> Markup:
    """Return a short piece of line `index`, for the legend at `place` in the page's own text."""
    return swatch_of(line_style(index), f"{place}-{index}")


def swatch_of(style: Line, name: str, hollow: bool = False) -> Markup:
    """Return a short piece of a line, `hollow` with an empty marker; `name` keeps its ids apart from other figures'."""
    with house_style():
        figure = Figure(figsize=(34 / 72, 12 / 72), dpi=72)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, 34), ylim=(-6, 6))
        axes.plot([1, 33], [0, 0], color=style.colour, linewidth=1.8, dashes=style.dash or (None, None))
        face = PAPER if hollow else style.colour
        axes.plot(
            [17], [0], color=style.colour, markerfacecolor=face, marker=style.marker, markersize=5, linestyle="none"
        )
        return to_svg(figure, f"swatch-{name}", "")
