"""Uses a damaged file as a user would, and says what became of it: good, one clear sentence, or what is wrong."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import damage

from synreid.cli.main import main
from synreid.stage.errors import UserError

SECONDS = 20  # longer is a hang
OUT = "out"  # what a case may write, beside its input


@dataclass(frozen=True)
class Kind:
    """One kind of input. `use` is called with its top folder, the damaged file in it, and where to write."""

    name: str
    file: str
    """The file that is damaged, in its folder: of the shared ones that `make_good` makes."""
    damaged: Callable[[bytes], damage.Damaged]
    use: Callable[[Path, Path, Path], object]


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged file: a good result, a clear sentence, or what is wrong."""

    verdict: str
    words: str = ""
    seconds: float = 0.0


def run(*words: object) -> None:
    """Run a command as a user would."""
    main([str(word) for word in words])


def main_of(*words: object) -> None:
    """Run a command that must succeed."""
    try:
        run(*words)
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"{words} ended with {end.code}") from end


class _LateError(BaseException):
    """Not an Exception, so that nothing takes it for damage of the file."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise _LateError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(kind: Kind, data: bytes, home: Path) -> Outcome:
    """Use a copy of the kind's folder in which its file holds `data`, and return what became of it.

    Nothing may be written but below `home`/try/out: neither beside it, nor into the folder that was read.
    """
    place = home / "try"
    folder, file = place / Path(kind.file).parts[0], place / kind.file
    shutil.copytree(home / folder.name, folder)
    file.write_bytes(data)
    before = _files(home)
    said, began = io.StringIO(), time.monotonic()
    try:
        with contextlib.chdir(place), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            verdict, words = _used(kind, folder, file, place / OUT)
        seconds = time.monotonic() - began
        if not wrong(verdict):
            written = {path for path in _files(home) ^ before if not path[0].startswith(f"try/{OUT}")}
            strays = [*sorted(written), *home.parent.glob("*escape*")]
            if strays:
                verdict, words = "wrote elsewhere", str(strays[0])
            elif verdict == SENTENCE and (half := _half_written(place)):
                verdict, words = "half a result", half
        return Outcome(verdict, words or said.getvalue()[-300:], seconds)
    finally:
        shutil.rmtree(place)


GOOD, SENTENCE = "good result", "clear sentence"


def wrong(verdict: str) -> bool:
    """Tell whether an outcome's verdict is neither of those that may be."""
    return verdict not in (GOOD, SENTENCE)


def _used(kind: Kind, folder: Path, file: Path, out: Path) -> tuple[str, str]:
    try:
        with _limited(SECONDS):
            kind.use(folder, file, out)
    except UserError as error:
        return SENTENCE, str(error)
    except SystemExit as end:
        return {0: GOOD, 2: SENTENCE}.get(end.code, f"exit status {end.code}"), ""  # type: ignore[arg-type]
    except _LateError as error:
        return "hang", str(error) + traceback.format_exc()
    except BaseException:
        return "traceback", traceback.format_exc()
    return GOOD, ""


def _files(home: Path) -> set[tuple[str, int, int]]:
    """Return path, size and time of all files below `home`, without those of locks."""
    found = ((Path(top) / name) for top, _, names in os.walk(home) for name in names if name != ".lock")
    return {(path.relative_to(home).as_posix(), (s := path.stat()).st_size, s.st_mtime_ns) for path in found}


def _half_written(place: Path) -> str:
    """Return what a refusal left behind that a later run could take for a whole result."""
    for run in place.glob(f"{OUT}/**/run.json"):
        if json.loads(run.read_text())["finished"]:
            return f"{run} says finished"
    left = [path for path in place.rglob("*") if ".part" in path.name]
    return str(left[0]) if left else ""
