"""Weights by rank, which multi-pseudo regularised labels are made of."""

from __future__ import annotations

import torch


def rank_weights(scores: torch.Tensor) -> torch.Tensor:
    """Return q_k = 2 r_k / (K (K + 1)) of scores [M, K], float32 [M, K], each row of which sums to 1.

    r_k is the rank of score k among the row's K: 1 for the lowest, K for the highest. Probabilities (.5, .2, .3) have
    the ranks (3, 1, 2) and the weights (3/6, 1/6, 2/6). Equal scores share the mean of their ranks, so that the order
    of the classes does not matter. Huang et al. 2019, "Multi-pseudo Regularized Label for Generated Data in Person
    Re-Identification", section III (arXiv 1801.06742).
    """
    scores = scores.contiguous()
    ordered = scores.sort(1).values
    below = torch.searchsorted(ordered, scores)
    not_above = torch.searchsorted(ordered, scores, right=True)
    ranks = (below + not_above + 1).to(torch.float32) / 2
    count = scores.shape[1]
    return 2 * ranks / (count * (count + 1))
