"""Folders that are either whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synreid.stage.errors import UserError
from synreid.stage.files import writing


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a new folder beside `out` that becomes `out` if all goes well and is removed if not.

    Raises UserError where `out` holds anything already, when the disk is full or the folder cannot be written.
    """
    out = Path(out).absolute()  # so that it has a name, even '.'
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder; name another folder, or remove it first.")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with writing(out):
            temporary.mkdir(parents=True)
            yield temporary
            if out.exists():
                out.rmdir()
            temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
