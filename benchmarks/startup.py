"""How long a person waits before anything happens: import, `--help`, and a finished study asked for again.

Usage: python benchmarks/startup.py [--study FOLDER] [--data PATH] [--out FILE]

Each is a process of its own, started several times in turn; the median counts. `--study` is a finished study's folder,
`--data` the pictures that it was run on (left out for one of the embedded set): the study is asked for again, which
must find all of it finished, and its report is written anew.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from synreid.stage.files import read_json, write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

SYNREID = [sys.executable, "-m", "synreid"]
REPEATS = 5


def seconds(command: list[str]) -> float:
    """Return how long the command takes; one that fails ends the measurement."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - start


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="a finished study")
    parser.add_argument("--data", type=Path, help="its pictures")
    parser.add_argument("--out", type=Path, default=Path("results/speed/startup.json"))
    given = parser.parse_args()
    asked: dict[str, tuple[list[str], float | None]] = {
        "python alone": ([sys.executable, "-c", "pass"], None),
        "import synreid": ([sys.executable, "-c", "import synreid"], 0.3),
        "synreid --help": ([*SYNREID, "--help"], 0.5),
        "synreid study --help": ([*SYNREID, "study", "--help"], None),
    }
    trainings = None
    if given.study is not None:
        trainings = len(read_json(given.study / "study.json")["results"])
        again = [*SYNREID, "study", str(given.study / "recipe.yaml"), "--out", str(given.study)]
        again += ["--data", str(given.data)] if given.data is not None else []
        asked["synreid study, finished"] = (again, 3.0)
        asked["synreid report"] = ([*SYNREID, "report", str(given.study)], 20.0)
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(REPEATS):
        for name, (command, _) in asked.items():
            taken[name].append(seconds(command))
    values: dict[str, Any] = {
        name: {
            "seconds_median": round(statistics.median(taken[name]), 3),
            "seconds_best": round(min(taken[name]), 3),
            "to_reach": limit,
            "reached": limit is None or statistics.median(taken[name]) <= limit,
        }
        for name, (_, limit) in asked.items()
    }
    for name, value in values.items():
        say(f"{name}: {value['seconds_median']} s")
    result = {
        "asked": "import in 0.3 s, --help in 0.5 s; of a finished study of 100 trainings: again in 3 s, report in 20 s",
        "reached": all(value["reached"] for value in values.values()),
        "values": values,
        "trainings": trainings,
        "repeats": REPEATS,
        "command": "python benchmarks/startup.py --study FOLDER --data PATH",
        "machine": machine(),
    }
    write_json(given.out, result)


if __name__ == "__main__":
    main()
