"""Real training pictures that are not trained on, for a curve of what the model makes of pictures it has not seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import torch

from synreid.data.table import column
from synreid.label.base import made_rows
from synreid.reid.backbone import ReidNetwork
from synreid.reid.batches import normalise
from synreid.reid.losses import cross_entropy
from synreid.reid.options import ReidOptions
from synreid.reid.seeds import HELD_OUT, generator
from synreid.stage.device import autocast
from synreid.stage.errors import UserError
from synreid.stage.log import say

BATCH = 64  # pictures measured at a time


def held_out_rows(table: pa.Table, options: ReidOptions) -> np.ndarray:
    """Return which rows of `table` are held out, bool [N]: `options.held_out` of the real ones, at most one a person.

    Each is of a person with another real picture, and no made picture's parent; cameras have their share as nearly as
    persons allow. How many there are is said. None where nothing is asked for, or no row is real. Raises UserError
    where there is no such picture.
    """
    chosen = np.zeros(len(table), dtype=bool)
    real = np.flatnonzero(~made_rows(table))
    wanted = round(options.held_out * len(real))
    if not wanted:
        return chosen
    pids, cameras = column(table, "pid"), column(table, "camera")
    count = Counter(pids[real])
    draw = generator(options.seed, HELD_OUT)
    pictures: dict[object, list[int]] = {}
    for row in draw.permutation(real[~_is_parent(table, real)]):
        if count[pids[row]] > 1:
            pictures.setdefault(pids[row], []).append(row)
    if not pictures:
        raise UserError(
            f"re-ID option held_out is {options.held_out}, but every real picture is the only one of its person or a "
            "made one's parent; set it to 0."
        )
    share = {camera: number / len(real) for camera, number in Counter(cameras[real]).items()}
    taken = Counter[object]()
    for number, candidates in enumerate(list(pictures.values())[:wanted]):  # persons, too, stand in drawn order
        due = {camera: part * (number + 1) - taken[camera] for camera, part in share.items()}
        best = max(candidates, key=lambda row: due[cameras[row]])
        chosen[best] = True
        taken[cameras[best]] += 1
    say(f"{chosen.sum():,} of {len(real):,} real training pictures are held out, at most one a person.")
    return chosen


def _is_parent(table: pa.Table, real: np.ndarray) -> np.ndarray:
    listed = column(table, "parents")[made_rows(table)]
    parents = {parent["sha256"] for row in listed for parent in row or ()}
    return np.array([digest in parents for digest in column(table, "sha256")[real]], dtype=bool)


class HeldOut:
    """The held-out pictures, uint8 [N, H, W, 3], and the classes of the persons they show, int64 [N]."""

    def __init__(self, pictures: torch.Tensor, persons: np.ndarray, names: list[str], device: torch.device) -> None:
        place = {name: index for index, name in enumerate(names)}
        self.pictures = pictures.to(device)
        self.labels = torch.tensor([place[pid] for pid in persons], device=device)
        self.classes = len(names)

    @torch.no_grad()
    def measure(self, network: ReidNetwork, options: ReidOptions, precision: str) -> dict[str, float]:
        """Return `val_loss`, the mean cross-entropy, and `val_error`, the share of wrong answers.

        Nothing is dropped, moved or mirrored; targets are smoothed as in training, so that the curves compare.
        """
        network.eval()
        loss = wrong = 0.0
        for start in range(0, len(self.pictures), BATCH):
            batch = normalise(self.pictures[start : start + BATCH]).contiguous(memory_format=torch.channels_last)
            labels = self.labels[start : start + BATCH]
            with autocast(batch.device, precision):
                logits = network(batch).float()
            targets = torch.nn.functional.one_hot(labels, self.classes).to(torch.float32)
            one = torch.ones(len(labels), device=labels.device)
            loss += float(cross_entropy(logits, targets, one, options.label_smoothing)) * len(labels)
            wrong += float((logits.argmax(1) != labels).sum())
        network.train()
        return {"val_loss": loss / len(self.labels), "val_error": wrong / len(self.labels)}
