"""How long a study's trainings take several at a time, against the same ones after each other.

Usage: python benchmarks/study_workers.py [--workers 2] [--trainings 4] [--steps 150] [--rounds 2] [--out FILE]

Trainings and evaluations of the re-ID model of the recipe market-cpu on the drawn set `street`. The two ways take
turns. Start-up of the workers is part of their time.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
import time
from pathlib import Path

from synreid.data.scan import open_data
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.data.table import pick
from synreid.reid.options import ReidOptions
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine
from synreid.study.engine import run_jobs
from synreid.study.jobs import Job

TO_REACH = 0.6
STREET = StreetOptions(persons=60)


def seconds(jobs: list[Job], workers: int, log: Path) -> float:
    """Return how long the jobs take."""
    start = time.perf_counter()
    run_jobs(jobs, workers, log, lambda place: None, lambda place, result: None)
    return time.perf_counter() - start


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trainings", type=int, default=4)
    parser.add_argument("--steps", type=int, default=150, help="optimisation steps of each training")
    parser.add_argument("--rounds", type=int, default=2, help="how often the two ways take turns")
    parser.add_argument("--out", type=Path, default=Path("results/speed/study-workers.json"))
    given = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = open_data(draw_street(folder / "street", STREET))
        real, test = pick(data, split="train"), pick(data, split=("query", "gallery"))
        options = ReidOptions(steps=given.steps)

        def jobs(name: str) -> list[Job]:
            seeds = range(given.trainings)
            places = [folder / name / str(seed) for seed in seeds]
            return [Job("real", "", seed, places[seed], real, None, test, options, "new-identity") for seed in seeds]

        for turn in range(given.rounds):
            alone = seconds(jobs(f"alone-{turn}"), 1, folder / "log")
            together = seconds(jobs(f"together-{turn}"), given.workers, folder / "log")
            rounds.append({"one by one": alone, "together": together, "ratio": together / alone})
            say(f"{given.trainings} trainings: {alone:.0f} s one by one, {together:.0f} s together")
    words = ["python", "benchmarks/study_workers.py"]
    words += [f"--{name} {getattr(given, name)}" for name in ("workers", "trainings", "steps", "rounds")]
    result = {
        "what": f"a study's trainings {given.workers} at a time, against the same ones after each other",
        "command": shlex.join(words).replace("'", ""),
        "rounds": rounds,
        "ratio": sum(row["together"] for row in rounds) / sum(row["one by one"] for row in rounds),
        "to_reach": TO_REACH,
        "seed": 0,
        "machine": machine(),
    }
    write_json(given.out, result)
    say(f"together {result['ratio']:.2f} of the time one by one (to reach: {TO_REACH})")


if __name__ == "__main__":
    main()
