"""One random stream for each thing that is drawn, so that no picture depends on which others are drawn, or in what
order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

PERSON, TRACKS, PICTURE, SCENE, CAMERA = range(5)


def stream(seed: int, purpose: int, *numbers: int) -> np.random.Generator:
    """The stream of (world seed, purpose, numbers), e.g. `stream(0, PICTURE, person, picture)`."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose, *numbers])))


def chance(rng: np.random.Generator, share: float) -> bool:
    """True with probability `share`."""
    return bool(rng.random() < share)


def pick(rng: np.random.Generator, weights: dict[Any, float]) -> Any:
    """A key, with probability proportional to its value."""
    share = np.cumsum(np.fromiter(weights.values(), float))
    return list(weights)[int(np.searchsorted(share, rng.random() * share[-1], side="right"))]
