"""Label strategies by name, for options and recipes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import pyarrow as pa

from synreid.label.affinity import Affinity
from synreid.label.base import LabelStrategy
from synreid.label.extra_class import ExtraClass
from synreid.label.lsro import Lsro
from synreid.label.mixture import Mixture
from synreid.label.mprl_dynamic_1 import MprlDynamic1
from synreid.label.mprl_dynamic_2 import MprlDynamic2
from synreid.label.mprl_static import MprlStatic
from synreid.label.names import TAUGHT
from synreid.label.new_identity import NewIdentity
from synreid.label.pseudo import Pseudo
from synreid.label.shuffled import Shuffled
from synreid.label.slsr import Slsr
from synreid.label.smoothed import Smoothed
from synreid.label.teacher import TeacherLabels
from synreid.stage.errors import UserError

__all__ = ["ALONE", "NAMES", "Teacher", "start_of", "strategy"]


class Teacher(Protocol):
    """A model of the real pictures alone: whom it takes pictures for, and its features of them."""

    def __call__(self, table: pa.Table) -> tuple[list[str], np.ndarray]:
        """Return the class names [T] and the logits [N, T] of a picture table of N rows."""

    def embed(self, table: pa.Table) -> np.ndarray:
        """Return the features [N, D] of a picture table of N rows."""


ALONE: dict[str, Callable[[], LabelStrategy]] = {
    NewIdentity.name: NewIdentity,
    Smoothed.name: Smoothed,
    Lsro.name: Lsro,
    MprlDynamic1.name: MprlDynamic1,
    MprlDynamic2.name: MprlDynamic2,
    ExtraClass.name: ExtraClass,
    Pseudo.name: Pseudo,
    Mixture.name: Mixture,
}
NAMES = (*ALONE, Shuffled.name, *TAUGHT)


def strategy(name: str, seed: int, teacher: Teacher | None = None) -> LabelStrategy:
    """Return a fresh strategy; `seed` is the training's own, `teacher` for those of `TAUGHT` and for no others.

    Raises UserError for a name that is not in `NAMES`, and for a teacher that is missing or of no use.
    """
    if name not in NAMES:
        raise UserError(f"label strategy '{name}' does not exist; choose one of: {', '.join(NAMES)}.")
    if name in TAUGHT:
        if teacher is None:
            raise UserError(
                f"label strategy '{name}' needs a teacher; name the folder of a reid train run on the real pictures "
                "alone by --teacher."
            )
        if name == Slsr.name:
            return Slsr(teacher.embed, seed)
        if name == Affinity.name:
            return Affinity(teacher.embed)
        return MprlStatic(teacher) if name == MprlStatic.name else TeacherLabels(teacher)
    if teacher is not None:
        raise UserError(
            f"a teacher was given, but label strategy '{name}' has none; leave --teacher out, or choose one of: "
            f"{', '.join(TAUGHT)}."
        )
    return Shuffled(seed) if name == Shuffled.name else ALONE[name]()


def start_of(name: str) -> float:
    """Return the part of the training before which made pictures do not count, where options do not say."""
    return MprlDynamic2.start if name == MprlDynamic2.name else 0.0
