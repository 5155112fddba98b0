"""Persons found by their latents: ranking by what an encoder sees, alone and beside a re-ID model's features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from synreid.generate.persons import GROUPS, layer_group
from synreid.invert.latents import Inversion, read_block
from synreid.quality.neighbours import unit_length
from synreid.reid.evaluate import Evaluation, evaluate_features
from synreid.stage.progress import progress
from synreid.stage.tensors import write_tensors

ENCODED = 512  # pictures between two savings
PAIRED = 256  # queries that are compared with a gallery at a time


def latent_ranking(
    query_w: Tensor,
    gallery_w: Tensor,
    mean: Tensor,
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    query: pa.Table,
    gallery: pa.Table,
) -> dict[str, Evaluation]:
    """Rank the gallery for each query by styles, [Q, num_ws, w_dim] and [G, num_ws, w_dim], and by features beside.

    Styles are compared by the cosine of what they are away from the mean latent `mean` [num_ws, w_dim], over all layers
    (`latents`) and over each group of layers by itself. `features` is by a network's features, float32 [Q, D] and
    [G, D], and `both` by the two of them as `joined` has them. Nothing here is fitted to who is who.
    """
    away = [w - mean for w in (query_w, gallery_w)]
    found = {"features": evaluate_features(query_features, gallery_features, query, gallery)}
    for name, layers in _layer_sets(query_w.shape[1]).items():
        left, right = (_flat(w[:, list(layers)]) for w in away)
        found[name] = evaluate_features(left, right, query, gallery)
    left, right = joined((query_features, _flat(away[0])), (gallery_features, _flat(away[1])))
    return {**found, "both": evaluate_features(left, right, query, gallery)}


def joined(query: Sequence[np.ndarray], gallery: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return several kinds of features, [Q, D_i] and [G, D_i], as one kind, [Q, D] and [G, D], for ranking by cosine.

    The cosine of the joined features is the weighted mean of the parts' cosines, the weight of each being one over its
    standard deviation among all pairs of query and gallery: every part is standardised, and counts as much as any
    other. That looks at how widely cosines spread, not at who is who, and is fixed beforehand.
    """
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for parts in zip(query, gallery, strict=True):
        left, right = (unit_length(part) for part in parts)
        weight = np.float32(1 / np.sqrt(max(_deviation(left, right), 1e-12)))
        for side, part in zip(sides, (left, right), strict=True):
            side.append(weight * part)
    return np.concatenate(sides[0], axis=1), np.concatenate(sides[1], axis=1)


def encode_pictures(inversion: Inversion, pictures: np.ndarray, folder: Path) -> Tensor:
    """Return the encoder's styles [N, num_ws, w_dim] of pictures, uint8 [N, H, W, 3].

    They are saved block by block in `folder`, from where a run that was cut off goes on.
    """
    found = []
    with progress("encoding pictures", len(pictures)) as bar:
        for start in range(0, len(pictures), ENCODED):
            path = folder / f"{start:07d}.safetensors"
            block = pictures[start : start + ENCODED]
            if not path.exists():
                write_tensors(path, {"w": inversion.encode(block)})
            shape = (len(block), inversion.generator.num_ws, inversion.generator.w_dim)
            found.append(read_block(path, {"w": shape})["w"])
            bar.advance(len(block))
    return torch.cat(found)


def _layer_sets(num_ws: int) -> dict[str, tuple[int, ...]]:
    """Return all layers and each group of layers that is not empty."""
    groups = {name: layer_group(name, num_ws) for name in GROUPS}
    return {"latents": tuple(range(num_ws)), **{name: layers for name, layers in groups.items() if layers}}


def _flat(w: Tensor) -> np.ndarray:
    flat: np.ndarray = w.flatten(1).numpy()
    return flat


def _deviation(left: np.ndarray, right: np.ndarray) -> float:
    """Return the standard deviation of all products of a row of [Q, D] and a row of [G, D]."""
    total = squares = 0.0
    for start in range(0, len(left), PAIRED):
        block = left[start : start + PAIRED] @ right.T
        total += float(block.sum(dtype=np.float64))
        squares += float(np.square(block, dtype=np.float64).sum())
    count = len(left) * len(right)
    return float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0)))
