"""How long something takes, a GPU's work included."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch


def timed(function: Callable[[], Any], device: torch.device) -> float:
    """Return the seconds that a call takes, from an idle GPU to an idle GPU."""
    wait(device)
    start = time.perf_counter()
    function()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    """Wait until the GPU has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
