"""How much made pictures count in the loss, and from when on, whatever they are called."""

from __future__ import annotations

import pyarrow as pa
import torch

from synreid.label.base import LabelStrategy, made_rows


class Weighted:
    """Another strategy's targets, with the weights of made rows times `weight`, and times 0 before step `start`.

    Where all rows are made they have the strategy's own weights.
    """

    def __init__(self, strategy: LabelStrategy, weight: float = 1.0, start: int = 0) -> None:
        self.strategy, self.weight, self.start = strategy, weight, start
        self.name = strategy.name
        self.made = torch.empty(0, dtype=torch.bool)

    def classes(self, table: pa.Table) -> list[str]:
        """Return the strategy's own classes; raises UserError as it does."""
        made = made_rows(table)
        self.made = torch.from_numpy(made & ~made.all())  # without real rows there is nothing to weigh them against
        return self.strategy.classes(table)

    def targets(self, rows: torch.Tensor, logits: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the strategy's own probabilities [B, C], and weights [B]."""
        probabilities, weight = self.strategy.targets(rows, logits, step)
        made = self.made[rows.to(self.made.device)].to(weight.device)
        return probabilities, torch.where(made, weight * (self.weight if step >= self.start else 0.0), weight)

    def persons(self) -> torch.Tensor:
        """Return the strategy's own, int64 [N]."""
        return self.strategy.persons()
