"""Commands that look at a data set, or draw the embedded one."""

from __future__ import annotations

from pathlib import Path

from synreid.data.street.options import StreetOptions


def data_check(path: Path, *, camera_pattern: str | None = None) -> int:
    """Say what a folder or CSV file of person pictures holds, and every rule that it breaks.

    Args:
        path: Folder in the layout of Market-1501, MSMT17 or CUHK01, folder with one folder a person, or CSV file.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from rich.console import Console

    from synreid.data.check import check, format_report

    report = check(path, camera_pattern)
    Console(highlight=False).print(format_report(report))
    return 0 if report.ok else 2


def data_street(*, out: Path, options: StreetOptions) -> None:
    """Draw the embedded set `street` as a folder in Market-1501 layout, with the truth about every picture.

    Args:
        out: Folder to write; must not hold anything yet.
        options: Size and seed.
    """
    from synreid.data.street.write import draw_street

    print(draw_street(out, options))
