"""A generator's training, killed at random moments: does the same command end with the same bits as an undisturbed one?

    python benchmarks/kill_gan.py --kills 50

StyleGAN2, StyleGAN3-T, and StyleGAN2 that grows from coarser sizes, all tiny, on pictures of the embedded set. Each run
is killed several times (SIGKILL) and started again, until it has finished; then its weights, those of its snapshots and
of its coarser sizes must have the bits of the undisturbed run's, and `metrics.jsonl` the same lines, each step once.
One kill in four is aimed: it waits until a checkpoint, a snapshot or the end is being written and falls within the next
milliseconds; the others fall after a random time. Processes are forked from one that has imported everything, so that
kills land in the work and not in imports; checkpoints are written every 0.2 s instead of every two minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from synreid.data.scan import open_data
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.generate import train
from synreid.generate.options import GanOptions
from synreid.generate.state import State
from synreid.stage.files import write_json
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import RUN
from synreid.stage.log import say
from synreid.stage.machine import machine
from synreid.stage.metrics import FILE, read_metrics

SEED = 0
TINY: dict[str, Any] = {
    **{"height": 16, "width": 8, "batch": 8, "cmax": 8, "cbase": 128, "w_dim": 8, "map_depth": 2, "vision_aid": 0},
    **{"metrics": "none", "ada_kimg": 0.5, "tick": 0.25, "snap": 1},
}
CASES = {
    "stylegan2": GanOptions(**TINY, kimg=1.5, pl_weight=2, noise=True),
    "stylegan3-t": GanOptions(**TINY, cfg="stylegan3-t", kimg=0.5),
    "stylegan2, grown": GanOptions(**{**TINY, "height": 32, "width": 16}, kimg=0.5, grow=(0.5, 0.5)),
}
CHECKPOINT_SECONDS = 0.2
MOST_KILLS = 6  # of one run
AIMED = 0.25  # share of kills that wait for a file to be written, one of WRITING
AIM_SECONDS = 0.02
PHASES = ("start-up", "training", "checkpoint", "snapshot", "end")
WRITING = ("checkpoint", "snapshot", "end")
RESULT = Path(__file__).parent.parent / "results" / "generate" / "kill.json"


@dataclass
class Whole:
    """The undisturbed run: what must come out again, the digests of its files, and how long it took."""

    files: dict[str, Any]
    digests: dict[str, str]
    seconds: float


def child(data: Path, out: Path, case: str, place: Any) -> None:
    """Run the training and keep `place` up to date: phase, step, height."""
    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    train.CHECKPOINT_SECONDS = CHECKPOINT_SECONDS
    watch(place)
    train.train_gan(open_data(data), out, CASES[case])


def watch(place: Any) -> None:
    """Let the training's own functions tell where they are."""

    def marked(function: Callable[..., Any], phase: str, stay: bool) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            before, place[0] = place[0], PHASES.index(phase)
            if isinstance(args[0], train._Training) and hasattr(args[0], "state"):
                place[1], place[2] = args[0].state.step, args[0].options.height
            result = function(*args, **options)
            if not stay:
                place[0] = before
            return result

        return call

    training = train._Training
    training.__init__ = marked(training.__init__, "start-up", stay=True)  # type: ignore[method-assign]
    training._step = marked(training._step, "training", stay=True)  # type: ignore[method-assign]
    training._snapshot = marked(training._snapshot, "snapshot", stay=False)  # type: ignore[method-assign]
    State.save = marked(State.save, "checkpoint", stay=False)  # type: ignore[method-assign]
    setattr(train, "save_networks", marked(vars(train)["save_networks"], "end", stay=True))  # noqa: B010, it is an import there


def start(context: ForkServerContext, data: Path, out: Path, case: str) -> tuple[ForkServerProcess, Any]:
    """Start the training; return its process and where it is."""
    place = context.RawArray("l", 3)
    process = context.Process(target=child, args=(data, out, case, place))
    process.start()
    return process, place


def contents(out: Path) -> dict[str, Any]:
    """Return what must not depend on kills: digests of all weights, and the lines of all metrics, by their place."""
    weights = {str(path.relative_to(out)): tensors_digest(path) for path in networks(out)}
    logs = {str(path.relative_to(out)): read_metrics(path.parent) for path in sorted(out.rglob(FILE))}
    return {**weights, **logs}


def networks(out: Path) -> list[Path]:
    """Return all files of weights in a run's folder."""
    return sorted(out.rglob("[!.]*.safetensors"))


