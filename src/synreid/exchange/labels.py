"""Soft labels as a file: the targets of a strategy that needs no model, picture by picture."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from synreid.data.table import column
from synreid.exchange.names import FixedLabels
from synreid.label.strategies import ALONE
from synreid.stage.errors import UserError

LABELS, CLASSES = "labels.parquet", "classes.csv"
BLOCK = 4096  # pictures at a time, so that memory holds only their targets


def check_labels(name: str) -> None:
    """Raise UserError where the targets of the strategy `name` cannot be written down before a training."""
    fixed = get_args(FixedLabels)
    if name not in fixed:
        raise UserError(
            f"labels {name} are not fixed before a model is trained, or no labels at all; choose one of: "
            f"{', '.join(fixed)}, or leave them out."
        )


def write_labels(name: str, table: pa.Table, places: list[str], persons: np.ndarray, folder: Path) -> None:
    """Write the targets of strategy `name` for the N training rows of `table` into `folder`.

    `labels.parquet` has a row a picture: `path`, as in `places` [N], and `target`, C probabilities that sum to 1, in
    the order of `classes.csv` (index, pid, person), where `person` is the number that `persons` [N] gives, empty for a
    class that is nobody's. Raises UserError where the strategy cannot label these rows.
    """
    check_labels(name)
    strategy = ALONE[name]()
    classes = strategy.classes(table)
    schema = pa.schema([("path", pa.string()), ("target", pa.list_(pa.float32(), len(classes)))])
    with pq.ParquetWriter(folder / LABELS, schema, compression="zstd") as file:
        for start in range(0, len(table), BLOCK):
            block = places[start : start + BLOCK]
            picked = torch.arange(start, start + len(block))
            targets, _ = strategy.targets(picked, torch.zeros(len(block), len(classes)), 0)
            flat = pa.array(targets.numpy().ravel(), pa.float32())
            columns = [pa.array(block, pa.string()), pa.FixedSizeListArray.from_arrays(flat, len(classes))]
            file.write_table(pa.table(columns, schema=schema))
    number = dict(zip(column(table, "pid"), persons.tolist(), strict=True))
    with open(folder / CLASSES, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "pid", "person"])
        writer.writerows([index, pid, number.get(pid, "")] for index, pid in enumerate(classes))
