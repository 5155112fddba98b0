"""How long the embedded set takes to be drawn, and whether the same seed gives the same bytes.

Usage: python benchmarks/street_speed.py
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path

from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.stage.files import write_json
from synreid.stage.machine import machine

WORLD = StreetOptions(persons=200, test_persons=100, pictures=12)
TO_REACH = 60.0
RESULT = Path(__file__).parent.parent / "results" / "speed" / "street.json"


def digest(folder: Path) -> tuple[str, int]:
    """Return the SHA-256 over names and bytes of every file below `folder`, and the number of pictures."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    whole = hashlib.sha256()
    for path in files:
        whole.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return whole.hexdigest(), sum(path.suffix == ".jpg" for path in files)


def main() -> None:
    """Draw the set twice."""
    seconds, digests = [], set()
    for _ in range(2):
        with tempfile.TemporaryDirectory() as temporary:
            start = time.perf_counter()
            folder = draw_street(Path(temporary) / "street", WORLD)
            seconds.append(round(time.perf_counter() - start, 1))
            found, pictures = digest(folder)
            digests.add(found)
    write_json(
        RESULT,
        {
            "what": f"seconds to draw street, {WORLD.persons} + {WORLD.test_persons} persons; goal {TO_REACH:g}",
            "command": "python benchmarks/street_speed.py",
            "pictures": pictures,
            "seconds": seconds,
            "same_bytes": len(digests) == 1,
            "reached": max(seconds) < TO_REACH,
            "machine": machine(),
        },
    )


if __name__ == "__main__":
    main()
