"""Made pictures are everyone a little, by how likely the model finds each identity at the moment."""

from __future__ import annotations

import torch

from synreid.label.ranks import rank_weights
from synreid.label.real import RealIdentities


class MprlDynamic1(RealIdentities):
    """Dynamic multi-pseudo regularised labels, first kind (dMpRL-I): `rank_weights` of the present model's answers.

    They follow the model from the first step on, where it knows nothing yet (Huang et al. 2019, arXiv 1801.06742). The
    answer is that of the very step that learns from it, under dropout.
    """

    name = "mprl-dynamic-1"

    def made_targets(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return the weights of this step, [M, K]."""
        return rank_weights(logits)
