"""Random numbers by (seed, purpose, index): nothing to save when a training is cut off, nothing shared by accident."""

from __future__ import annotations

import numpy as np
import torch

# a training's seed serves many purposes, and no two may see the same numbers; label strategies start at 100
WEIGHTS, HEAD, ORDER, AUGMENT, DROPOUT, JITTER, MADE_ORDER, PERSONS, MADE_PERSONS, CHOICE, CENTRES, HELD_OUT = range(12)


def generator(seed: int, purpose: int, index: int = 0) -> np.random.Generator:
    """Return a generator of its own for the `index`-th use (a step, an epoch) of `seed` for `purpose`."""
    return np.random.default_rng([seed, purpose, index])


def seed_torch(seed: int, purpose: int, index: int = 0) -> None:
    """Set torch's own generators likewise, for what draws from them alone: initial weights and dropout."""
    torch.manual_seed(int(np.random.SeedSequence([seed, purpose, index]).generate_state(1, np.uint64)[0]))
