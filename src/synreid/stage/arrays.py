"""Arrays in NumPy's own files: never a pickle, never an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

DAMAGED = (OSError, ValueError)
"""What reading a file raises that is missing, damaged or no plain array."""


def read_array(path: Path, mapped: Literal["r", "c"] | None = None) -> np.ndarray:
    """Return the array of an .npy file, read or `mapped` (c: copied on write); raises one of `DAMAGED`."""
    try:
        found = np.load(path, mmap_mode=mapped, allow_pickle=False)
    except DAMAGED:
        raise
    except Exception as error:  # NumPy raises many kinds for a damaged head, of memory, for a head of terabytes, too
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if not isinstance(found, np.ndarray):  # whatever begins as a ZIP does counts as several arrays
        raise ValueError("it is an archive, not one array")
    return found
