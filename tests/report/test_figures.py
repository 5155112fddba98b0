"""Figures are small, take their colours from the page, and come out the same each time."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synreid.report import figures, svg
from synreid.report.cost import costs_of
from synreid.report.folder import learning_curves, read_study


def test_every_figure_takes_its_colours_from_the_page(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study())
    names = [arm.name for arm in study.arms]
    drawn = [
        figures.differences(study, "map"),
        figures.arms(study, "rank1"),
        figures.quality(study, ["recall", "coverage"], "share"),
        figures.learning(learning_curves(study, "loss"), names, "loss"),
        figures.costs(costs_of(study, 30.0)),
        svg.swatch(3, "test"),
    ]
    for figure in drawn:
        assert figure is not None
        assert not re.findall(r"#[0-9a-f]{6}\b", figure), "a colour that dark mode cannot change"
        assert len(figure) < 40_000
        assert re.findall(r"var\(--(?:\w+)\)|currentColor", figure)


def test_differences_show_a_dot_for_each_seed(make_study: Callable[..., Path]) -> None:
    four, five = (figures.differences(read_study(make_study(f"s{n}", seeds=n)), "map") for n in (4, 5))
    assert four is not None and five is not None
    assert five.count("<use ") - four.count("<use ") == 3  # three differences, one more seed in each


def test_verdict_has_a_marker_of_its_own(make_study: Callable[..., Path]) -> None:
    def figure(low: float, high: float) -> str:
        entry = {"arm": "real+40", "against": "real", "metric": "map", "mean": 0.01, "low": low, "high": high}
        drawn = figures.differences(read_study(make_study(f"{low}", differences=[entry])), "map")
        assert drawn is not None
        return drawn

    above, across, below = figure(0.01, 0.03), figure(-0.01, 0.03), figure(-0.03, -0.01)
    assert "var(--above)" in above and "var(--above)" not in across + below
    assert "var(--below)" in below and "var(--below)" not in above + across


def test_chart_of_many_arms_keeps_controls_that_no_made_pictures_are_held_against(
    make_study: Callable[..., Path],
) -> None:
    arms: list[dict[str, Any]] = [{"name": "real", "control": True}]
    arms.append({"name": "random-erasing", "control": True, "matched": True})
    differences = [{"arm": "random-erasing", "against": "as-0", "metric": "map", "mean": 0.1}]
    for amount in range(9):
        arms.append({"name": f"made-{amount}", "persons": amount + 1})
        arms.append({"name": f"as-{amount}", "control": True, "matched": True})
        entry = {"arm": f"made-{amount}", "metric": "map", "mean": 0.1}
        differences += [entry | {"against": "real"}, entry | {"against": f"as-{amount}"}]
    results = [{"arm": arm["name"], "seed": 0, "map": 0.2} for arm in arms]
    study = read_study(make_study(arms=arms, results=results, differences=differences))
    chart = figures.arms(study, "map")
    assert chart is not None and figures.many_arms(study)
    shown = [arm["name"] for arm in arms if f">{arm['name']}<" in chart]
    assert shown == ["real", "random-erasing", *(f"made-{amount}" for amount in range(9))]


def test_same_study_gives_the_same_bytes(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study())
    assert figures.arms(study, "map") == figures.arms(study, "map")


def test_names_are_escaped_and_never_taken_for_formulas(make_study: Callable[..., Path]) -> None:
    arms = [{"name": "a", "title": '<b>$x_1$</b> & "c"', "persons": 3}]
    figure = figures.arms(read_study(make_study(arms=arms, results=[{"arm": "a", "seed": 0, "map": 0.2}])), "map")
    assert figure is not None
    assert "<b>" not in figure and "$x_1$" in figure


def test_line_styles_differ_without_colour() -> None:
    styles = [(svg.line_style(index).dash, svg.line_style(index).marker) for index in range(36)]
    assert len(set(styles)) == 36
