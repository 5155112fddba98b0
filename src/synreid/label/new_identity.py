"""The plain strategy: every identity, real or made, is a class of its own."""

from __future__ import annotations

import pyarrow as pa
import torch
from torch.nn import functional

from synreid.label.base import identities, index_of_classes


class NewIdentity:
    """Hard labels: the class is the picture's own `pid`, the weight is 1 (section 4 of the thesis)."""

    name = "new-identity"

    def __init__(self) -> None:
        self.index = torch.empty(0, dtype=torch.int64)
        self.count = 0

    def classes(self, table: pa.Table) -> list[str]:
        """Return the sorted identities of `table`; raises UserError when a row has none."""
        names, index = index_of_classes(identities(table))
        self.index, self.count = torch.from_numpy(index), len(names)
        return names

    def targets(self, rows: torch.Tensor, logits: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one-hot probabilities [B, C] and ones [B]."""
        labels = self.index[rows.to(self.index.device)].to(logits.device)
        probabilities = functional.one_hot(labels, self.count).to(torch.float32)
        return probabilities, torch.ones(len(labels), device=logits.device)

    def persons(self) -> torch.Tensor:
        """Return the class of every row, int64 [N]."""
        return self.index
