"""What strategies have in common that know the real identities alone: no class is a made person's."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pyarrow as pa
import torch
from torch.nn import functional

from synreid.data.table import rows as table_rows
from synreid.label.base import identities, index_of_classes, made_rows
from synreid.stage.errors import UserError


class RealIdentities(ABC):
    """Hard labels for real rows; a made row's `pid` is not looked at, and its target is for the strategy to say."""

    name: str

    def __init__(self) -> None:
        self.index = torch.empty(0, dtype=torch.int64)  # of a row's class; -1 for made rows
        self.count = 0

    def classes(self, table: pa.Table) -> list[str]:
        """Return the sorted identities of the real rows, of which there are K.

        Raises UserError when there is no real row, or one without identity.
        """
        made = made_rows(table)
        if made.all():
            raise UserError(
                f"label strategy '{self.name}' labels made pictures by real identities, but there are no real "
                "training pictures; add real ones, or choose new-identity."
            )
        names, real = index_of_classes(identities(table_rows(table, ~made)))
        index = np.full(len(table), -1)
        index[~made] = real
        self.index, self.count = torch.from_numpy(index), len(names)
        return names

    def targets(self, rows: torch.Tensor, logits: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return probabilities [B, C], one-hot for real rows, and ones [B]."""
        labels = self.index[rows.to(self.index.device)].to(logits.device)
        made = labels < 0
        probabilities = functional.one_hot(labels.clamp(min=0), self.count).to(torch.float32)
        if made.any():
            probabilities[made] = self.made_targets(rows.to(logits.device)[made], logits[made])
        return probabilities, torch.ones(len(labels), device=logits.device)

    def persons(self) -> torch.Tensor:
        """Return the class of every real row, and -1 for made ones, int64 [N]."""
        return self.index

    @abstractmethod
    def made_targets(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of the M made rows of a batch, float32 [M, C] on `logits`' device.

        `rows` [M] are indices into the bound table, `logits` [M, C] the model's present answer.
        """
