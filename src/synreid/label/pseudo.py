"""Made pictures are whoever the model takes them for at the moment."""

from __future__ import annotations

import torch
from torch.nn import functional

from synreid.label.real import RealIdentities


class Pseudo(RealIdentities):
    """Pseudo-labels: q_k = 1 for k = argmax p and 0 otherwise, p the present model's probabilities for a made row.

    Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks",
    equation 14. The answer is that of the very step that learns from it, under dropout. Of classes that are equally
    likely it is the first.
    """

    name = "pseudo"

    def made_targets(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return one-hot probabilities, [M, K]."""
        return functional.one_hot(logits.argmax(1), self.count).to(torch.float32)
