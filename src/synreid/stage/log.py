"""Lines to the user, on standard error, so that standard output stays for results."""

from __future__ import annotations

import os
from functools import cache

from rich.console import Console

PARENT = "SYNREID_PARENT"  # the number of the process that started this one for another device


def further_process() -> bool:
    """Tell whether another process of the same training has started this one, for a device that is not its first."""
    return PARENT in os.environ and os.environ.get("LOCAL_RANK", "0") != "0"  # as Lightning Fabric numbers them


@cache
def console() -> Console:
    """Return the one console that progress bars and lines share; of a training's processes the first alone speaks."""
    return Console(stderr=True, highlight=False, soft_wrap=True, quiet=further_process())


def say(text: str) -> None:
    """Print one line."""
    console().print(text, markup=False)


def warn(text: str) -> None:
    """Print one line that the user should not overlook."""
    console().print(f"warning: {text}", markup=False, style="yellow")
