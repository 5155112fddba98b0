"""What the machine refuses, a full disk or a folder that may not be written to, is said in one sentence."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from synreid.cli.main import main

Disk = Callable[[str], AbstractContextManager[Path]]
COMMANDS = {
    "data street": lambda street, gan, out: ["data", "street", "--out", out, "--persons", "4"],
    "gan train": lambda street, gan, out: ["gan", "train", "--data", street, "--out", out, "--kimg", "0.01"],
    "persons make": lambda street, gan, out: ["persons", "make", gan, "--out", out, "--persons", "100"],
    "export": lambda street, gan, out: ["export", "--data", street, "--out", out],
}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """disk("size=64k"): a disk in memory, mounted with these options; skipped where that is not allowed."""

    @contextmanager
    def mounted(options: str) -> Iterator[Path]:
        place = tmp_path / "disk"
        place.mkdir()
        try:
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True)
        except FileNotFoundError:
            pytest.skip("there is no mount on this machine")
        if done.returncode:
            pytest.skip("no disk may be mounted here")
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)

    return mounted


def said(words: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the sentence that a command ends with, which must be its last line and its only one of that kind."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2, last
    return last


@pytest.mark.parametrize("command", COMMANDS)
def test_full_disk_is_one_sentence(
    command: str, disk: Disk, tiny_street: Path, tiny_gan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with disk("size=16k") as place:
        sentence = said(COMMANDS[command](tiny_street, tiny_gan, place / "out"), capsys)
    assert "the disk is full" in sentence


@pytest.mark.parametrize("command", COMMANDS)
def test_folder_that_may_not_be_written_to_is_one_sentence(
    command: str, disk: Disk, tiny_street: Path, tiny_gan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with disk("size=1m,ro") as place:
        sentence = said(COMMANDS[command](tiny_street, tiny_gan, place / "out"), capsys)
    assert "disk/out" in sentence or "disk/.out" in sentence
    assert "Read-only file system" in sentence
