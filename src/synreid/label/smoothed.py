"""Label smoothing on made pictures alone: their claim counts for a little less."""

from __future__ import annotations

import pyarrow as pa
import torch

from synreid.label.base import made_rows
from synreid.label.new_identity import NewIdentity
from synreid.stage.errors import UserError


class Smoothed(NewIdentity):
    """Hard labels for real rows, smoothed ones for made rows.

    The target of a made row is 1 - epsilon + epsilon / K on its own class and epsilon / K on each of the others, with
    K classes: label smooth regularisation on the style-transferred pictures only, epsilon 0.1 (Zhong et al. 2019,
    CamStyle, "Training with CamStyle").
    """

    name = "smoothed"

    def __init__(self, epsilon: float = 0.1) -> None:
        super().__init__()
        if not 0 <= epsilon <= 1:
            raise UserError(f"epsilon of label smoothing is {epsilon}, but must lie in 0 to 1; correct it.")
        self.epsilon = epsilon
        self.made = torch.empty(0, dtype=torch.bool)

    def classes(self, table: pa.Table) -> list[str]:
        """Return the sorted identities of `table`; raises UserError when a row has none."""
        names = super().classes(table)
        self.made = torch.from_numpy(made_rows(table))
        return names

    def targets(self, rows: torch.Tensor, logits: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one-hot probabilities [B, K], those of made rows smoothed, and ones [B]."""
        probabilities, weight = super().targets(rows, logits, step)
        epsilon = self.epsilon * self.made[rows.to(self.made.device)].to(probabilities)[:, None]
        return (1 - epsilon) * probabilities + epsilon / self.count, weight

    def persons(self) -> torch.Tensor:
        """Return the class of every real row and -1 for made ones, whose targets are spread, int64 [N]."""
        return self.index.masked_fill(self.made, -1) if self.epsilon else self.index
