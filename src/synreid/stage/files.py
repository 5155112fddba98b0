"""Files that are either whole or not there, and what to say where they cannot be written."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from synreid.stage.errors import UserError
from synreid.stage.fingerprint import plain

DEEPEST = 100  # brackets within brackets in a YAML file; PyYAML takes minutes over some thousands
MOST_VALUES = 100_000  # of a YAML file; a few lines of aliases can stand for billions


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    The temporary name keeps the suffix, since libraries choose a format by it.
    Raises UserError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):  # where the folder is none, there is nothing to remove, and the reason is told already
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk, or a folder that may not be written to, into a UserError that names `path`."""
    try:
        yield
    except OSError as error:
        raise _writing_failed(path, error) from error


def _writing_failed(path: Path, error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # the last: over a limit that was set on files
        return UserError(f"{path} cannot be written: the disk is full; free some room and run the same command again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return UserError(f"{path} cannot be written ({error.strerror}); choose a folder that you may write to.")
    return error


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(plain(value), indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; raises UserError where it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; check the folder's name.") from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, nested too deeply, or a number of 5,000 digits
        raise UserError(f"{path} is not readable as JSON ({error}); remove it and run its stage again.") from error


@contextmanager
def expected_shape(path: Path) -> Iterator[None]:
    """Turn what a file of another shape raises where its content is used into a UserError that names `path`.

    It is for numbers of our own that are only shown: where much depends on a value, check the value.
    """
    try:
        yield
    except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{path} is damaged: it does not hold what its stage writes ({what}); remove {path.parent} and run its "
            "stage again."
        ) from error


def read_yaml(path: Path) -> Any:
    """Read a YAML file of plain values; raises UserError where it is missing, damaged, or aliases make it grow."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        if max(accumulate((sign in "[{") - (sign in "]}") for sign in text), default=0) > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _values(node, {}) > MOST_VALUES:
            raise ValueError(f"its aliases stand for more than {MOST_VALUES:,} values")
        return loader.construct_document(node)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; check its name.") from error
    except OSError:
        raise
    except Exception as error:  # a value that does not fit its tag makes PyYAML raise almost anything
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not readable as YAML ({reason}); correct it.") from error


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values of a tree, an alias for all that it stands for; raises ValueError where one holds itself."""
    if id(node) not in known:
        known[id(node)] = 0
        entries = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for entry in entries for part in (entry if isinstance(entry, tuple) else (entry,))]
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    if not known[id(node)]:
        raise ValueError("an alias stands for something that it is a part of")
    return known[id(node)]
