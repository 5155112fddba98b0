"""Made pictures are everyone a little, by how likely a model of the real pictures finds each identity."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from synreid.data.table import rows as table_rows
from synreid.label.base import made_rows
from synreid.label.ranks import rank_weights
from synreid.label.real import RealIdentities
from synreid.label.teacher import Predict, places
from synreid.stage.errors import UserError


class MprlStatic(RealIdentities):
    """Static multi-pseudo regularised labels (sMpRL): `rank_weights` of a teacher's answers, found once and kept.

    The teacher is a model of the real pictures alone and knows every real identity (Huang et al. 2019, arXiv
    1801.06742).
    """

    name = "mprl-static"

    def __init__(self, predict: Predict) -> None:
        super().__init__()
        self.predict = predict
        self.place = torch.empty(0, dtype=torch.int64)
        self.taught = torch.empty(0, 0)

    def classes(self, table: pa.Table) -> list[str]:
        """Return the sorted identities of the real rows; the made rows are shown to the teacher now, once.

        Raises UserError as its parent does, and where there are made rows and the teacher's identities are others.
        """
        names = super().classes(table)
        made = made_rows(table)
        self.place = torch.from_numpy(made.cumsum() - 1)  # of a made row in `taught`
        if made.any():
            taught, logits = self.predict(table_rows(table, made))
            known = places(taught, names)
            if missing := sorted(set(names) - set(taught)):
                raise UserError(
                    f"label strategy '{self.name}' ranks all {len(names)} real identities, but the teacher does not "
                    f"know {len(missing)} of them (the first is {missing[0]}); give a model that was trained on all."
                )
            answers = torch.empty(len(logits), self.count)
            answers[:, known] = torch.from_numpy(np.asarray(logits)).to(torch.float32)
            self.taught = rank_weights(answers)
        return names

    def made_targets(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return the kept weights, [M, K]."""
        return self.taught[self.place[rows.to(self.place.device)]].to(logits.device)
