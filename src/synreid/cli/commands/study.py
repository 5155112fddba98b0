"""Commands that run whole studies and report them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def study(
    recipe: str,
    *,
    out: Path,
    data: Path | None = None,
    gan: Path | None = None,
    workers: int = 1,
    camera_pattern: str | None = None,
) -> None:
    """Answer the question: do artificial persons help? Generator, persons, selection, all arms, all seeds, report.

    Args:
        recipe: Name of a shipped recipe (demo, quick, street-variations, market-cpu, market-variations, thesis) or a
            YAML file.
        out: Folder for everything that the study makes.
        data: Folder or CSV file of person pictures; left out, the recipe's embedded set is drawn.
        gan: Folder of a finished generator to use instead of training one.
        workers: Trainings of re-ID models at a time, each with its share of the cores.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.report.page import write_report
    from synreid.stage.files import read_json
    from synreid.study.run import STUDY, run_study

    run_study(recipe, data, out, gan, camera_pattern, workers)
    report_path = write_report(out)
    print(_table(read_json(out / STUDY)))
    print(f"report: {report_path.resolve()}")


def report(folder: Path) -> None:
    """Write the report of a study again, as one HTML file that opens without a network.

    Args:
        folder: Folder of a finished study.
    """
    from synreid.report.page import write_report

    print(write_report(folder))


def _table(result: dict[str, Any]) -> str:
    """Return the study's answer and its two tables as plain text."""
    rows = {row["arm"]: row for row in result["summary"]}
    lines = ["", f"{'arm':44} {'steps':>6} {'Rank-1':>14} {'mAP':>14} {'mAP trapezoid':>14}"]
    for arm in result["arms"]:
        row = rows[arm["name"]]
        cells = "".join(f" {_percent(row, metric):>14}" for metric in ("rank1", "map", "map_trapezoid"))
        lines.append(f"{arm['title']:44} {arm['steps']:6d}{cells}")
    titles = {arm["name"]: arm["title"] for arm in result["arms"]}
    lines.append("")
    for row in result["differences"]:
        if row["low"] is not None:
            interval = (
                f"{row['mean'] * 100:+.2f} points, 95 % interval {row['low'] * 100:+.2f} to {row['high'] * 100:+.2f}"
            )
            metric = {"map": "mAP", "rank1": "Rank-1"}[row["metric"]]
            lines.append(f"{metric}: {titles[row['arm']]}, against {titles[row['against']]}: {interval}")
    return "\n".join([*lines, "", result["answer"]])


def _percent(row: dict[str, Any], metric: str) -> str:
    deviation = row[f"{metric}_sd"]
    spread = f" ± {deviation * 100:.1f}" if deviation is not None else ""
    return f"{row[f'{metric}_mean'] * 100:.1f}{spread}"
