"""The layout of MSMT17: folders of persons in train and test, and lists that say which pictures are of which split."""

from __future__ import annotations

import re
from pathlib import Path

from synreid.data.layouts.entry import WRONG_NAME, Entry, Listing
from synreid.stage.errors import UserError

LISTS = {split: f"list_{split}.txt" for split in ("train", "val", "query", "gallery")}
FOLDERS = {"train": ("train", "mask_train_v2"), "test": ("test", "mask_test_v2")}  # of version 1, and of version 2
NAME = re.compile(r"(\d+)/\d+_\d+_(\d+)_\w+\.\w+", re.ASCII)  # person/person_number_camera_time_...


def matches(root: Path) -> bool:
    """Tell whether `root` has the lists of queries and gallery beside each other."""
    return all((root / LISTS[split]).is_file() for split in ("query", "gallery"))


def read(root: Path) -> Listing:
    """List the pictures of a folder in MSMT17's layout (Wei et al., CVPR 2018, arXiv 1711.08565), by its lists.

    Training and test persons are numbered from 0 each, so a test person's identity has a `t` before its number. The
    lists of train and val are disjoint in pictures, not in persons; the published protocol trains on both, and so both
    are `train` here. Lines that cannot be read are left out and listed. Raises UserError for a missing folder or list.
    """
    listing = Listing("MSMT17", "msmt17", str(root), [], [], 0)
    for split, name in LISTS.items():
        test = split in ("query", "gallery")
        folder = _folder(root, "test" if test else "train")
        for line in _lines(root / name):
            found = NAME.fullmatch(line)
            if found is None:
                listing.left_out.append((WRONG_NAME, f"{name}: {line}"))
                continue
            pid = f"msmt17/{'t' if test else ''}{int(found[1]):04d}"
            used = split if test else "train"
            listing.entries.append(Entry(f"{folder}/{line}", pid, f"msmt17/c{int(found[2])}", None, used))
    return listing


def _folder(root: Path, part: str) -> str:
    for name in FOLDERS[part]:
        if (root / name).is_dir():
            return name
    raise UserError(f"{root} has MSMT17's lists, but no folder {' or '.join(FOLDERS[part])}; unpack the pictures.")


def _lines(path: Path) -> list[str]:
    """Return the paths of a list, whose lines are `path number`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as a list of pictures ({error}); unpack it again.") from error
    return [line.split()[0] for line in text.splitlines() if line.strip()]
