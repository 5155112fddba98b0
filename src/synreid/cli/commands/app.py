"""The command that shows a folder as a page in the browser."""

from __future__ import annotations

from pathlib import Path


def app(folder: Path, *, data: Path | None = None, port: int = 7860, show_real: bool = False) -> None:
    """Show a study, or one of its stages, as a page to play with, on this machine only.

    Args:
        folder: Folder of a study, or of a finished generator, selection, re-ID model or index, or a folder that holds
            some of these; or `street`, the shipped generator.
        data: Folder or CSV file of person pictures, whose gallery is searched in.
        port: Port of the page's address, http://127.0.0.1:PORT.
        show_real: Show pictures of real persons too; left out, plain cards stand in their place.
    """
    from synreid.app.serve import serve

    serve(folder, data, port, show_real)
