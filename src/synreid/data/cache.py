"""Where decoded pictures and scans are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the cache's folder, which may be removed at any time: SYNREID_CACHE if set, else the user's own."""
    named = os.environ.get("SYNREID_CACHE")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("synreid"))
