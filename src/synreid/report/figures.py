"""The report's figures, each an answer to the question that stands above it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from synreid.report import svg
from synreid.report.cost import Cost, energy
from synreid.report.entries import Difference, Study
from synreid.report.words import METRIC_NAMES, duration, interval, mean_sd, points

ROW = 50.0  # height of a row: a line of words, and under it what it names
MOST_ROWS = 18  # a chart of more is longer than two screens
PAIR_ROW = 68.0  # the same with a second line of words, for what the arm is held against
MARKERS = {"above": "^", "below": "v", "across": "o", "none": "o"}
VERDICT_COLOURS = {"above": svg.ABOVE, "below": svg.BELOW, "across": svg.SOFT, "none": svg.SOFT}


def differences(study: Study, metric: str) -> Markup | None:
    """Return paired differences of a metric: the mean, its interval, and a dot for each seed, about a zero line."""
    listed = [d for d in study.differences if d.metric == metric]
    if many_differences(study):
        kept = [d for d in listed if (arm := study.arm(d.arm)) and arm.made and _is_matched(study, d.against)]
        listed = kept or listed
    shown = [(study.title(d.arm), f"against {study.title(d.against)}", d) for d in listed]
    return _forest(shown, metric, f"differences-{metric}")


def many_differences(study: Study) -> bool:
    """Whether `differences` leaves out all but those of made pictures against controls with as many steps."""
    return sum(d.metric == "map" for d in study.differences) > MOST_ROWS


def many_arms(study: Study) -> bool:
    """Whether `arms` leaves out the controls with as many steps as an arm of made pictures."""
    return len(study.arms) > MOST_ROWS


def _is_matched(study: Study, name: str) -> bool:
    arm = study.arm(name)
    return arm is not None and arm.matched


def headlines(studies: Mapping[str, Study], metric: str) -> Markup | None:
    """Return the difference that each study's answer is about, a row a study, about one zero line."""
    shown = []
    for name, study in studies.items():
        pair = (study.headline.arm, study.headline.against, metric) if study.headline else None
        found = next((d for d in study.differences if (d.arm, d.against, d.metric) == pair), None)
        if found is not None:
            shown.append((name, study.title(found.arm), found))
    return _forest(shown, metric, f"headlines-{metric}")


def _forest(shown: list[tuple[str, str, Difference]], metric: str, name: str) -> Markup | None:
    """Draw a row for each difference under two lines of words."""
    if not shown:
        return None
    with svg.house_style():
        figure, axes = svg.blank(PAIR_ROW * len(shown) + 46, top=4, bottom=42, left=4, right=4)
        axes.axvline(0, color=svg.INK, linewidth=1)
        for row, (first, second, difference) in enumerate(shown):
            _difference_row(axes, difference, -row)
            _words(axes, -row + 0.33, _fit(first), points(difference.mean))
            _words(axes, -row + 0.1, _fit(second, 60), "", svg.SOFT)
        edges = [100 * v for *_, d in shown for v in (d.mean, d.low, d.high, *d.per_seed, 0.0) if v is not None]
        _row_axes(axes, len(shown), edges)
        axes.set_xlabel(f"difference in {METRIC_NAMES.get(metric, metric)}, percentage points")
        spoken = "; ".join(
            f"{first}, {second}: {points(d.mean)}, {interval(d.low, d.high)}" for first, second, d in shown
        )
        return svg.to_svg(figure, name, f"Paired differences in percentage points. {spoken}")


def _difference_row(axes: Axes, difference: Difference, y: float) -> None:
    verdict = difference.verdict
    colour = VERDICT_COLOURS[verdict]
    if difference.low is not None and difference.high is not None:
        axes.plot([100 * difference.low, 100 * difference.high], [y - 0.16] * 2, color=colour, linewidth=2.6)
    axes.plot(
        [100 * difference.mean],
        [y - 0.16],
        marker=MARKERS[verdict],
        markersize=8.5,
        color=colour,
        markerfacecolor=colour if verdict in ("above", "below") else svg.PAPER,
        markeredgewidth=1.8,
        zorder=4,
    )
    seeds = 100 * np.asarray(difference.per_seed)
    axes.plot(seeds, np.full(len(seeds), y - 0.33), "o", color=svg.INK, alpha=0.5, markersize=3.6, markeredgewidth=0)


