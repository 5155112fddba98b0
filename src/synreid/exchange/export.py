"""Real and made pictures as a folder that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from synreid.data.table import TABLE, column, concat, from_columns, rows, write_table
from synreid.exchange.labels import check_labels, write_labels
from synreid.exchange.layouts import LAYOUTS, Written
from synreid.exchange.numbering import Numbering, numbered
from synreid.exchange.readme import readme
from synreid.stage.errors import UserError
from synreid.stage.files import write_text
from synreid.stage.fingerprint import plain
from synreid.stage.folder import CONFIG
from synreid.stage.log import say
from synreid.stage.whole import whole_folder

README = "README.txt"


def export(
    real: pa.Table | None,
    made: pa.Table | None,
    out: Path,
    layout: str = "market1501",
    labels: str | None = None,
    asked: dict[str, Any] | None = None,
) -> Path:
    """Write real pictures (all splits) and made ones into the new folder `out`, whole or not at all, and return it.

    `layout` is one of LAYOUTS. Real JPEG files keep their bytes; made pictures name their origin in their metadata.
    Beside the pictures lie `table.parquet` (the picture table of what was written; `source` and `source_sha256` say
    what each was before, which is what `parents` name), README.txt and, with the name of a strategy in `labels`, its
    targets (`labels.parquet`, `classes.csv`). `asked` are the command line's own arguments, for `config.yaml`.

    Raises UserError where there is nothing to write, `out` holds anything, a picture is gone or a made one has changed,
    persons cannot be named apart, a layout needs a camera that is unknown, or labels cannot be written down.
    """
    if layout not in LAYOUTS:
        raise UserError(f"layout '{layout}' does not exist; choose one of: {', '.join(LAYOUTS)}.")
    if labels is not None:
        check_labels(labels)
    parts = [part for part in (real, made) if part is not None and len(part)]
    if not parts:
        raise UserError("there is nothing to export; name real pictures (--data), made ones (--add), or both.")
    if made is not None and not len(made):
        raise UserError("there are no made pictures to add; select again with other rules, or leave them out.")
    writer = LAYOUTS[layout]
    table = _written_rows(concat(parts), writer.junk)
    numbering = numbered(table)
    with whole_folder(out) as folder:
        written = writer.write(table, numbering, folder)
        described = _table(table, numbering, written)
        write_table(described, folder / TABLE)
        if labels is not None:
            train = np.flatnonzero(column(table, "split") == "train")
            places = [written[row].path for row in train]
            write_labels(labels, rows(table, train), places, numbering.persons[train], folder)
        write_text(folder / README, readme(described, layout, labels))
        write_text(folder / CONFIG, yaml.safe_dump(plain(asked or {}), sort_keys=False))
    return Path(out)


def _written_rows(table: pa.Table, with_junk: bool) -> pa.Table:
    """Return the rows that are written; junk that the layout has no place for is left out, which is said."""
    splits, junk = column(table, "split"), column(table, "junk").astype(bool)
    if len(without := np.flatnonzero(splits == None)):  # noqa: E711, elementwise
        raise UserError(
            f"{len(without)} pictures have no split (the first is {column(table, 'path')[without[0]]}); give each one."
        )
    left_out = junk & ~((splits == "gallery") & with_junk)
    if left_out.any():
        say(f"{left_out.sum():,} of {len(table):,} pictures are junk that the layout has no place for: left out.")
    return rows(table, ~left_out)


def _table(table: pa.Table, numbering: Numbering, written: list[Written]) -> pa.Table:
    """Return the picture table of what was written."""
    kept = ("pid", "camera", "split", "junk", "origin", "claim", "parents", "maker")
    sources = zip(column(table, "root"), column(table, "path"), strict=True)
    return from_columns(
        path=[one.path for one in written],
        sha256=[one.sha256 for one in written],
        **{name: table.column(name) for name in kept},
        person=numbering.persons,
        camera_number=numbering.cameras,
        height=[one.height for one in written],
        width=[one.width for one in written],
        source=[f"{Path(root).name}/{path}" for root, path in sources],
        source_sha256=table.column("sha256"),
    )
