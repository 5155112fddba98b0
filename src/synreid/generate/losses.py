"""The losses of adversarial training, each named after its paper."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from synreid.generate.generator import Generator

PATH_LENGTH_DECAY = 0.01  # of the running mean of path lengths


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the logistic loss of logits [N] on real and on made pictures (Goodfellow et al. 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Return the non-saturating logistic loss of logits [N] on made pictures (Goodfellow et al. 2014)."""
    return F.softplus(-fake).mean()


def r1_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """Return the mean squared length of the logits' slope at real pictures [N, 3, H, W].

    Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", equation 9, without gamma / 2.
    """
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def path_lengths(generator: Generator, w: Tensor, noise: Tensor, rng: torch.Generator) -> Tensor:
    """Return how far each picture moves with its styles `w` [N, num_ws, w_dim]: [N], with a graph.

    Karras et al. 2020 (StyleGAN2), section 3.2 and appendix B: the length of J^T y for random pictures y of unit size.
    """
    pictures = generator.synthesize(w, noise)
    size = math.sqrt(pictures.shape[2] * pictures.shape[3])
    y = torch.randn(pictures.shape, generator=rng).to(pictures.device) / size
    (slope,) = torch.autograd.grad((pictures * y).sum(), w, create_graph=True)
    return slope.square().sum(2).mean(1).sqrt()
