from __future__ import annotations

import errno
from pathlib import Path

import pytest

from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path, read_json, write_json
from synreid.stage.fingerprint import fingerprint


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(tmp_path / "a.json") == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="disk is full"), atomic_path(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_fingerprint_does_not_depend_on_order_of_keys_or_on_kinds_of_path() -> None:
    assert fingerprint({"a": 1, "b": Path("x")}) == fingerprint({"b": "x", "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert len(fingerprint(1)) == 16
