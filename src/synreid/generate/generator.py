"""What every generator has in common: a mapping from z to styles, and pictures from styles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synreid.generate.layers import EqualLinear, activate, unit
from synreid.generate.options import GanOptions


class Mapping(nn.Module):
    """From z [N, w_dim], and a class if there are any, to one style [N, w_dim]; remembers the mean style.

    Classes come in as Karras et al. 2020 (ADA) have it: embedded, brought to unit size, appended to z.
    """

    mean: Tensor

    def __init__(self, w_dim: int, layers: int, classes: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.embed = EqualLinear(classes, w_dim) if classes else None
        inputs = [w_dim * (2 if classes else 1)] + [w_dim] * (layers - 1)
        self.layers = nn.ModuleList(EqualLinear(n, w_dim, lr_multiplier=0.01) for n in inputs)
        self.register_buffer("mean", torch.zeros(w_dim))

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return styles for `z` and the numbers of the classes, int64 [N]; without classes those are not looked at."""
        x = unit(z.float())
        if self.embed is not None:
            assert classes is not None, "a class-conditional generator needs a class for each picture"
            x = torch.cat([x, unit(self.embed(F.one_hot(classes, self.classes).float()))], dim=1)
        for layer in self.layers:
            x = activate(layer(x))
        return x


class Generator(nn.Module):
    """From styles to pictures of `height` x `width` pixels.

    A picture takes `num_ws` styles of size `w_dim`, the coarsest layer's first. `classes` are the names of the classes
    of a class-conditional generator, none for any other; `cond` says what they are. Subclasses say how many styles
    they take, and synthesize.
    """

    num_ws = 1
    betas = (0.0, 0.99)  # of Adam, as the network's paper has them

    def __init__(self, options: GanOptions, classes: Sequence[str] = ()) -> None:
        super().__init__()
        self.height, self.width, self.w_dim = options.height, options.width, options.w_dim
        self.classes, self.cond = tuple(classes), options.cond
        self.mapping: nn.Module = Mapping(options.w_dim, options.map_depth, len(classes))

    @property
    def noise_length(self) -> int:
        """Normal numbers that one picture's noise takes; 0 for a generator without noise."""
        return 0

    def styles(self, z: Tensor, truncation: float = 1.0, classes: Tensor | None = None) -> Tensor:
        """Return styles [N, num_ws, w_dim] for `z` [N, w_dim], the same one for every layer."""
        w = self.mapping(z, classes)
        if truncation != 1.0:
            w = self.mapping.mean.lerp(w, truncation)  # type: ignore[union-attr, operator]
        return w[:, None].expand(-1, self.num_ws, -1)

    def synthesize(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return pictures [N, 3, H, W], about -1 to 1, for styles `w` [N, num_ws, w_dim], `noise` [N, noise_length]."""
        raise NotImplementedError
