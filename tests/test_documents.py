"""What the documents point to exists: the files of their links, and the commands that they show, with all options."""

import functools
import re
import shlex
from pathlib import Path

import pytest

from synreid.cli.main import COMMANDS, main

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "results").rglob("*.md")]
SHOWN = r"(?:^|`)synreid ([^`\[…\n]+)(?:`|$)"  # in prose and in blocks, but not what leaves something out


def words_of(document: Path) -> list[tuple[str, ...]]:
    """Return the words of each command that a document shows, without those that are named without any argument."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    shown = [tuple(shlex.split(line, comments=True)) for line in re.findall(SHOWN, text, flags=re.MULTILINE)]
    return [words for words in dict.fromkeys(shown) if " ".join(words) not in COMMANDS]


LINES = [(path.relative_to(ROOT).as_posix(), *words) for path in DOCUMENTS for words in words_of(path)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_every_command_is_understood(line: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    for name, function in COMMANDS.items():
        instead = functools.wraps(function)(lambda *_, _name=name, **__: called.append(_name))
        monkeypatch.setitem(COMMANDS, name, instead)
    with pytest.raises(SystemExit) as ended:
        main(line[1:])
    assert ended.value.code == 0
    assert called or "--help" in line
