"""Features of query and gallery as plain files, for any other evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from synreid.data.table import column, rows
from synreid.reid.command import write_csv
from synreid.reid.evaluate import Subject
from synreid.stage.files import atomic_path, read_json, write_json

FACTS = "predictions.json"


def write_predictions(subject: Subject, folder: Path) -> None:
    """Write query.npy and gallery.npy, raw features float32 [N, D], and query.csv and gallery.csv, row for row.

    The columns are path (absolute), pid, camera and origin. Gallery pictures that are junk are left out, since other
    evaluators would take them for wrong answers; distractors are there. Nothing is written where the folder holds the
    same model's features of the same pictures. Raises UserError where the folder cannot be written.
    """
    facts = folder / FACTS
    known = read_json(facts) if facts.exists() else None
    if isinstance(known, dict) and known.get("fingerprint") == subject.fingerprint:
        return
    facts.unlink(missing_ok=True)
    for name, table, features in zip(
        ("query", "gallery"), (subject.query, subject.gallery), subject.features, strict=True
    ):
        kept = ~column(table, "junk")
        _write(rows(table, kept), features[kept], folder / name)
    write_json(facts, {**subject.facts(subject.fingerprint), "distance": "cosine", "junk": "left out of the gallery"})


def _write(table: pa.Table, features: np.ndarray, name: Path) -> None:
    with atomic_path(name.with_suffix(".npy")) as temporary:
        np.save(temporary, features, allow_pickle=False)
    write_csv(table, name.with_suffix(".csv"))
