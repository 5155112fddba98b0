from __future__ import annotations

from pathlib import Path

import pytest

from synreid.stage.errors import UserError
from synreid.stage.whole import whole_folder


def test_a_folder_appears_when_all_is_well_and_not_before(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with whole_folder(out) as folder:
        (folder / "a").write_text("x")
        assert not out.exists()
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert (out / "a").read_text() == "x"


def test_a_failure_leaves_nothing_and_an_empty_folder_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("x")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not list((tmp_path / "out").iterdir())


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="exists and is not an empty folder"), whole_folder(out):
            raise AssertionError("not entered")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
