"""What a snapshot looks like and how far it is from the training pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from synreid.data.sheets import sheet, write_picture
from synreid.features.embedders import EfficientNetLite0, Embedder, default_quality_embedder
from synreid.generate.network import StyleGenerator
from synreid.generate.sample import StyleSampler
from synreid.quality.distribution import measure
from synreid.stage.files import read_json, write_json
from synreid.stage.log import say

GRID = (6, 16)  # rows, columns
FILE = "quality.json"


def distance(gan: Path, real: np.ndarray, embedder: Embedder) -> dict[str, Any]:
    """Return how near as many pictures of the generator in folder `gan` come to `real`, uint8 [N, H, W, 3]."""
    sampler = StyleSampler.load(gan)
    seeds = range(len(real))
    made = sampler.synthesize(sampler.latents(seeds), seeds)
    return measure(embedder.embed(real), embedder.embed(made), features=embedder.name)


class Measurement:
    """Takes snapshots of a generator against its training pictures, uint8 [N, 3, H, W].

    `aided` says that the training looked through EfficientNet-Lite0, too: then every number on its features says so.
    """

    def __init__(self, folder: Path, pictures: Tensor, count: int, seed: int, aided: bool = False) -> None:
        self.folder, self.count, self.seed = folder, min(count, len(pictures)), seed
        chosen = np.random.default_rng((seed, 7)).permutation(len(pictures))
        self.real = np.ascontiguousarray(
            pictures.numpy()[np.sort(chosen[: max(self.count, GRID[0] * GRID[1])])].transpose(0, 2, 3, 1)
        )
        self.features: np.ndarray | None = None
        if self.count:
            self.embedder, why = default_quality_embedder()
            self.features_are = self.embedder.name
            if aided and isinstance(self.embedder, EfficientNetLite0):
                self.features_are += ", through which the training looked too"
            say(f"{why} Each snapshot: {self.count} pictures.")

    def take(self, generator: StyleGenerator, kimg: float) -> tuple[np.ndarray, dict[str, Any]]:
        """Write the grid of this snapshot; return it, uint8 [H, W, 3], and the measured values (none if not asked)."""
        sampler = StyleSampler(generator, "snapshot", next(generator.parameters()).device)
        rows, columns = GRID
        if kimg == 0 or not (self.folder / "real.png").exists():
            write_picture(self.folder / "real.png", sheet(self.real[: rows * columns], columns))
        seeds = range(max(rows * columns, self.count))
        made = sampler.synthesize(sampler.latents(seeds), seeds)
        grid = sheet(made[: rows * columns], columns)
        write_picture(self.folder / f"samples-{kimg:07.1f}.png", grid)
        if not self.count:
            return grid, {}
        if self.features is None:
            self.features = self.embedder.embed(self.real[: self.count])
        values = measure(self.features, self.embedder.embed(made[: self.count]), features=self.features_are)
        values = {"kimg": kimg, **values}
        path = self.folder / FILE
        earlier = [line for line in (read_json(path) if path.exists() else []) if line["kimg"] < kimg]
        write_json(path, [*earlier, values])
        return grid, values
