"""Where decoded pictures, scans and features are kept between runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import platformdirs

from synreid.data.home import expand_home
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path
from synreid.stage.log import warn


class CacheError(UserError):
    """A file of the cache that cannot be written."""


def cache_folder() -> Path:
    """Return the cache's folder, which may be removed at any time: SYNREID_CACHE if set, else the user's own."""
    named = os.environ.get("SYNREID_CACHE")
    return expand_home(Path(named)) if named else Path(platformdirs.user_cache_dir("synreid"))


@contextmanager
def cache_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, a file of the cache, as `atomic_path` does.

    Raises CacheError where that cannot be written, which says how to name another cache.
    """
    with _cache_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, _cache_errors():
        yield temporary


def keep(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make a file of the cache that can be done without; where it cannot be written, that is said once."""
    try:
        with cache_path(path) as temporary:
            write(temporary)
    except CacheError as error:
        _go_on_without(str(error))


@contextmanager
def _cache_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"the cache {cache_folder()} cannot be written ({error.strerror or error}); set the environment variable "
            "SYNREID_CACHE to a folder with room that you may write to."
        ) from error


@cache
def _go_on_without(reason: str) -> None:
    """Warn, once for each reason, that work is not kept."""
    warn(f"{reason} Until then the same work is done again each time.")
