"""Numbers as the report prints them."""

from __future__ import annotations

import statistics

import pytest

from synreid.report import words


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.0062, "+0.62"), (-0.0031, "\N{MINUS SIGN}0.31"), (0.0, "0.00"), (-0.00001, "0.00"), (None, words.NONE)],
)
def test_points(fraction: float | None, text: str) -> None:
    assert words.points(fraction) == text


def test_p_value() -> None:
    assert [words.p_value(p) for p in (0.0004, 0.032, None)] == ["p < 0.001", "p = 0.032", words.NONE]
    assert words.p_value(0.5, bare=True) == "0.500"


def test_mean_sd_uses_the_sample_deviation() -> None:
    values = [0.264, 0.25, 0.271]
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    assert words.mean_sd(values) == f"{100 * mean:.1f} ± {100 * deviation:.1f}"
    assert words.mean_sd([0.264]) == "26.4"
    assert words.mean_sd([]) == words.NONE


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.84, "0.8 s"),
        (48.2, "48 s"),
        (59.7, "1 min 0 s"),
        (723, "12 min 3 s"),
        (6300, "1 h 45 min"),
        (None, words.NONE),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


def test_interval_of_one_seed() -> None:
    assert words.interval(None, None) == "no interval"
    assert words.interval(-0.0031, 0.0155) == "\N{MINUS SIGN}0.31 to +1.55"
    assert words.in_brackets(None, None) == "(one seed, no interval)"
    assert words.in_brackets(-0.0031, 0.0155) == "(95 % interval \N{MINUS SIGN}0.31 to +1.55)"
    assert words.several(1, "query", "queries") == "1 query"


def test_thousands_are_those_of_sample_grids_names() -> None:
    assert [words.thousands(kimg) for kimg in (0.128, 12.288, 320.0)] == ["0.1", "12.3", "320"]


def test_what_utf8_cannot_hold_is_replaced() -> None:
    assert words.writable("a\ud800b \N{CHECK MARK}") == "a?b \N{CHECK MARK}"
