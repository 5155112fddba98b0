"""Label strategies by name, for options and recipes."""

from __future__ import annotations

from synreid.label.base import LabelStrategy
from synreid.label.new_identity import NewIdentity
from synreid.label.shuffled import Shuffled
from synreid.stage.errors import UserError

NAMES = (NewIdentity.name, Shuffled.name)


def strategy(name: str, seed: int) -> LabelStrategy:
    """Return a fresh strategy; `seed` is the training's own. Raises UserError for a name that is not in `NAMES`."""
    if name == NewIdentity.name:
        return NewIdentity()
    if name == Shuffled.name:
        return Shuffled(seed)
    raise UserError(f"label strategy '{name}' does not exist; choose one of: {', '.join(NAMES)}.")
