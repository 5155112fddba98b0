"""Pictures from a trained generator: the same bytes for the same seed, whatever is asked for beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synreid.generate.generator import Generator
from synreid.generate.network import load_generator
from synreid.generate.place import generator_fingerprint

BATCH = 32  # every batch is padded to this size, since a network's rounding depends on it


class StyleSampler:
    """A generator as makers see it.

    `height`, `width`, `num_ws`, `w_dim` are the network's; `fingerprint` names its weights.
    """

    def __init__(self, network: Generator, fingerprint: str, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.network = network.to(self.device).eval()
        self.fingerprint = fingerprint
        self.height, self.width = network.height, network.width
        self.num_ws, self.w_dim = network.num_ws, network.w_dim

    @classmethod
    def load(cls, folder: Path, device: torch.device | None = None) -> StyleSampler:
        """Read the generator of a finished training; raises UserError where there is none."""
        return cls(load_generator(folder), generator_fingerprint(folder), device)

    def classes(self, seeds: Sequence[int]) -> Tensor:
        """Return the number of a class for each seed, int64 [N], drawn evenly; zeros where there are no classes."""
        count = max(1, len(self.network.classes))
        return torch.tensor([int(np.random.default_rng((seed, 2)).integers(count)) for seed in seeds])

    @torch.no_grad()
    def latents(self, seeds: Sequence[int], truncation: float = 1.0, classes: Tensor | None = None) -> Tensor:
        """Return styles [N, num_ws, w_dim], one for each seed; `truncation` below 1 draws them to the mean style.

        `classes`, int64 [N], are what a class-conditional generator is asked for (default: `classes(seeds)`).
        """
        z = torch.stack([_normal(seed, self.w_dim, stream=0) for seed in seeds])
        classes = self.classes(seeds) if classes is None else classes
        batches = zip(*(filled(x, BATCH).split(BATCH) for x in (z, classes)), strict=True)
        made = [
            self.network.styles(part.to(self.device), truncation, wanted.to(self.device)) for part, wanted in batches
        ]
        return torch.cat(made)[: len(z)]

    @torch.no_grad()
    def synthesize(self, w: Tensor, seeds: Sequence[int]) -> np.ndarray:
        """Return pictures, uint8 RGB [N, H, W, 3], for styles `w` [N, num_ws, w_dim]; `seeds` fix their noise."""
        noise = torch.stack([_normal(seed, self.network.noise_length, stream=1) for seed in seeds])
        batches = zip(*(filled(x, BATCH).split(BATCH) for x in (w, noise)), strict=True)
        made = [
            to_uint8(self.network.synthesize(styles.to(self.device), normal.to(self.device)))
            for styles, normal in batches
        ]
        return np.concatenate(made)[: len(w)]


def classes_as_in(labels: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return the number of a class for each seed, int64 [N], each as often as `labels`, int64 [M], hold it on average.

    So the classes of a training's made pictures are drawn, and those of the official programs' metrics.
    """
    return labels[[int(np.random.default_rng((seed, 2)).integers(len(labels))) for seed in seeds]]


def to_uint8(x: Tensor) -> np.ndarray:
    """Turn pictures [N, 3, H, W] in -1 to 1 into uint8 [N, H, W, 3]; what lies outside is clipped."""
    values = x.float().permute(0, 2, 3, 1).mul(127.5).add_(127.5).round_().clamp_(0, 255)
    return values.to(torch.uint8).contiguous().cpu().numpy()


def _normal(seed: int, length: int, stream: int) -> Tensor:
    """Return `length` normal numbers that depend on nothing but the seed and what they are for."""
    if length == 0:  # a network without noise
        return torch.empty(0)
    numbers = np.random.default_rng((seed, stream)).standard_normal(length)
    return torch.from_numpy(numbers.astype(np.float32))


def from_uint8(pictures: np.ndarray, device: torch.device) -> Tensor:
    """Turn pictures, uint8 [N, H, W, 3], into [N, 3, H, W] in -1 to 1, float32, on the device."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def filled(x: Tensor, batch: int) -> Tensor:
    """Return `x` [N, ...] with its last row repeated up to a multiple of `batch`, so that rounding is always the same.

    Where styles are optimised, a sum that is rounded otherwise grows within 30 steps to a difference of 0.05 in styles
    whose deviation is 0.7 (float32, a batch of 5 against one of 16).
    """
    return torch.cat([x, x[-1:].expand(-len(x) % batch, *x.shape[1:])])
