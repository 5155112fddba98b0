"""The study as the page shows it: its answer, its tables, and its report with real persons left out."""

from __future__ import annotations

import re
from pathlib import Path

from synreid.stage.errors import UserError

_RASTER = re.compile(r"data:image/(?:jpe?g|png|webp|gif|bmp|avif)[^\"')\s]*")
_NOTHING = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8' preserveAspectRatio='none'%3E"
    "%3Crect width='8' height='8' fill='%23999' fill-opacity='.25'/%3E%3C/svg%3E"
)


def report_page(report: Path, pictures: bool) -> str:
    """Return the report's HTML; without `pictures` a grey field stands in the place of each photograph and sheet.

    Charts are drawn in lines, so they stay. Raises UserError where the file cannot be read.
    """
    try:
        page = report.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{report} is not readable ({error}); write it again by `synreid report`.") from error
    return page if pictures else _RASTER.sub(_NOTHING, page)
