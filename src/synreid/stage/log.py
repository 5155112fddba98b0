"""Lines to the user, on standard error, so that standard output stays for results."""

from __future__ import annotations

import os
from functools import cache

from rich.console import Console


@cache
def console() -> Console:
    """Return the one console that progress bars and lines share; of several processes of a training the first's."""
    further = os.environ.get("LOCAL_RANK", "0") != "0"  # as Lightning Fabric and torchrun set it
    return Console(stderr=True, highlight=False, soft_wrap=True, quiet=further)


def say(text: str) -> None:
    """Print one line."""
    console().print(text, markup=False)


def warn(text: str) -> None:
    """Print one line that the user should not overlook."""
    console().print(f"warning: {text}", markup=False, style="yellow")
