"""Pictures of one size in one array: decoded once, then mapped from a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from synreid.data.cache import cache_folder, cache_path
from synreid.data.decode import picture_sha256, read_picture, resize
from synreid.data.table import column, paths
from synreid.stage.arrays import DAMAGED, read_array
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import fingerprint
from synreid.stage.log import say
from synreid.stage.progress import progress

VERSION = 1  # raise it when the same pictures would give other pixels
BLOCK = 256

__all__ = ["picture_sha256", "pixels", "read_picture", "resize"]


def pixels(table: pa.Table, height: int, width: int) -> np.ndarray:
    """Return the table's pictures, uint8 [N, height, width, 3], RGB, row for row.

    Decoded and resized once (antialiased where they shrink) into the cache, in a file named by the pictures' content,
    and mapped from there afterwards: memory holds only what is touched. Writing into the array does not reach the file.
    Raises UserError for a picture that is damaged or has changed since the table was made, and where the cache cannot
    be written, as on a full disk.
    """
    shape = (len(table), height, width, 3)
    if len(table) == 0:
        return np.zeros(shape, dtype=np.uint8)
    content = hashlib.sha256("".join(column(table, "sha256")).encode()).hexdigest()
    path = cache_folder() / "pixels" / f"{fingerprint(VERSION, content, height, width)}.npy"
    found = _open(path, shape)
    if found is None:
        _decode_into(path, table, shape)
        found = _open(path, shape)
    if found is None:
        raise UserError(f"{path} was damaged as soon as it was written; check the disk, or name another SYNREID_CACHE.")
    return found


def _open(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the mapped array, or None where the file is missing, cut short or of another shape."""
    try:
        # copy on write: PyTorch wants memory that may be written to, and the file must never change
        array = read_array(path, "c")
    except DAMAGED:
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _decode_into(path: Path, table: pa.Table, shape: tuple[int, ...]) -> None:
    """Write the array with plain writes: a full disk is then an error, where a mapped file would end the process."""
    with cache_path(path) as temporary, open(temporary, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in _blocks(table, shape[1], shape[2]):
            file.write(block.data)


def _blocks(table: pa.Table, height: int, width: int) -> Iterator[np.ndarray]:
    digests, roots, files = column(table, "sha256"), column(table, "root"), paths(table)
    with progress("decoding pictures", total=len(files)) as bar:
        for start in range(0, len(files), BLOCK):
            chunk = files[start : start + BLOCK]
            block = np.empty((len(chunk), height, width, 3), dtype=np.uint8)
            for index, path in enumerate(chunk):
                rgb = read_picture(path)
                if picture_sha256(rgb) != digests[start + index]:
                    raise UserError(f"{path} has changed since its table was made; run the command that made it again.")
                if rgb.shape[:2] != (height, width):
                    _say_resized(roots[start + index], height, width)
                block[index] = resize(rgb, height, width)
            yield block
            bar.advance(len(chunk))


@cache
def _say_resized(folder: str, height: int, width: int) -> None:
    """Say, once for each folder and size, that its pictures are not taken as they are."""
    say(f"Pictures in {folder} that have another size are resized to {height}x{width}.")
