"""Lines to the user, on standard error, so that standard output stays for results."""

from __future__ import annotations

from functools import cache

from rich.console import Console


@cache
def console() -> Console:
    """Return the one console that progress bars and lines share."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print one line."""
    console().print(text, markup=False)


def warn(text: str) -> None:
    """Print one line that the user should not overlook."""
    console().print(f"warning: {text}", markup=False, style="yellow")
