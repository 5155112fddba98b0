"""Directions in a generator's styles along which its pictures change: from its weights, its samples, its cameras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from synreid.generate.generator import Generator
from synreid.generate.layers import EqualLinear

SAMPLES = 10_000  # styles that principal components are worked out of
LEAST_PERSONS = 3  # seen by both cameras, before a difference between the two says anything


def style_weights(generator: Generator) -> list[list[Tensor]]:
    """Return for each of the `num_ws` layers the weights [channels, w_dim] of the linear maps that read its style.

    They are found by what they are fed: every layer is given a style of its own, and each map tells which one it saw.
    """
    found: list[list[Tensor]] = [[] for _ in range(generator.num_ws)]

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, EqualLinear)
        found[round(float(inputs[0][0, 0]))].append(module.weight.detach() * module.scale)

    maps = [m for name, m in generator.named_modules() if isinstance(m, EqualLinear) and not name.startswith("mapping")]
    hooks = [module.register_forward_pre_hook(note) for module in maps]
    try:
        device = next(generator.parameters()).device
        numbers = torch.arange(generator.num_ws, dtype=torch.float32, device=device)
        with torch.no_grad():
            generator.synthesize(numbers[None, :, None].expand(1, -1, generator.w_dim))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def sefa(generator: Generator, layers: Sequence[int], count: int) -> Tensor:
    """Return `count` directions [count, w_dim] of unit length, the strongest first, that move `layers` most.

    Closed-form factorisation: Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs", equation 7:
    the eigenvectors of A^T A with the largest eigenvalues, A being the weights that read the style. `count` is cut to
    w_dim.
    """
    weights = style_weights(generator)
    a = torch.cat([weight for layer in layers for weight in weights[layer]]).double()
    _, vectors = torch.linalg.eigh(a.T @ a)  # in ascending order
    return vectors.T.flip(0)[:count].float()


def pca(generator: Generator, count: int, seed: int = 0) -> Tensor:
    """Return the first `count` principal components [count, w_dim], unit length, of the generator's random styles.

    Haerkoenen et al. 2020, "GANSpace: Discovering Interpretable GAN Controls", section 2.1. `count` is cut to w_dim.
    """
    device = next(generator.parameters()).device
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(SAMPLES, generator.w_dim, generator=rng).to(device)
    classes = torch.randint(max(1, len(generator.classes)), (SAMPLES,), generator=rng).to(device)
    with torch.no_grad():
        w = generator.styles(z, classes=classes)[:, 0].double()
    _, vectors = torch.linalg.eigh(torch.cov(w.T))
    return vectors.T.flip(0)[:count].float()


def camera_differences(w: Tensor, persons: np.ndarray, cameras: np.ndarray) -> dict[tuple[str, str], Tensor]:
    """Return for pairs of cameras (from, to) the mean difference of latents [num_ws, w_dim] between them.

    `w` [N, num_ws, w_dim]; `persons` and `cameras` [N] are names, None where unknown. Each person that both cameras saw
    counts once: the difference between the means of its pictures, so that who walked by where does not come in. Pairs
    with fewer than LEAST_PERSONS such persons are left out.
    """
    means: dict[str, dict[str, Tensor]] = {}
    for person, camera in sorted(
        {(p, c) for p, c in zip(persons, cameras, strict=True) if p is not None and c is not None}
    ):
        rows = np.flatnonzero((persons == person) & (cameras == camera))
        means.setdefault(camera, {})[person] = w[torch.from_numpy(rows)].mean(dim=0)
    differences = {}
    for start, end in ((a, b) for a in means for b in means if a != b):
        both = sorted(means[start].keys() & means[end].keys())
        if len(both) >= LEAST_PERSONS:
            steps = [means[end][person] - means[start][person] for person in both]
            differences[start, end] = torch.stack(steps).mean(dim=0)
    return differences
