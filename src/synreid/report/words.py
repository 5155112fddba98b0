"""Numbers and counts as a reader wants to see them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
METRIC_NAMES = {
    "rank1": "Rank-1",
    "rank5": "Rank-5",
    "rank10": "Rank-10",
    "map": "mAP (standard)",
    "map_trapezoid": "mAP (trapezoid)",
    "minp": "mINP",
}


def writable(text: str) -> str:
    """Return the text with what UTF-8 cannot hold (lone surrogates, which JSON can) as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def percent(fraction: float | None, digits: int = 1) -> str:
    """Return a fraction as a bare percentage, `0.264` as `26.4`; a dash where there is none."""
    return NONE if fraction is None else f"{100 * fraction:.{digits}f}".replace("-", MINUS)


def points(fraction: float | None, digits: int = 2) -> str:
    """Return a difference of fractions in percentage points with its sign, `0.0062` as `+0.62`."""
    if fraction is None:
        return NONE
    text = f"{100 * fraction:+.{digits}f}"
    return text.replace("-", MINUS) if float(text) else text[1:]


def interval(low: float | None, high: float | None) -> str:
    """Return the interval of a difference in points, `-0.31 to +1.55`; says so where one seed gives none."""
    return "no interval" if low is None or high is None else f"{points(low)} to {points(high)}"


def in_brackets(low: float | None, high: float | None) -> str:
    """Return `(95 % interval -0.31 to +1.55)` of a difference, or `(one seed, no interval)`."""
    return "(one seed, no interval)" if low is None or high is None else f"(95 % interval {interval(low, high)})"


def p_value(p: float | None, bare: bool = False) -> str:
    """Return `p = 0.032` or `p < 0.001`, `bare` without the letter; a dash where there is none."""
    if p is None:
        return NONE
    if p < 0.001:
        return "< 0.001" if bare else "p < 0.001"
    return f"{p:.3f}" if bare else f"p = {p:.3f}"


def mean_sd(values: Iterable[float]) -> str:
    """Return `26.4 ± 1.1` in percent; without the deviation for one value, a dash for none."""
    found = np.asarray(list(values), float)
    if not found.size:
        return NONE
    deviation = f" ± {percent(float(found.std(ddof=1)))}" if found.size > 1 else ""
    return percent(float(found.mean())) + deviation


def count(number: float | None) -> str:
    """Return a whole number with thin spaces between thousands; a dash where there is none."""
    return NONE if number is None else f"{int(number):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def thousands(kimg: float) -> str:
    """Return thousands of pictures as the names of sample grids have them, `0.1` or `320`."""
    return f"{round(kimg, 1):g}"


def several(number: int, one: str, many: str | None = None) -> str:
    """Return `1 seed`, `5 seeds`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """Return `48 s`, `12 min 3 s` or `1 h 45 min`."""
    if seconds is None:
        return NONE
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
