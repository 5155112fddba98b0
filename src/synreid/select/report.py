"""A finished selection as a plain table: what each rule discarded, in percent of all and of what reached it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synreid.select.run import SUMMARY
from synreid.stage.files import expected_shape, read_json
from synreid.stage.folder import read_run


def selection_as_text(folder: Path) -> str:
    """Return the table of a `select run` folder; raises UserError where `folder` is not a finished, whole one."""
    read_run(folder, "select")
    path = folder / SUMMARY
    with expected_shape(path):
        return _as_text(read_json(path))


def kept_as_text(folder: Path) -> str:
    """Return a sentence of what a `select run` folder kept; raises UserError where its summary is damaged."""
    path = folder / SUMMARY
    with expected_shape(path):
        found = read_json(path)
        return (
            f"kept {found['kept']:,} of {found['made']:,} pictures, {found['persons_kept']:,} of "
            f"{found['persons_made']:,} persons; `synreid select report {folder}` says why the others went."
        )


def _as_text(summary: dict[str, Any]) -> str:
    lines = [f"{'rule':16} {'in':>8} {'discarded':>10} {'of stage':>9} {'of all':>9} {'threshold':>10}"]
    for row in summary["stages"]:
        threshold = "" if row["threshold"] is None else f"{row['threshold']:.4g}"
        shares = f"{row['percent_of_stage']:7.2f} % {row['percent_of_all']:7.2f} %"
        lines.append(f"{row['name']:16} {row['in']:8d} {row['discarded']:10d} {shares} {threshold:>10}")
    discarded = summary["made"] - summary["kept"]
    lines.append(
        f"{'all discarded':16} {summary['made']:8d} {discarded:10d} {'':9} {100 - summary['percent_kept']:7.2f} %"
    )
    lines.append(f"{'kept':16} {'':8} {summary['kept']:10d} {'':9} {summary['percent_kept']:7.2f} %")
    return "\n".join(lines)
