"""Charts of a measure over the amount of made pictures; every line has a dash and a marker of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from synreid.report import svg
from synreid.report.dose import Sweep, against_control, changes_from_real, matched_control, our_arms
from synreid.report.entries import Arm, Published, Study
from synreid.report.words import METRIC_NAMES, interval, mean_sd, points

HEIGHT = 250.0
MORE_REAL = svg.Line(svg.ABOVE, (6, 1.5, 1.5, 1.5), "^")
CONTROL = svg.Line(svg.SOFT, (4, 2), "s")
THEIRS = svg.Line(svg.BELOW, (1.5, 1.8), "D")


@dataclass(frozen=True)
class Controls:
    """The controls of some sweeps, in the order of their amounts, and how their line is drawn."""

    of: list[str]
    arms: list[tuple[int, Arm]]
    style: svg.Line


def controls_of(sweeps: Sequence[Sweep]) -> list[Controls]:
    """Return a line for the controls of each sweep; sweeps that have the very same ones share it."""
    found: list[tuple[list[str], list[tuple[int, Arm]]]] = []
    for sweep in sweeps:
        named = zip(sweep.arms, sweep.controls, strict=True)
        arms = [(arm.amount, control) for arm, control in named if control is not None]
        shared = next((names for names, others in found if others == arms), None)
        if shared is not None:
            shared.append(sweep.of)
        elif arms:
            found.append(([sweep.of], arms))
    return [
        Controls(names, arms, svg.line_style(len(sweeps) + index) if index else CONTROL)
        for index, (names, arms) in enumerate(found)
    ]


def more_real_of(study: Study, sweeps: Sequence[Sweep]) -> list[tuple[int, Arm]]:
    """Return the arms that add real persons instead of artificial ones, by their number, of the recipe's own model.

    There are none beside amounts of variations alone, which are pictures and not persons.
    """
    if not any(arm.persons for sweep in sweeps for arm in sweep.arms):
        return []
    found = [(arm.more_real, arm) for arm in study.arms if arm.more_real and arm.baseline is None]
    return sorted(found, key=lambda entry: entry[0])


def levels(study: Study, sweeps: Sequence[Sweep], metric: str) -> Markup | None:
    """Return a measure over the amount: the mean over the seeds in a band of one deviation, and the controls'.

    Beside them are the arms of as many more real persons, if the study has any. Each line starts at the real pictures
    of its own re-ID model.
    """
    drawn = [([(arm.amount, arm) for arm in sweep.arms], svg.line_style(i), False) for i, sweep in enumerate(sweeps)]
    drawn += [(controls.arms, controls.style, True) for controls in controls_of(sweeps)]
    drawn += [(more, MORE_REAL, True)] if (more := more_real_of(study, sweeps)) else []
    spoken = []
    with svg.house_style():
        figure, axes = _blank()
        for arms, style, control in drawn:
            base = study.base_of(arms[0][1].baseline)
            start = [(0, base)] if base is not None else []
            curve = [(amount, arm, 100 * np.asarray(study.values(arm.name, metric))) for amount, arm in [*start, *arms]]
            curve = [(amount, arm, values) for amount, arm, values in curve if values.size]
            if len(curve) < 2:
                continue
            _band(axes, [amount for amount, _, _ in curve], [values for _, _, values in curve], style, control)
            spoken += [f"{arm.title}: {mean_sd(values / 100)}" for _, arm, values in curve]
        if not spoken:
            return None
        _finish(axes, f"{METRIC_NAMES[metric]}, percent", _unit(sweeps))
        label = f"{METRIC_NAMES[metric]} over the amount. {'; '.join(dict.fromkeys(spoken))}"
        return svg.to_svg(figure, f"amounts-{metric}", label)


def _band(axes: Axes, amounts: list[int], values: list[np.ndarray], style: svg.Line, control: bool) -> None:
    means = np.array([own.mean() for own in values])
    deviations = np.array([own.std(ddof=1) if own.size > 1 else 0.0 for own in values])
    if deviations.any():
        if control:  # edges instead of a filled band, so that two bands that overlap stay told apart
            for edge in (means - deviations, means + deviations):
                axes.plot(amounts, edge, color=style.colour, linewidth=0.8, dashes=(1, 2))
        else:
            axes.fill_between(
                amounts, means - deviations, means + deviations, color=style.colour, alpha=0.16, linewidth=0
            )
    _line(axes, amounts, means, style, hollow=control)


def differences(study: Study, sweeps: Sequence[Sweep], metric: str) -> Markup | None:
    """Return the paired difference of each amount against its control, with its interval, about a zero line."""
    curves = [
        (sweep, svg.line_style(index), against_control(study, sweep, metric)) for index, sweep in enumerate(sweeps)
    ]
    curves = [(sweep, style, curve) for sweep, style, curve in curves if curve]
    if not curves:
        return None
    reach = max(amount for _, _, curve in curves for amount, _ in curve)
    with svg.house_style():
        figure, axes = _blank()
        axes.axhline(0, color=svg.INK, linewidth=1)
        for place, (_, style, curve) in enumerate(curves):
            beside = 0.012 * reach * (place - (len(curves) - 1) / 2)  # so that intervals do not hide each other
            x = np.array([0, *(amount for amount, _ in curve)], float)
            x[1:] += beside
            for at, (_, d) in zip(x[1:], curve, strict=True):
                if d.low is not None and d.high is not None:
                    axes.plot([at, at], [100 * d.low, 100 * d.high], color=style.colour, linewidth=1.8)
            _line(axes, x, np.array([0, *(100 * d.mean for _, d in curve)]), style)
        _finish(axes, f"difference in {METRIC_NAMES[metric]}, points", _unit(sweeps))
        spoken = "; ".join(
            f"{study.title(d.arm)}: {points(d.mean)}, {interval(d.low, d.high)}"
            for _, _, curve in curves
            for _, d in curve
        )
        return svg.to_svg(figure, f"amounts-differences-{metric}", f"Paired differences over the amount. {spoken}")


def beside_published(study: Study, published: Published, metric: str) -> Markup | None:
    """Return how a measure changes from amount 0: ours with intervals, our controls, and the published single runs."""
    zero = next((row[metric] for row in published.rows if row["amount"] == 0), None)
    theirs = [row for row in published.rows if row[metric] is not None]
    if zero is None or len(theirs) < 2:
        return None
    own = our_arms(study, published)
    controls = [(amount, control) for amount, arm in own if (control := matched_control(study, arm)) is not None]
    with svg.house_style():
        figure, axes = _blank()
        axes.axhline(0, color=svg.INK, linewidth=1)
        x = np.array([row["amount"] for row in theirs], float)
        y = 100 * np.array([row[metric] - zero for row in theirs])
        _line(axes, x, y, THEIRS)
        doubtful = np.array([bool(row.get("note")) for row in theirs])
        axes.plot(
            x[doubtful],
            y[doubtful],
            marker=THEIRS.marker,
            linestyle="none",
            color=THEIRS.colour,
            markerfacecolor=svg.PAPER,
            markersize=5,
            zorder=5,
        )
        for arms, style in ((controls, CONTROL), (own, svg.line_style(0))):
            changes = changes_from_real(study, arms, metric)
            for amount, d in changes:
                if d.low is not None and d.high is not None:
                    axes.plot([amount] * 2, [100 * d.low, 100 * d.high], color=style.colour, linewidth=1.8)
            means = np.array([0, *(100 * d.mean for _, d in changes)])
            _line(axes, [0, *(amount for amount, _ in changes)], means, style, hollow=style is CONTROL)
        _finish(axes, f"change in {METRIC_NAMES[metric]}, points", f"{published.unit} added")
        spoken = "; ".join(f"{row['amount']:g}: {points(row[metric] - zero)}" for row in theirs)
        return svg.to_svg(figure, f"published-{metric}", f"Published changes over the amount. {spoken}")


def legend(study: Study, sweeps: Sequence[Sweep]) -> list[tuple[Markup, str]]:
    """Return swatch and name of each line of `levels`."""
    kinds = [(svg.swatch(index, "amounts"), sweep.of) for index, sweep in enumerate(sweeps)]
    lines = controls_of(sweeps)
    for index, controls in enumerate(lines):
        name = "real pictures, as many steps" if len(lines) == 1 else f"control of {' and '.join(controls.of)}"
        kinds.append((svg.swatch_of(controls.style, f"amounts-control-{index}", hollow=True), name))
    if more_real_of(study, sweeps):
        kinds.append((svg.swatch_of(MORE_REAL, "amounts-more-real", hollow=True), "as many more real persons"))
    return kinds


def published_legend(published: Published) -> list[tuple[Markup, str]]:
    """Return swatch and name of each line of `beside_published`."""
    found = [
        (svg.swatch_of(svg.line_style(0), "published-ours"), "this study"),
        (svg.swatch_of(CONTROL, "published-control", hollow=True), "this study, real pictures, as many steps"),
        (svg.swatch_of(THEIRS, "published-theirs"), "published, one training each"),
    ]
    if any(row.get("note") for row in published.rows):
        found.append(
            (svg.swatch_of(THEIRS, "published-hollow", hollow=True), "published, with a remark (see the table)")
        )
    return found


def _blank() -> tuple[Figure, Axes]:
    return svg.blank(HEIGHT, left=40, right=8, top=26, bottom=40)


def _line(axes: Axes, x: Sequence[float] | np.ndarray, y: np.ndarray, style: svg.Line, hollow: bool = False) -> None:
    svg.curve(axes, x, y, style, markersize=5, markerfacecolor=svg.PAPER if hollow else style.colour, zorder=4)


def _unit(sweeps: Sequence[Sweep]) -> str:
    of_persons = [arm.persons > 0 for sweep in sweeps for arm in sweep.arms]
    if all(of_persons):
        return "artificial persons added"
    return "artificial persons, or variations a person" if any(of_persons) else "variations of each real person"


def _finish(axes: Axes, y_label: str, x_label: str) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 4, 5, 10]))
    svg.frame_curves(axes, x_label)
    axes.text(0, 1.05, y_label, transform=axes.transAxes, color=svg.SOFT, va="bottom", parse_math=False)
