"""What a label strategy is, and the table column that all of them start from."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pyarrow as pa
import torch

from synreid.data.table import column
from synreid.stage.errors import UserError


class LabelStrategy(Protocol):
    """Turns the rows of one picture table into targets for the cross-entropy."""

    name: str

    def classes(self, table: pa.Table) -> list[str]:
        """Bind the strategy to `table` and return its class names, in the order of the classifier's outputs.

        Raises UserError when a row has no identity that the strategy could use.
        """

    def targets(self, rows: torch.Tensor, logits: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the targets of a batch: probabilities [B, C] that sum to 1, and weights [B].

        `rows` [B] are indices into the bound table, `logits` [B, C] the model's present answer (detached), `step` the
        optimisation step; a strategy that follows the model uses them. The results are float32 on `logits`' device.
        """

    def persons(self) -> torch.Tensor:
        """Return the class of each bound row for losses that compare pictures, int64 [N]; -1 where there is none.

        There is one where the target is a fixed one-hot vector and its class is one person's. A row whose target is
        spread over several classes, follows the model, or is a class that all made pictures share has none.
        """


def identities(table: pa.Table) -> np.ndarray:
    """Return the `pid` of every row, objects [N]; raises UserError at the first row that has none."""
    pids = column(table, "pid")
    missing = np.flatnonzero(np.array([pid is None for pid in pids], dtype=bool))
    if len(missing):
        path = column(table, "path")[missing[0]]
        raise UserError(
            f"{len(missing)} training pictures have no identity (the first is {path}); "
            "leave them out, or choose a label strategy that needs none."
        )
    return pids


def index_of_classes(pids: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the sorted distinct names [C] and each row's index among them, int64 [N].

    Sorted, and over the union of real and made rows, so that neither the order of the rows nor of the tables shows.
    """
    names = sorted(set(pids.tolist()))
    place = {name: index for index, name in enumerate(names)}
    return names, np.fromiter((place[pid] for pid in pids), dtype=np.int64, count=len(pids))


def made_rows(table: pa.Table) -> np.ndarray:
    """Return which rows are made pictures, of whatever origin but real, bool [N]."""
    made: np.ndarray = (column(table, "origin") != "real").astype(bool)
    return made
