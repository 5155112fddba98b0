"""What a step of a generator's training is fed: real pictures in their order, and random numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from synreid.data.table import column
from synreid.generate.options import GanOptions
from synreid.stage.errors import UserError


@dataclass
class Round:
    """What a device works through at a time: n of a step's pictures, with random numbers of their own.

    `real` [n, 3, H, W] in -1 to 1, `z` [2, n, w_dim] and `noise` [n, noise_length] normal, `real_classes` and `classes`
    (of the pictures to be made) int64 [n], `cut` int64 [n] the layer from which on a picture's second z counts.
    """

    rng: torch.Generator
    real: Tensor
    real_classes: Tensor
    z: Tensor
    classes: Tensor
    noise: Tensor
    cut: Tensor
    fake: Tensor | None = None
    features: list[Tensor] = field(default_factory=list)


class Feed:
    """Gives the rounds of each step of a training on `pictures`, uint8 [N, 3, H, W], of classes `labels`, int64 [N]."""

    def __init__(
        self,
        pictures: Tensor,
        labels: Tensor,
        options: GanOptions,
        num_ws: int,
        noise_length: int,
        device: torch.device,
    ) -> None:
        self.pictures, self.labels, self.options, self.device = pictures, labels, options, device
        self.num_ws, self.noise_length = num_ws, noise_length

    def round(self, step: int, number: int) -> Round:
        """Return round `number` of `step`: the same whatever came before, and on whichever device."""
        options, n = self.options, self.options.round
        rounds = options.batch // n
        rng = torch.Generator().manual_seed((options.seed * 1_000_003 + step) * rounds + number)
        real, real_classes = self.real(step, number, rng)
        z = self._moved(torch.randn(2, n, options.w_dim, generator=rng))
        noise = self._moved(torch.randn(n, self.noise_length, generator=rng))
        classes = self._moved(self.labels[torch.randint(0, len(self.labels), (n,), generator=rng)])
        cut = torch.randint(1, max(2, self.num_ws), (n,), generator=rng)
        cut = self._moved(torch.where(torch.rand(n, generator=rng) < options.mixing, cut, self.num_ws))
        return Round(rng, real, real_classes, z, classes, noise, cut)

    def real(self, step: int, number: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return a round's real pictures and their classes, in an order drawn anew for each pass."""
        options, n = self.options, len(self.pictures)
        first = step * options.batch + number * options.round
        places = np.arange(first, first + options.round)
        index = np.empty(options.round, dtype=np.int64)
        for epoch in np.unique(places // n):
            order = np.random.default_rng((options.seed, int(epoch))).permutation(n)
            index[places // n == epoch] = order[places[places // n == epoch] % n]
        chosen = torch.from_numpy(index)
        x = self._moved(self.pictures[chosen]).float() / 127.5 - 1
        if options.mirror:
            flip = torch.rand(options.round, generator=rng) < 0.5
            x = torch.where(self._moved(flip)[:, None, None, None], x.flip(3), x)
        return x, self._moved(self.labels[chosen])

    def _moved(self, x: Tensor) -> Tensor:
        """Return `x` on the device; for a GPU, without waiting until it has done all that it was given before."""
        if self.device.type != "cuda":
            return x.to(self.device)
        return x.pin_memory().to(self.device, non_blocking=True)


def classes_of(train: pa.Table, cond: str) -> tuple[Tensor, tuple[str, ...]]:
    """Return the class of each picture, int64 [N], and the classes' names, sorted; zeros and no name if `none`.

    Raises UserError where a picture has no identity or camera to be asked for by.
    """
    if cond == "none":
        return torch.zeros(len(train), dtype=torch.int64), ()
    values = column(train, cond)
    without = int(sum(value is None for value in values))
    if without:
        raise UserError(
            f"{without} of {len(train)} training pictures have no {cond}, which cond {cond} asks for; "
            "name it in the data, or take --cond none."
        )
    names, numbers = np.unique(values.astype(str), return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64)), tuple(names.tolist())
