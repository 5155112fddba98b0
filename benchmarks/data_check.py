"""How long a set takes to be checked and decoded, the first time and from the cache.

Usage: python benchmarks/data_check.py PATH [--out FILE]
"""

from __future__ import annotations

import argparse
import os
import shlex
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synreid.data.check import check
from synreid.data.pixels import pixels
from synreid.data.scan import examine
from synreid.stage.files import write_json
from synreid.stage.fingerprint import file_digest
from synreid.stage.machine import machine

HEIGHT, WIDTH = 96, 48  # what the recipe market-cpu trains re-ID on
TO_REACH = {"first_seconds": 60.0, "cached_seconds": 2.0}  # for the 36,036 pictures of Market-1501


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds and the result of `work`."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(path: Path) -> dict[str, float]:
    """Return the seconds of check and of pixels, with the cache as it is."""
    checked, found = timed(lambda: examine(path))  # `data check` but for its printing
    decoded, _ = timed(lambda: touched(pixels(found.table, HEIGHT, WIDTH)))
    return {"check": round(checked, 2), "pixels": round(decoded, 2), "both": round(checked + decoded, 2)}


def touched(array: np.ndarray) -> int:
    """Read every byte of a mapped array."""
    return sum(int(array[start : start + 256].max()) for start in range(0, len(array), 256))


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="a set of person pictures")
    parser.add_argument("--out", type=Path, default=Path("results/speed/data-check.json"), help="where the result goes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SYNREID_CACHE"] = cache
        first, cached = measure(given.path), measure(given.path)
        found = check_counts(given.path)
        size = sum(file.stat().st_size for file in Path(cache).rglob("*") if file.is_file())
    result = {
        "question": "How long does a set take to be checked and decoded, the first time and from the cache?",
        "data": found,
        "size": f"{HEIGHT}x{WIDTH}",
        "first_seconds": first,
        "cached_seconds": cached,
        "cache_mib": round(size / 2**20, 1),
        "to_reach": TO_REACH,
        "reached": first["both"] <= TO_REACH["first_seconds"] and cached["both"] <= TO_REACH["cached_seconds"],
        "notes": ["The operating system's file cache was left as it was."],
        "command": shlex.join(["python", "benchmarks/data_check.py", given.path.name]),
        "script": file_digest(Path(__file__)),
        "machine": machine(),
    }
    write_json(given.out, result)
    print(f"first {first['both']} s, from the cache {cached['both']} s: {given.out}")


def check_counts(path: Path) -> dict[str, Any]:
    """Return the set's name and how many pictures each split has."""
    report = check(path)
    return {"name": report.source, "pictures": {row.split: row.pictures for row in report.counts}}


if __name__ == "__main__":
    main()