def tensors_digest(path: Path) -> str:
    """Return the digest of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(path).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def differences(whole: Whole, out: Path) -> list[str]:
    """Return what is not as in the undisturbed run, in words."""
    found = contents(out)
    wrong = [f"{name} differs" for name in whole.files if found.get(name) != whole.files[name]]
    wrong += [f"{name} is one too many" for name in found if name not in whole.files]
    for name, lines in found.items():
        if isinstance(lines, list) and [line["step"] for line in lines] != [
            s["step"] for s in whole.files.get(name, [])
        ]:
            wrong.append(f"{name} has other steps")
    return wrong


def kill(process: ForkServerProcess, place: Any, seconds: float, aimed: str | None, rng: np.random.Generator) -> bool:
    """Kill `process` within `seconds`, or when it next writes what is `aimed` at; False if it had finished before."""
    process.join(rng.uniform(0, seconds))
    if aimed is not None:
        while process.is_alive() and PHASES[place[0]] != aimed:
            time.sleep(0.001)
        process.join(rng.uniform(0, AIM_SECONDS))
    process.kill()
    process.join()
    return process.exitcode == -9


def killed_run(
    context: ForkServerContext, data: Path, out: Path, case: str, whole: Whole, most: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Kill one training up to `most` times, let it finish, and return what happened."""
    kills: list[dict[str, Any]] = []
    began = time.monotonic()
    while True:
        started = time.monotonic()
        process, place = start(context, data, out, case)
        if len(kills) == most:
            process.join()
            break
        aimed = str(rng.choice(WRITING)) if rng.random() < AIMED else None
        if not kill(process, place, whole.seconds / 2, aimed, rng):
            break
        kills.append(
            {
                "seconds": round(time.monotonic() - started, 3),
                "phase": PHASES[place[0]],
                "step": place[1],
                "height": place[2],
                "aimed_at": aimed,
            }
        )
    wrong = [f"exit status {process.exitcode}"] if process.exitcode else differences(whole, out)
    return {
        "case": case,
        "kills": kills,
        "wrong": wrong,
        "files_of_other_bytes": sum(
            file_digest(out / name) != digest for name, digest in whole.digests.items() if (out / name).exists()
        ),
        "temporary_files_left": len(list(out.rglob(".*.part*"))),
        "seconds": round(time.monotonic() - began, 1),
    }


def undisturbed(context: ForkServerContext, data: Path, out: Path, case: str) -> Whole:
    """Run one training without a kill."""
    began = time.monotonic()
    process, _ = start(context, data, out, case)
    process.join()
    if process.exitcode:
        raise SystemExit(f"the undisturbed run of {case} ended with status {process.exitcode}")
    assert (out / RUN).exists()
    seconds = time.monotonic() - began
    return Whole(contents(out), {str(path.relative_to(out)): file_digest(path) for path in networks(out)}, seconds)


def main() -> None:
    """Kill and compare until the kills are used up; write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    given = parser.parse_args()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["synreid.generate.train", "synreid.data.street.write", "tensorboard"])
    rng = np.random.default_rng(SEED)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNREID_CACHE"] = str(Path(folder) / "cache")
        data = draw_street(Path(folder) / "street", StreetOptions(persons=6, test_persons=2, pictures=4))
        whole = {case: undisturbed(context, data, Path(folder) / f"whole-{case}", case) for case in CASES}
        say("undisturbed: " + ", ".join(f"{case} {one.seconds:.1f} s" for case, one in whole.items()))
        left = given.kills
        while left:
            case = list(CASES)[len(runs) % len(CASES)]
            out = Path(folder) / f"run-{len(runs)}"
            runs.append(killed_run(context, data, out, case, whole[case], min(left, MOST_KILLS), rng))
            left -= len(runs[-1]["kills"])
            say(f"{case}: {[one['phase'] for one in runs[-1]['kills']]}, wrong: {runs[-1]['wrong'] or 'nothing'}")
    write(given.kills, runs, whole)


def write(asked: int, runs: list[dict[str, Any]], whole: dict[str, Whole]) -> None:
    """Write the result and say the verdict."""
    phases = Counter(one["phase"] for run in runs for one in run["kills"])
    wrong = sum(bool(run["wrong"]) for run in runs)
    verdict = f"{len(runs) - wrong} of {len(runs)} killed runs end with the undisturbed run's bits"
    write_json(
        RESULT,
        {
            "what": f"a generator's training killed {asked} times (SIGKILL) and started again: {verdict}",
            "command": f"python benchmarks/kill_gan.py --kills {asked}",
            "verdict": verdict,
            "identical": wrong == 0,
            "kills_in": {phase: phases[phase] for phase in PHASES},
            "files_of_other_bytes": "though every tensor has the same bits: the order of a file's header",
            "runs": runs,
            "undisturbed_seconds": {case: round(one.seconds, 1) for case, one in whole.items()},
            "compared": {case: sorted(one.files) for case, one in whole.items()},
            "options": {case: vars(options) for case, options in CASES.items()},
            "checkpoint_seconds": CHECKPOINT_SECONDS,
            "seed": SEED,
            "machine": machine(),
        },
    )
    left = {name: sum(run[name] for run in runs) for name in ("files_of_other_bytes", "temporary_files_left")}
    say(f"{verdict}; kills in {dict(phases)}; {left}")


if __name__ == "__main__":
    main()
