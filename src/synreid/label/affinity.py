"""Made pictures are the real persons whom they resemble, each by how much."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from torch.nn import functional

from synreid.data.table import rows as table_rows
from synreid.label.base import made_rows
from synreid.label.real import RealIdentities
from synreid.label.slsr import Embed
from synreid.stage.errors import UserError


class Affinity(RealIdentities):
    """Soft multilabel: q_k = exp(s f.a_k) / sum_i exp(s f.a_i), f a made row's feature, a_k an identity's, of length 1.

    Yu et al. 2019, "Unsupervised Person Re-identification by Soft Multilabel Learning", eq. 1 (arXiv 1903.06325). There
    the a_k are weights that are learned along; here they are the mean features of a teacher, a model of the real
    pictures alone, found once. The scale s, 30, is what makes a distribution of cosines more than nearly uniform.
    """

    name = "affinity"

    def __init__(self, embed: Embed, scale: float = 30.0) -> None:
        super().__init__()
        if not scale > 0:
            raise UserError(f"the scale of affinity labels is {scale}, but must be above 0; correct it.")
        self.embed, self.scale = embed, scale
        self.place = torch.empty(0, dtype=torch.int64)
        self.found = torch.empty(0, 0)

    def classes(self, table: pa.Table) -> list[str]:
        """Return the sorted identities of the real rows; the teacher is asked now, once, where there are made rows.

        Raises UserError as its parent does.
        """
        names = super().classes(table)
        made = made_rows(table)
        self.place = torch.from_numpy(made.cumsum() - 1)  # of a made row in `found`
        if made.any():
            features = (np.asarray(self.embed(table_rows(table, part)), np.float64) for part in (~made, made))
            real, shown = (functional.normalize(torch.from_numpy(part)) for part in features)
            sums = torch.zeros(self.count, real.shape[1], dtype=torch.float64)
            sums.index_add_(0, self.index[torch.from_numpy(~made)], real)
            self.found = (self.scale * shown @ functional.normalize(sums).T).softmax(1).to(torch.float32)
        return names

    def made_targets(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return the affinities, [M, K]."""
        return self.found[self.place[rows.to(self.place.device)]].to(logits.device)
