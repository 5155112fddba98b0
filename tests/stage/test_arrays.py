"""NumPy's files: what is one plain array comes back, all else raises one of two kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synreid.stage.arrays import DAMAGED, read_array

WHOLE = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize("mapped", [None, "r"])
def test_an_array_comes_back(mapped: None, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", WHOLE)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy", mapped), WHOLE)


def headed(descr: str, shape: str) -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + WHOLE.tobytes()


@pytest.mark.parametrize("mapped", [None, "r"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\3\4 and no archive",
        headed("'<f4'", "(1099511627776,)"),
        headed("'<f4'", "(2, 3"),
        headed("'|O'", "(2, 3)"),
        headed("'<f4'", "(2, 4)"),
        headed("'none'", "(2, 3)"),
    ],
)
def test_damage_of_any_kind_is_one_of_two(data: bytes, mapped: None, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(DAMAGED):
        read_array(tmp_path / "a.npy", mapped)


def test_an_archive_is_no_array(tmp_path: Path) -> None:
    with open(tmp_path / "a.npy", "wb") as file:
        np.savez(file, WHOLE)
    with pytest.raises(ValueError, match="an archive, not one array"):
        read_array(tmp_path / "a.npy")
