"""Paths as a user writes them, with ~ for a home."""

from __future__ import annotations

from pathlib import Path

from synreid.stage.errors import UserError


def expand_home(path: Path) -> Path:
    """Return `path` with the home that `~` or `~name` at its beginning stands for; UserError where nobody knows it."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path} begins with a home that is not known here; write the whole path.") from error
