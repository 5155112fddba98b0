"""What a snapshot looks like and how far it is from the training pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from synreid.data.sheets import sheet, write_picture
from synreid.features.embedders import EfficientNetLite0, Embedder, default_quality_embedder
from synreid.features.inception import InceptionEmbedder, missing
from synreid.generate.generator import Generator
from synreid.generate.sample import StyleSampler, classes_as_in
from synreid.quality.cached import BLOCK, cached_features, embedded
from synreid.quality.curve import draw_curve
from synreid.quality.distribution import measure
from synreid.quality.metrics import AIDED, PERHAPS_AIDED, Metrics, frechet_name
from synreid.stage.errors import UserError
from synreid.stage.files import read_json, write_json
from synreid.stage.log import say

GRID = (6, 16)  # rows, columns
FILE = "quality.json"
CURVE = "quality.png"
DRAWN = ("kimg", "frechet", "kid", "kid_sd", "made", "real")  # numbers of each line of FILE
LARGEST, LONGEST = 1e300, 200  # of a number and a text that can still be drawn


def distance(gan: Path, real: np.ndarray, embedder: Embedder) -> dict[str, Any]:
    """Return how near as many pictures of the generator in folder `gan` come to `real`, uint8 [N, H, W, 3]."""
    made = embedded(samples(StyleSampler.load(gan), range(len(real))), len(real), embedder)
    return measure(cached_features(real, embedder), made, features=embedder.name)


def samples(sampler: StyleSampler, seeds: Sequence[int], labels: Tensor | None = None) -> Iterator[np.ndarray]:
    """Yield the pictures of all seeds in parts, uint8 [n, H, W, 3].

    A class-conditional generator's classes are drawn as often as `labels`, int64 [M], hold them (default: evenly).
    """
    for start in range(0, len(seeds), BLOCK):
        part = seeds[start : start + BLOCK]
        classes = None if labels is None else classes_as_in(labels, part)
        yield sampler.synthesize(sampler.latents(part, classes=classes), part)


def drawn_rows(total: int, count: int | None, seed: int) -> np.ndarray:
    """Return which of `total` pictures a set is measured against, sorted: `count` drawn by `seed`, or all (None).

    A smaller draw of the same seed is part of a larger one. Raises UserError where fewer than 2 are left.
    """
    rows = np.sort(np.random.default_rng((seed, 7)).permutation(total)[:count])
    if len(rows) < 2:
        raise UserError(f"{len(rows)} real pictures have no spread to measure; give 2 or more, or ask for no measure.")
    return rows


def quality_embedder(kind: str) -> tuple[Embedder, str]:
    """Return what measures of `kind` (`fid` or `fd`) are computed on here, and a sentence that says which."""
    lacking = missing() if kind == "fid" else None
    if kind == "fid" and lacking is None:
        return InceptionEmbedder(), "Quality is FID, measured on its own Inception's features."
    embedder, why = default_quality_embedder()
    if lacking:
        why = f"FID is not measured, since {lacking}. {why} The distance is called {frechet_name(embedder.name)}."
    return embedder, why


def features_name(embedder: Embedder, aided: bool | None) -> str:
    """Return the embedder's name, and of EfficientNet-Lite0 whether the training looked through it, too (None: maybe).

    Every number on such features must say so: a generator is then measured by what it was taught with.
    """
    if not isinstance(embedder, EfficientNetLite0):
        return embedder.name
    return embedder.name + {True: AIDED, False: "", None: PERHAPS_AIDED}[aided]


def read_quality(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a training's `quality.json`, none where there is none yet; UserError for a damaged file."""
    lines = read_json(path) if path.exists() else []
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise UserError(f"{path} is not a list of measures; remove it, and the curve begins anew.")
    for line in lines:
        for name in DRAWN:
            value, least = line.get(name), -LARGEST if name == "kid" else 0  # KID's estimate may lie below zero
            if not isinstance(value, int | float) or not least <= value <= LARGEST:  # NaN does not
                raise UserError(f"{path} does not say {name} as a number; remove it, and the curve begins anew.")
        if not isinstance(line.get("features"), str) or len(line["features"]) > LONGEST:
            raise UserError(f"{path} does not name the features in a few words; remove it, and the curve begins anew.")
    return lines


class Measurement:
    """Takes snapshots of a generator against its training pictures, uint8 [N, 3, H, W], of classes `labels`, int64 [N].

    `aided` says that the training looked through EfficientNet-Lite0, too, None that it may have (`features_name`).
    """

    def __init__(
        self,
        folder: Path,
        pictures: Tensor,
        metrics: Metrics,
        seed: int,
        aided: bool | None = False,
        labels: Tensor | None = None,
    ) -> None:
        self.folder, self.count, self.labels = folder, metrics.count, labels
        self.pictures = pictures.permute(0, 2, 3, 1).numpy()
        self.real: np.ndarray | None = None
        self.grid = self.pictures[np.sort(np.random.default_rng((seed, 7)).permutation(len(pictures))[: np.prod(GRID)])]
        if not self.count:
            return
        read_quality(folder / FILE)  # a damaged one is refused now, not hours later
        self.rows = drawn_rows(len(pictures), None if metrics.full else metrics.count, seed)
        self.embedder, why = quality_embedder(metrics.kind)
        self.features = features_name(self.embedder, aided)
        against = "all" if len(self.rows) == len(pictures) else "a draw of"
        say(f"{why} Each snapshot: {self.count:,} made pictures against {against} {len(self.rows):,} real ones.")

    def take(self, generator: Generator, kimg: float) -> tuple[np.ndarray, dict[str, Any]]:
        """Write the grid of this snapshot; return it, uint8 [H, W, 3], and the measured values (none if not asked)."""
        sampler = StyleSampler(generator, "snapshot", next(generator.parameters()).device)
        rows, columns = GRID
        if kimg == 0 or not (self.folder / "real.png").exists():
            write_picture(self.folder / "real.png", sheet(self.grid, columns))
        grid = sheet(next(samples(sampler, range(rows * columns), self.labels)), columns)
        write_picture(self.folder / f"samples-{kimg:07.1f}.png", grid)
        return grid, self._measured(sampler, kimg) if self.count else {}

    def _measured(self, sampler: StyleSampler, kimg: float) -> dict[str, Any]:
        """Return the values of this snapshot, added to the curve on disk."""
        if self.real is None:
            whole = len(self.rows) == len(self.pictures)  # no copy then
            self.real = cached_features(self.pictures if whole else self.pictures[self.rows], self.embedder)
        made = embedded(samples(sampler, range(self.count), self.labels), self.count, self.embedder)
        values = {"kimg": kimg, **measure(self.real, made, features=self.features)}
        path = self.folder / FILE
        earlier = [line for line in read_quality(path) if line["kimg"] < kimg]
        write_json(path, [*earlier, values])
        draw_curve([*earlier, values], self.folder / CURVE)
        return values
