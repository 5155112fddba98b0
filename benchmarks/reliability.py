"""Does it keep working? Damaged inputs of every kind, and a study that is killed at random moments.

    python benchmarks/reliability.py --cases 1000
    python benchmarks/reliability.py --kills 50

Each writes its own part of results/reliability.json, and both parts of it as results/reliability.md.

Damaged inputs: strategies and commands of tests/reliability, the cases shared evenly among the kinds of input, each
kind in a process of its own. A case ends in a good result, in a clear sentence (UserError, exit status 2), or in what
must not be: another exception, the process's death, more than 20 s, a file outside its folder, half a result left.

Kills: a tiny study (generator, persons, selection, 2 seeds of each arm) in a process group that is killed (SIGKILL)
after a random time and started again, until as many kills as asked have been made; at most MOST_KILLS of one study,
which then ends. Its study.json must be that of an undisturbed one, but for times. Processes are forked from one that
has imported everything, so that kills land in the work.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from synreid.data.scan import open_data
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.data.table import pick
from synreid.generate.options import GanOptions
from synreid.generate.train import train_gan
from synreid.stage.files import read_json, write_json, write_text
from synreid.stage.folder import now
from synreid.stage.log import say
from synreid.stage.machine import machine

REPOSITORY = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "reliability"))

SEED = 0
RESULT = REPOSITORY / "results" / "reliability.json"
HEAD = {
    "what": "does it keep working: damaged inputs of every kind, and a study that is killed at random moments",
    "command": "python benchmarks/reliability.py --cases 1000 --kills 50",
}
STREET = StreetOptions(persons=8, test_persons=5, pictures=4)
GAN = {
    **{"height": 16, "width": 8, "kimg": 0.04, "batch": 8, "cmax": 8, "cbase": 128, "w_dim": 8, "tick": 0.08},
    **{"snap": 1, "metrics": "none", "vision_aid": 0},
}
RECIPE = {
    "name": "killed",
    "gan": GAN,
    "persons": {"persons": 4, "images": 4},
    "select": {"detector": "none", "consistency": -1.0, "duplicates": None},
    "reid": {
        **{"backbone": "test_resnet", "embedding": 16, "height": 32, "width": 16, "steps": 20, "batch": 16},
        **{"precision": "fp32"},
    },
    "amounts": [2],
    "keep": 2,
    "seeds": [0, 1],
}
MOST_KILLS = 10  # of one study
TIMED = {"seconds", "times", "started", "finished", "machine"}  # keys of study.json whose values may differ


def damaged(cases: int, folder: Path) -> dict[str, Any]:
    """Try that many damaged files and return what became of them, by kind of input."""
    from inputs import KINDS, make_good

    home = folder / "home"
    home.mkdir()
    street = draw_street(folder / "street", STREET)
    gan = train_gan(pick(open_data(street), split="train"), folder / "gan", GanOptions(**GAN))
    make_good(home, street, gan)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["inputs", "hypothesis"])
    rows: list[dict[str, Any]] = []
    for place, kind in enumerate(KINDS):
        share = cases // len(KINDS) + (place < cases % len(KINDS))
        queue = context.SimpleQueue()
        process = context.Process(target=try_kind, args=(place, share, home, queue))
        process.start()
        row: dict[str, Any] = {"kind": kind.name, "file": kind.file, "cases": 0, "good": 0, "sentences": 0, "wrong": []}
        rows.append({**row, "slowest_seconds": 0.0} | queue.get())
        process.join()
        say(f"{rows[-1]}")
    return {"asked": cases, "cases": sum(row["cases"] for row in rows), "kinds": rows}


def try_kind(place: int, cases: int, home: Path, queue: Any) -> None:
    """Try damaged files of one kind and put what became of them into `queue`."""
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from inputs import KINDS
    from outcome import GOOD, SENTENCE, outcome, wrong

    kind = KINDS[place]
    counts: Counter[str] = Counter()
    errors: list[str] = []
    slowest = 0.0

    @seed(SEED)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.damaged((home / kind.file).read_bytes()))
    def one(data: bytes) -> None:
        nonlocal slowest
        found = outcome(kind, data, home)
        counts[found.verdict] += 1
        slowest = max(slowest, found.seconds)
        if wrong(found.verdict):
            errors.append(f"{found.verdict}: {found.words.strip().splitlines()[-1]}")

    result: dict[str, Any] = {"wrong": ["the process died"]}
    try:
        one()
        result = {"cases": counts.total(), "good": counts[GOOD], "sentences": counts[SENTENCE], "wrong": errors}
        result["slowest_seconds"] = round(slowest, 2)
    finally:
        queue.put(result)


def study(recipe: Path, data: Path, out: Path) -> None:
    """Run or go on with the study, in a process group of its own."""
    os.setsid()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    import torch

    from synreid.study.run import run_study

    torch.set_num_threads(1)
    run_study(str(recipe), data, out)


def start(context: ForkServerContext, recipe: Path, data: Path, out: Path) -> ForkServerProcess:
    """Start the study."""
    process = context.Process(target=study, args=(recipe, data, out))
    process.start()
    return process


def untimed(value: Any) -> Any:
    """Return a study's numbers without those that say how long something took, and when and where it was."""
    if isinstance(value, dict):
        return {key: untimed(inner) for key, inner in value.items() if key not in TIMED}
    return [untimed(inner) for inner in value] if isinstance(value, list) else value


