"""What is in a user's folder, and what is wrong with it: the report of `synreid data check`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from synreid.data.rules import STOPS, Problem
from synreid.data.scan import examine
from synreid.data.table import column


@dataclass(frozen=True)
class SplitCounts:
    """What one split holds; distractors are gallery pictures of persons that no query asks for."""

    split: str
    pictures: int
    identities: int
    cameras: int
    junk: int
    distractors: int


@dataclass(frozen=True)
class CheckReport:
    """The answer of `check`: counts per split, sizes as (height, width), and problems with their level."""

    path: str
    layout: str
    source: str
    counts: list[SplitCounts]
    sizes: Counter[tuple[int, int]]
    ignored: int
    split_made: bool
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether a study could run on it."""
        return all(problem.level != STOPS for problem in self.problems)


def check(path: Path, camera_pattern: str | None = None, seed: int = 0) -> CheckReport:
    """Look through a user's folder or CSV file and name every broken rule.

    Raises UserError only where there is nothing to look at: no such path, or no pictures in a known layout.
    """
    found = examine(path, camera_pattern, seed)
    return CheckReport(
        path=str(path),
        layout=found.layout,
        source=found.source,
        counts=split_counts(found.table),
        sizes=found.sizes,
        ignored=found.ignored,
        split_made=found.split_made,
        problems=found.problems,
    )


def split_counts(table: pa.Table) -> list[SplitCounts]:
    """Count pictures, identities, cameras, junk and distractors of each split that has pictures."""
    split, pid, camera, junk = (column(table, name) for name in ("split", "pid", "camera", "junk"))
    asked = set(pid[split == "query"])
    strange = np.array([name not in asked for name in pid], dtype=bool) & (split == "gallery") & ~junk
    counts = []
    for name in ("train", "val", "query", "gallery", None):
        part = split == name if name else np.array([value is None for value in split], dtype=bool)
        if not part.any():
            continue
        persons = set(pid[part & ~junk & ~strange]) - {None}
        cameras = set(camera[part]) - {None}
        known = (int(part.sum()), len(persons), len(cameras), int((part & junk).sum()), int((part & strange).sum()))
        counts.append(SplitCounts(name or "none", *known))
    return counts


def format_report(report: CheckReport) -> RenderableType:
    """Return the report for a rich console: a table of counts, then problems with examples, then the verdict."""
    table = Table(title=Text(f"{report.path}: {report.layout}"), title_justify="left")
    table.add_column("split")
    for name in ("pictures", "identities", "cameras", "junk", "distractors"):
        table.add_column(name, justify="right")
    for row in report.counts:
        numbers = (row.pictures, row.identities, row.cameras, row.junk, row.distractors)
        table.add_row(row.split, *(f"{number:,}" for number in numbers))
    return Group(table, *(Text(line, style=style) for line, style in _lines(report)))


def _lines(report: CheckReport) -> list[tuple[str, str]]:
    """Return what stands under the table, as (line, rich style)."""
    lines = [(_sizes(report.sizes), "")]
    if report.split_made:
        lines.append(("It has no splits of its own: half of the identities train, the others are for the test.", ""))
    if report.ignored:
        lines.append((f"Other files, which are ignored: {report.ignored:,}.", ""))
    for problem in sorted(report.problems, key=lambda problem: problem.level != STOPS):
        style = "bold red" if problem.level == STOPS else "yellow"
        lines.append((f"{problem.level}: {problem.headline}", style))
        lines.extend((f"    {example}", "") for example in problem.examples)
        if problem.count > len(problem.examples) > 0:
            lines.append((f"    and {problem.count - len(problem.examples):,} more", ""))
    verdict = "A study can run on it." if report.ok else "No study can run on it before what stops it is put right."
    return [*lines, (verdict, "bold green" if report.ok else "bold red")]


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    total = sum(sizes.values())
    if not sizes:
        return "None of its pictures can be used."
    (height, width), most = sizes.most_common(1)[0]
    if len(sizes) == 1:
        return f"All {total:,} pictures have {height}x{width} pixels."
    heights, widths = [size[0] for size in sizes], [size[1] for size in sizes]
    return (
        f"The {total:,} pictures have {len(sizes):,} sizes, {min(heights)} to {max(heights)} high and {min(widths)} to "
        f"{max(widths)} wide; {most:,} have {height}x{width}. Every stage resizes them to its own size."
    )
