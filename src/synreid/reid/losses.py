"""Losses of re-ID training: cross-entropy to soft targets, triplets, and distances to persons' centres."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from synreid.reid.options import ReidOptions
from synreid.reid.seeds import CENTRES, seed_torch

CENTRE_RATE = 0.5  # at which centres learn, reid-strong-baseline's


def cross_entropy(
    logits: torch.Tensor, probabilities: torch.Tensor, weight: torch.Tensor, smoothing: float = 0.0
) -> torch.Tensor:
    """Return the mean over a batch of weight [B] times the cross-entropy of logits [B, C] to probabilities [B, C].

    `smoothing` of each target is spread evenly over the classes (Szegedy et al. 2016, section 7, arXiv 1512.00567).
    """
    each = functional.cross_entropy(logits, probabilities, reduction="none", label_smoothing=smoothing)
    return (weight * each).mean()


class MetricLosses(nn.Module):
    """The losses that compare pictures' features, each times its weight in the options; none where it is 0.

    They see pictures of one certain person only whose weight is above 0. A picture's distance to its centre, or the
    triplet that it is the anchor of, counts with the picture's weight; the mean goes over those pictures.
    """

    def __init__(self, options: ReidOptions, classes: int, size: int) -> None:
        super().__init__()
        self.weights = {"triplet": options.triplet, "centre": options.centre}
        self.centres = Centres(classes, size, options.seed) if options.centre else None
        self.triplets: Triplets = weighted_triplets
        if options.triplet and options.triplet_kind == "hard":
            self.triplets = HardTriplets(options.margin)

    def forward(self, features: torch.Tensor, persons: torch.Tensor, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the losses by name, of features [B, D], persons' classes [B] (-1 for none) and weights [B].

        In training, the centres move.
        """
        seen = (persons >= 0) & (weight > 0)
        features, persons, weight = features[seen].float(), persons[seen], weight[seen]
        losses = {}
        if self.weights["triplet"]:
            each, anchors = self.triplets(features, persons)
            losses["triplet"] = self.weights["triplet"] * _mean(weight[anchors] * each)
        if self.centres is not None:
            losses["centre"] = self.weights["centre"] * _mean(weight * self.centres(features, persons))
            if self.training:
                self.centres.follow(features.detach(), persons)
        return losses


Triplets = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Takes features [B, D] and persons [B]; returns the losses of T triplets [T] and their anchors' places [T]."""


class HardTriplets:
    """max(0, d(a, p) - d(a, n) + margin) of each picture a, its farthest positive p and its nearest negative n.

    Hermans et al. 2017, "In Defense of the Triplet Loss for Person Re-Identification", equation 5 (arXiv 1703.07737);
    distances are Euclidean, of raw features. Without a margin it is log(1 + exp(d(a, p) - d(a, n))), the soft margin.
    """

    def __init__(self, margin: float | None) -> None:
        from pytorch_metric_learning import distances, losses, miners, reducers  # some seconds, for who needs it

        distance = distances.LpDistance(normalize_embeddings=False)
        self.miner = miners.BatchHardMiner(distance=distance)
        self.loss = losses.TripletMarginLoss(
            margin=margin or 0.0,
            smooth_loss=margin is None,
            distance=distance,
            reducer=reducers.DoNothingReducer(),
        )

    def __call__(self, features: torch.Tensor, persons: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the losses [T] and anchors [T] of features [B, D] of `persons` [B].

        A picture that is the only one of its person, or has no negative, is no anchor.
        """
        triplets = self.miner(features, persons) if len(persons) else (persons,) * 3
        if not len(triplets[0]):
            return features.new_zeros(0), triplets[0]
        return self.loss(features, persons, triplets)["loss"]["losses"], triplets[0]


def weighted_triplets(features: torch.Tensor, persons: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weighted regularisation triplet loss of each anchor [T], and the anchors [T].

    log(1 + exp(sum_p w_p d_p - sum_n w_n d_n)) over an anchor's positives p and negatives n, with w_p the softmax of
    their distances and w_n that of their negated ones. Ye et al. 2021, "Deep Learning for Person Re-Identification: A
    Survey and Outlook", equation of section 4 (arXiv 2001.04193). Features [B, D], `persons` [B].
    """
    same = persons[:, None] == persons[None]
    positive = same & ~torch.eye(len(persons), dtype=torch.bool, device=persons.device)
    anchors = (positive.any(1) & (~same).any(1)).nonzero()[:, 0]
    distance = torch.cdist(features, features)[anchors]
    to_positives = distance.masked_fill(~positive[anchors], -torch.inf).softmax(1)
    to_negatives = (-distance).masked_fill(same[anchors], -torch.inf).softmax(1)
    return functional.softplus(((to_positives - to_negatives) * distance).sum(1)), anchors


class Centres(nn.Module):
    """One centre a class, which its features are drawn to and which follows them.

    Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition", equation 2, without its
    half. As in reid-strong-baseline, the centres start at random and take plain gradient steps of 0.5 down the mean
    squared distance of a batch, whatever the loss's weight.
    """

    def __init__(self, classes: int, size: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            seed_torch(seed, CENTRES)
            self.register_buffer("values", torch.randn(classes, size))
        self.values: torch.Tensor

    def forward(self, features: torch.Tensor, persons: torch.Tensor) -> torch.Tensor:
        """Return the squared distance of each feature [B, D] to its person's centre, [B]."""
        return (features - self.values[persons]).square().sum(1)

    @torch.no_grad()
    def follow(self, features: torch.Tensor, persons: torch.Tensor) -> None:
        """Take the step towards features [B, D] of `persons` [B]."""
        slope = 2 / max(1, len(features)) * (self.values[persons] - features)
        self.values.index_add_(0, persons, slope, alpha=-CENTRE_RATE)


def _mean(each: torch.Tensor) -> torch.Tensor:
    return each.sum() / max(1, len(each))
