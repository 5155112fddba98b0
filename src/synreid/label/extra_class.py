"""All made pictures are one class more, that of pictures which are not real."""

from __future__ import annotations

import pyarrow as pa
import torch

from synreid.label.base import made_rows
from synreid.label.real import RealIdentities

EXTRA = "made pictures"  # the name of the class


class ExtraClass(RealIdentities):
    """Hard labels over K + 1 classes: a made row's is the last one, whoever it shows.

    Salimans et al. 2016, "Improved Techniques for Training GANs", section 5 (arXiv 1606.03498); Odena 2016,
    "Semi-Supervised Learning with Generative Adversarial Networks" (arXiv 1606.01583). Without made rows there are K.
    """

    name = "extra-class"

    def classes(self, table: pa.Table) -> list[str]:
        """Return the sorted identities of the real rows, and one name more; raises UserError as its parent does."""
        names = super().classes(table)
        if made_rows(table).any():
            names = [*names, EXTRA]
        self.count = len(names)
        return names

    def made_targets(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return one-hot probabilities of the last class, [M, K + 1]."""
        probabilities = torch.zeros_like(logits, dtype=torch.float32)
        probabilities[:, -1] = 1
        return probabilities