def differences(expected: Any, found: Any, place: str = "") -> list[str]:
    """Return the places in which two trees differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            text
            for key in {**expected, **found}
            for text in differences(expected.get(key), found.get(key), f"{place}/{key}")
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [text for number, pair in pairs for text in differences(*pair, f"{place}/{number}")]
    return [] if expected == found else [f"{place} is {found}, not {expected}"]


def killed(kills: int, folder: Path) -> dict[str, Any]:
    """Kill studies until that many kills have been made, and return whether each ended with the undisturbed one's."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["synreid.study.work", "synreid.study.engine", "synreid.report.page"])
    rng = np.random.default_rng(SEED)
    data, recipe = draw_street(folder / "street", STREET), folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    began = time.monotonic()
    out = folder / "study"  # one after the other, since study.json names its place
    process = start(context, recipe, data, out)
    process.join()
    seconds = time.monotonic() - began
    if process.exitcode:
        raise SystemExit(f"the undisturbed study ended with status {process.exitcode}")
    whole = untimed(read_json(out / "study.json"))
    say(f"the undisturbed study took {seconds:.1f} s")
    runs: list[dict[str, Any]] = []
    left = kills
    while left > 0:
        shutil.rmtree(out)
        run = killed_study(context, recipe, data, out, min(left, MOST_KILLS), seconds, rng)
        left -= len(run["kills"])
        if not run["wrong"]:
            run["wrong"] = differences(whole, untimed(read_json(out / "study.json")))[:5]
        if run["kills"]:  # else it had ended before the first
            runs.append(run)
        say(f"{[one['last'] for one in run['kills']]}, wrong: {run['wrong'] or 'nothing'}; {left} kills left")
    made = sum(len(run["kills"]) for run in runs)
    same = sum(not run["wrong"] for run in runs)
    verdict = f"{same} of {len(runs)} studies, killed {made} times together, end with the undisturbed one's table"
    return {"kills": made, "verdict": verdict, "undisturbed_seconds": round(seconds, 1), "runs": runs, "recipe": RECIPE}


def killed_study(
    context: ForkServerContext,
    recipe: Path,
    data: Path,
    out: Path,
    most: int,
    seconds: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Kill one study up to `most` times, let it finish, and return what happened."""
    kills: list[dict[str, Any]] = []
    while True:
        process = start(context, recipe, data, out)
        started = time.monotonic()
        process.join(None if len(kills) == most else rng.uniform(0, seconds / 3))
        if process.exitcode is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.kill()  # had it not yet a group of its own
        process.join()
        kills.append({"seconds": round(time.monotonic() - started, 3), "last": last_written(out)})
    return {"kills": kills, "wrong": [f"exit status {process.exitcode}"] if process.exitcode else []}


def last_written(out: Path) -> str:
    """Return the file that was written last, which says where a kill fell."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"]
    newest = max(files, key=lambda path: path.stat().st_mtime_ns, default=None)
    return newest.relative_to(out).as_posix() if newest is not None else "nothing"


def text(result: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = ["# Reliability: damaged inputs, and a study that is killed", ""]
    if tried := result.get("damaged"):
        wrong = sum(len(row["wrong"]) for row in tried["kinds"])
        lines += [
            f"{tried['cases']:,} damaged files; {wrong} ended in neither a good result nor a clear sentence, but",
            "in an exception, a dead process, more than 20 s, a file outside the folder or half a result. Made by",
            "hypothesis: cut, bytes changed, wrong heads, values of other types, names that lead out of the folder.",
            "`python benchmarks/reliability.py --cases N`",
            "",
            "| input | damaged file | cases | good result | clear sentence | anything else | slowest |",
            "|---|---|--:|--:|--:|--:|--:|",
        ]
        lines += [
            f"| {row['kind']} | `{row['file']}` | {row['cases']} | {row['good']} | {row['sentences']} | "
            f"{len(row['wrong'])} | {row['slowest_seconds']:.1f} s |"
            for row in tried["kinds"]
        ]
        lines += ["", *(f"- {row['kind']}: {one}\n" for row in tried["kinds"] for one in row["wrong"][:3])]
    if ended := result.get("killed"):
        lines += [
            f"A tiny study (undisturbed {ended['undisturbed_seconds']} s) was killed (SIGKILL to its process group) at "
            f"{ended['kills']} random moments:",
            f"{ended['verdict']}. `python benchmarks/reliability.py --kills N`",
        ]
    machines = {part["machine"]["cpu"]: part["made"] for part in result.values() if "machine" in part}
    return "\n".join(
        [*lines, "", *(f"Made on {cpu}, {when}; versions are in the JSON." for cpu, when in machines.items())]
    )


def main() -> None:
    """Try what is asked for and write its part of the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=0, help="damaged files")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    known: dict[str, Any] = read_json(given.out) if given.out.exists() else {}
    known = {name: part for name, part in known.items() if name not in {*HEAD, "machine"}}
    for name, count, measure in (("damaged", given.cases, damaged), ("killed", given.kills, killed)):
        if count:
            with tempfile.TemporaryDirectory() as place:
                os.environ["SYNREID_CACHE"] = str(Path(place) / "cache")
                part = measure(count, Path(place).resolve())
            known[name] = {**part, "seed": SEED, "made": now(), "machine": machine()}
            write_json(given.out, HEAD | known | {"machine": machine()})
    write_text(given.out.with_suffix(".md"), text(known) + "\n")


if __name__ == "__main__":
    main()
