"""Variations are all the persons whose styles they are made of, each by how many."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from synreid.data.table import column
from synreid.label.base import made_rows
from synreid.label.new_identity import NewIdentity
from synreid.stage.errors import UserError

GIVES = ("person", "style")  # roles of parents whose own styles are in the picture, not differences of them


class Mixture(NewIdentity):
    """Hard labels for real rows; a variation's target is the share of its styles that comes from each person.

    q_k is proportional to the sum, over its parents of person k, of their weight times their number of layers: after
    mixup (Zhang et al. 2018, eq. 1, arXiv 1710.09412), with layers of StyleGAN's mixing regularisation in the place of
    pixels. Parents that only lend a difference count for nothing; made persons without parents keep their own identity.
    """

    name = "mixture"

    def __init__(self) -> None:
        super().__init__()
        self.place = torch.empty(0, dtype=torch.int64)
        self.mixed = torch.empty(0, 0)

    def classes(self, table: pa.Table) -> list[str]:
        """Return the sorted identities of `table`; raises UserError when a row, or a parent, has none in it."""
        names = super().classes(table)
        made = np.flatnonzero(made_rows(table))
        real = ~made_rows(table)
        known = dict(zip(column(table, "sha256")[real], self.index[torch.from_numpy(real)].tolist(), strict=True))
        self.place = torch.full((len(table),), -1)
        self.place[torch.from_numpy(made)] = torch.arange(len(made))
        self.mixed = torch.zeros(len(made), self.count)
        listed, paths = column(table, "parents"), column(table, "path")
        for place, row in enumerate(made):
            giving = [parent for parent in listed[row] if parent["role"] in GIVES]
            if not giving:
                self.mixed[place, self.index[row]] = 1
            for parent in giving:
                if parent["sha256"] not in known:
                    raise UserError(
                        f"label strategy 'mixture' needs the identity of every parent, but one of {paths[row]} is not "
                        "among the training pictures; train on the pictures that it was made from, or choose smoothed."
                    )
                self.mixed[place, known[parent["sha256"]]] += parent["weight"] * len(parent["layers"] or [0])
        self.mixed /= self.mixed.sum(1, keepdim=True)
        return names

    def targets(self, rows: torch.Tensor, logits: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return probabilities [B, C], one-hot for real rows, and ones [B]."""
        probabilities, weight = super().targets(rows, logits, step)
        place = self.place[rows.to(self.place.device)]
        made = place >= 0
        probabilities[made.to(logits.device)] = self.mixed[place[made]].to(logits.device)
        return probabilities, weight

    def persons(self) -> torch.Tensor:
        """Return the class of every row that is all of one person, and -1 for mixtures of several, int64 [N]."""
        persons, made = self.index.clone(), self.place >= 0
        share, person = self.mixed.max(1)
        persons[made] = person.masked_fill(share < 1, -1)
        return persons
