"""Label strategies by name, for options and recipes."""

from __future__ import annotations

from synreid.label.base import LabelStrategy
from synreid.label.new_identity import NewIdentity
from synreid.label.shuffled import Shuffled
from synreid.label.smoothed import Smoothed
from synreid.label.teacher import Predict, TeacherLabels
from synreid.stage.errors import UserError

NAMES = (NewIdentity.name, Shuffled.name, Smoothed.name, TeacherLabels.name)


def strategy(name: str, seed: int, teacher: Predict | None = None) -> LabelStrategy:
    """Return a fresh strategy; `seed` is the training's own, `teacher` for teacher labels and for no others.

    Raises UserError for a name that is not in `NAMES`, and for a teacher that is missing or of no use.
    """
    if name not in NAMES:
        raise UserError(f"label strategy '{name}' does not exist; choose one of: {', '.join(NAMES)}.")
    if name == TeacherLabels.name:
        if teacher is None:
            raise UserError(
                "label strategy 'teacher' needs a teacher; give the folder of a reid train run on the real pictures."
            )
        return TeacherLabels(teacher)
    if teacher is not None:
        raise UserError(f"a teacher was given, but label strategy '{name}' has none; leave it out, or choose teacher.")
    if name == Shuffled.name:
        return Shuffled(seed)
    return Smoothed() if name == Smoothed.name else NewIdentity()