def arms(study: Study, metric: str) -> Markup | None:
    """Return each arm's measure: a mark for each seed (filled: with made pictures), a bar at the mean."""
    listed = study.arms
    if many_arms(study):
        of_made = {d.against for d in study.differences if (arm := study.arm(d.arm)) and arm.made}
        listed = [arm for arm in study.arms if not (arm.matched and arm.name in of_made)]
    shown = [(arm, 100 * np.asarray(study.values(arm.name, metric))) for arm in listed]
    shown = [(arm, values) for arm, values in shown if values.size]
    if not shown:
        return None
    with svg.house_style():
        figure, axes = svg.blank(ROW * len(shown) + 46, top=4, bottom=42, left=4, right=4)
        for row, (arm, values) in enumerate(shown):
            colour = svg.ABOVE if arm.made else svg.SOFT
            heights = -row - 0.2 + (np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.zeros(1))
            axes.plot([values.mean()] * 2, [-row - 0.4, -row], color=colour, linewidth=2.2)
            axes.plot(
                values,
                heights,
                marker="o" if arm.made else "s",
                linestyle="none",
                color=colour,
                markerfacecolor=colour if arm.made else svg.PAPER,
                markersize=5,
                markeredgewidth=1.3,
                zorder=4,
            )
            _words(axes, -row + 0.26, _fit(arm.title), mean_sd(values / 100))
        _row_axes(axes, len(shown), [float(v) for _, values in shown for v in values])
        name = METRIC_NAMES.get(metric, metric)
        axes.set_xlabel(f"{name}, percent")
        spoken = "; ".join(f"{arm.title}: {mean_sd(values / 100)}" for arm, values in shown)
        return svg.to_svg(figure, f"arms-{metric}", f"{name} in percent. {spoken}")


def costs(found: list[Cost]) -> Markup | None:
    """Return each arm's minutes as a bar: its training filled, the work on its pictures hollow behind it."""
    if not found:
        return None
    with svg.house_style():
        figure, axes = svg.blank(ROW * len(found) + 46, top=4, bottom=42, left=4, right=4)
        for row, cost in enumerate(found):
            training, shared = cost.training / 60, cost.shared / 60
            colour = svg.ABOVE if cost.arm.made else svg.SOFT
            axes.barh(-row - 0.2, training, 0.26, color=colour, edgecolor=colour, linewidth=1)
            if shared:
                axes.barh(-row - 0.2, shared, 0.26, left=training, color="none", edgecolor=colour, linewidth=1)
            _words(axes, -row + 0.26, _fit(cost.arm.title), energy(cost.watt_hours))
        _row_axes(axes, len(found), [0.0, *((cost.training + cost.shared) / 60 for cost in found)])
        axes.set_xlim(left=0)
        axes.set_xlabel("minutes; at the right, the energy as estimated below")
        spoken = "; ".join(
            f"{c.arm.title}: training {duration(c.training)}, pictures {duration(c.shared)}, {energy(c.watt_hours)}"
            for c in found
        )
        return svg.to_svg(figure, "costs", f"Minutes of one model of each arm. {spoken}")


def _fit(title: str, letters: int = 50) -> str:
    return title if len(title) <= letters else title[: letters - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def _words(axes: Axes, y: float, left: str, right: str, colour: str = svg.INK) -> None:
    place = axes.get_yaxis_transform()
    axes.text(0, y, left, transform=place, va="center", color=colour, parse_math=False)
    axes.text(1, y, right, transform=place, va="center", ha="right", fontweight="bold", parse_math=False)


def _row_axes(axes: Axes, rows: int, values: list[float]) -> None:
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 1.0
    axes.set(xlim=(low - margin, high + margin), ylim=(-rows + 0.42, 0.5), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.grid(axis="x")
    axes.tick_params(length=0)


def quality(study: Study, keys: list[str], label: str) -> Markup | None:
    """Return the generator's measures over the pictures it has seen, one line for each key that has values."""
    curves = {
        index: [(entry["kimg"], entry[key]) for entry in study.quality if None not in (entry["kimg"], entry[key])]
        for index, key in enumerate(keys)
    }
    return _curves(
        {index: tuple(np.asarray(sorted(curve), float).T) for index, curve in curves.items() if curve},
        name="quality-" + "-".join(keys),
        x_label="pictures the generator has seen, thousands",
        y_label=label,
        markers=True,
    )


def learning(curves: dict[str, tuple[np.ndarray, np.ndarray]], order: list[str], label: str) -> Markup | None:
    """Return learning curves, one line for each arm, drawn in the style of the arm's place in `order`."""
    return _curves(
        {order.index(arm): curve for arm, curve in curves.items()},
        name="learning-" + "".join(letter for letter in label if letter.isalpha()),
        x_label="optimisation steps",
        y_label=label,
        markers=False,
    )


def _curves(
    curves: dict[int, tuple[np.ndarray, ...]], name: str, x_label: str, y_label: str, markers: bool
) -> Markup | None:
    if not curves:
        return None
    with svg.house_style():
        figure, axes = svg.blank(230, left=38, right=8, top=24, bottom=38)
        for index, (x, y) in curves.items():
            style = svg.line_style(index)
            svg.curve(
                axes,
                x,
                y,
                style,
                markersize=4.2,
                clip_on=not markers,  # a marker at 0 is drawn whole
                markevery=1 if markers else (3 * index % 12, 12),  # apart, so that lines that meet stay told apart
            )
        highest = max(float(np.max(y)) for _, y in curves.values())
        axes.set_ylim(0, 1.06 * highest if highest > 0 and math.isfinite(highest) else 1)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        svg.frame_curves(axes, x_label)
        axes.text(0, 1.06, y_label, transform=axes.transAxes, color=svg.SOFT, va="bottom", parse_math=False)
        last = ", ".join(f"{float(y[-1]):.3g}" for _, y in curves.values())
        return svg.to_svg(figure, name, f"{y_label} over {x_label}; last values {last}")
