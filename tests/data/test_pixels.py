"""Pixels come out of the cache as the decoder gives them, whatever happened to the cache."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synreid.data import pixels as module
from synreid.data.decode import picture_sha256, read_picture, resize
from synreid.data.pixels import pixels
from synreid.data.table import from_columns, paths, rows
from synreid.stage.errors import UserError


@pytest.fixture
def table(tmp_path: Path, picture) -> pa.Table:
    names = [f"{place}.png" for place in range(5)]
    made = [picture(tmp_path / name, place, 16 + 4 * (place == 3), 8) for place, name in enumerate(names)]
    return from_columns(path=names, sha256=[picture_sha256(rgb) for rgb in made], root=str(tmp_path))


def test_rows_equal_decoding_and_resizing_one_by_one(table: pa.Table) -> None:
    expected = np.stack([resize(read_picture(path), 12, 6) for path in paths(table)])
    found = pixels(table, 12, 6)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)
    assert np.array_equal(pixels(rows(table, [4, 1]), 12, 6), expected[[4, 1]])


def test_second_time_reads_no_picture(table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pixels(table, 16, 8).copy()
    monkeypatch.setattr(module, "read_picture", lambda path: pytest.fail(f"{path} was decoded again"))
    assert np.array_equal(pixels(table, 16, 8), first)


def test_writing_into_the_array_does_not_reach_the_cache(table: pa.Table) -> None:
    found = pixels(table, 16, 8)
    before = found.copy()
    found[:] = 0
    assert np.array_equal(pixels(table, 16, 8), before)


@pytest.mark.parametrize("damage", [b"", b"not an array", None])
def test_a_damaged_cache_is_made_again(table: pa.Table, cache: Path, damage: bytes | None) -> None:
    before = pixels(table, 16, 8).copy()
    (file,) = (cache / "pixels").iterdir()
    file.write_bytes(file.read_bytes()[:-100] if damage is None else damage)
    assert np.array_equal(pixels(table, 16, 8), before)


def test_a_picture_that_changed_is_named(table: pa.Table, tmp_path: Path, picture) -> None:
    picture(tmp_path / "2.png", 77)
    with pytest.raises(UserError, match=r"2\.png has changed"):
        pixels(table, 16, 8)


def test_resizing_is_said_once_for_each_folder_and_size(
    table: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels(rows(table, [0, 1]), 16, 8)
    assert capsys.readouterr().err == ""
    for chosen, height in (([0, 1, 2, 3], 16), ([3, 4], 16), ([0], 12), ([1], 12)):
        pixels(rows(table, chosen), height, 8)
    said = f"Pictures in {tmp_path} that have another size are resized to {{}}x8."
    assert capsys.readouterr().err.splitlines() == [said.format(16), said.format(12)]


def test_a_full_disk_leaves_nothing_half_written(table: pa.Table, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """Block whose bytes do not fit."""

        @property
        def data(self) -> bytes:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_blocks", lambda *_: iter([Full()]))
    with pytest.raises(UserError, match=r"No space left on device.*SYNREID_CACHE"):
        pixels(table, 16, 8)
    assert list((cache / "pixels").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(
    table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SYNREID_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"the cache .*file/cache cannot be written .*SYNREID_CACHE to a folder"):
        pixels(table, 16, 8)


def test_no_rows_give_no_pictures() -> None:
    assert pixels(from_columns(path=[], sha256=[]), 16, 8).shape == (0, 16, 8, 3)
