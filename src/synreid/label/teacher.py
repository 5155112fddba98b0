"""Half a made picture's label is what it claims to be, half is who a model of the real pictures takes it for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch

from synreid.data.table import rows as table_rows
from synreid.label.base import made_rows
from synreid.label.new_identity import NewIdentity
from synreid.stage.errors import UserError

Predict = Callable[[pa.Table], tuple[list[str], np.ndarray]]
"""Takes a picture table of N rows; returns the teacher's class names [T] and its logits [N, T]."""


class TeacherLabels(NewIdentity):
    """Hard labels for real rows; a made row's target is share * its own class + (1 - share) * softmax of the teacher.

    The teacher is a model of the real pictures alone; classes that it does not know, as new identities, get nothing
    from it. DG-Net (Zheng et al. 2019, "primary feature learning") trains its made pictures to the
    teacher's prediction only, by the Kullback-Leibler divergence; here `share` of the claim is kept, since the claim
    is what the picture was made for. With share 0 the cross-entropy is that divergence plus a constant.
    """

    name = "teacher"

    def __init__(self, predict: Predict, share: float = 0.5) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise UserError(f"the share of the claim in teacher labels is {share}, but must lie in 0 to 1; correct it.")
        self.predict, self.share = predict, share
        self.place = torch.empty(0, dtype=torch.int64)
        self.known = torch.empty(0, dtype=torch.int64)
        self.taught = torch.empty(0, 0)

    def classes(self, table: pa.Table) -> list[str]:
        """Return the sorted identities of `table`, whose made rows are shown to the teacher now, once.

        Raises UserError when a row has no identity, and where there are made rows and the teacher knows none of the
        identities, or one that is not among them.
        """
        names = super().classes(table)
        made = made_rows(table)
        self.place = torch.from_numpy(np.where(made, made.cumsum() - 1, -1))  # of a made row in `taught`
        if made.any():
            taught, logits = self.predict(table_rows(table, made))
            self.known = places(taught, names)
            self.taught = torch.from_numpy(np.asarray(logits)).to(torch.float64).softmax(1).to(torch.float32)
        return names

    def targets(self, rows: torch.Tensor, logits: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one-hot probabilities [B, C], those of made rows mixed with the teacher's, and ones [B]."""
        probabilities, weight = super().targets(rows, logits, step)
        place = self.place[rows.to(self.place.device)]
        made = place >= 0
        if made.any():
            teacher = torch.zeros(int(made.sum()), self.count)
            teacher[:, self.known] = self.taught[place[made]]
            made = made.to(logits.device)
            probabilities[made] = self.share * probabilities[made] + (1 - self.share) * teacher.to(logits.device)
        return probabilities, weight

    def persons(self) -> torch.Tensor:
        """Return the class of every real row and -1 for made ones, whose targets are spread, int64 [N]."""
        return self.index.masked_fill(self.place >= 0, -1) if self.share < 1 else self.index


def places(taught: list[str], names: list[str]) -> torch.Tensor:
    """Return where each of the teacher's classes stands among `names`, int64 [T]."""
    place = {name: index for index, name in enumerate(names)}
    unknown = [name for name in taught if name not in place]
    if len(unknown) == len(taught):
        raise UserError(
            f"the teacher knows none of the {len(names)} identities that are trained on (it knows {taught[0]}); "
            "give a model that was trained on the real pictures of this training."
        )
    if unknown:
        raise UserError(
            f"the teacher knows {len(unknown)} identities that are not trained on (the first is {unknown[0]}); "
            "give a model that was trained on the real pictures of this training and on no others."
        )
    return torch.tensor([place[name] for name in taught])
