"""Plain folders of pictures, at any depth, that say nothing of who is shown."""

from __future__ import annotations

from pathlib import Path

from synreid.data.decode import is_picture_name
from synreid.data.layouts.entry import Entry, Listing, source_name
from synreid.stage.errors import UserError


def read(root: Path) -> Listing:
    """List all pictures under `root`; hidden files and folders are passed by, other files are counted.

    Raises UserError where `root` is no folder, or holds no picture.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; name one that holds pictures.")
    names = visible_files(root)
    entries = [Entry(name.as_posix(), None) for name in names if is_picture_name(name.name)]
    if not entries:
        raise UserError(f"{root} holds no pictures, nor do the folders in it; name a folder that does.")
    return Listing("pictures", source_name(root.name), str(root), entries, [], len(names) - len(entries))


def visible_files(root: Path) -> list[Path]:
    """Return the paths in `root` of all files under it, sorted; hidden ones and those in hidden folders left out."""
    names = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    return [name for name in names if not any(part.startswith(".") for part in name.parts)]
