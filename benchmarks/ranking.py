"""How long ranking takes at Market-1501's size once the distances are there, beside an argsort and torchreid.

Usage: python benchmarks/ranking.py [--peer DIR] [--out FILE]
       python benchmarks/ranking.py --large [--out FILE]

Features are synthetic, at three difficulties, and a fourth set has its distances rounded so that ties abound. The
peer is a checkout of KaiyangZhou/deep-person-reid; its Cython code is timed if built in place (rank_cylib/Makefile).
`--large` measures 1,000 queries x 1,000,000 pictures instead, in blocks, distances included, and memory at its peak.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from synreid.data.table import from_columns
from synreid.reid.evaluate import evaluate_features
from synreid.reid.ranking import rank
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

QUERIES, GALLERY, PERSONS, CAMERAS = 3368, 15913, 750, 6
DISTRACTORS = 2798  # of the gallery, as in Market-1501
NOISE = {"easy": 0.95, "middle": 1.2, "hard": 1.7}  # of a feature, against the spread of persons
TO_REACH = 0.35  # seconds
LARGE_QUERIES, LARGE, LARGE_PERSONS, WIDTH = 1000, 1_000_000, 50_000, 512
LARGE_TO_REACH, LARGE_MEMORY = 60, 4  # seconds and GiB
SEED, REPEATS = 0, 7
CONTENDERS = ("synreid", "plain argsort", "torchreid Cython", "torchreid Python")

Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def features(noise: float) -> Case:
    """Return cosine distances [Q, G] and the names of queries and gallery, Market-1501's counts."""
    draw = np.random.default_rng(SEED)
    centres = draw.standard_normal((PERSONS, 64), dtype=np.float32)
    query = np.arange(QUERIES) % PERSONS
    gallery = np.concatenate([np.arange(GALLERY - DISTRACTORS) % PERSONS, np.full(DISTRACTORS, -1)])
    strangers = draw.standard_normal((GALLERY, 64), dtype=np.float32)

    def unit(pid: np.ndarray) -> torch.Tensor:
        mean = np.where(pid[:, None] >= 0, centres[pid], strangers[: len(pid)])
        value = mean + noise * draw.standard_normal(mean.shape, dtype=np.float32)
        return torch.nn.functional.normalize(torch.from_numpy(value))

    distances = (1 - unit(query) @ unit(gallery).T).numpy()
    return distances, query, draw.integers(0, CAMERAS, QUERIES), gallery, draw.integers(0, CAMERAS, GALLERY)


def ours(case: Case) -> tuple[float, float]:
    """Return Rank-1 and mAP, and whatever else `rank` computes besides."""
    summary = rank(*case).summary()
    return summary["rank1"], summary["map"]


def plain_argsort(case: Case) -> tuple[float, float]:
    """Return Rank-1 and standard mAP as one would write it: sort everything, then walk through the queries."""
    distances, query_pid, query_camera, gallery_pid, gallery_camera = case
    order = np.argsort(distances, axis=1)
    first, precisions = [], []
    for row, pid, camera in zip(order, query_pid, query_camera, strict=True):
        same = gallery_pid[row] == pid
        hits = same[~(same & (gallery_camera[row] == camera))]
        if hits.any():
            places = np.flatnonzero(hits)
            first.append(places[0] == 0)
            precisions.append(np.mean(np.arange(1, len(places) + 1) / (places + 1)))
    return float(np.mean(first)), float(np.mean(precisions))


def torchreid_rankings(peer: Path) -> dict[str, Callable[[Case], tuple[float, float]]]:
    """Return torchreid's evaluators by name, loaded from its files alone: the package wants much that we do not."""
    folder = peer / "torchreid" / "metrics"
    python = load("torchreid_rank", folder / "rank.py")

    def answer(result: Any) -> tuple[float, float]:
        return float(result[0][0]), float(result[1])

    def ordered(case: Case) -> Case:
        return case[0], case[1], case[3], case[2], case[4]

    def cython(module: ModuleType, case: Case) -> tuple[float, float]:
        return answer(module.evaluate_cy(*ordered(case), 50, False))

    found: dict[str, Callable[[Case], tuple[float, float]]] = {
        "torchreid Python": lambda case: answer(python.eval_market1501(*ordered(case), 50))
    }
    for built in sorted((folder / "rank_cylib").glob("rank_cy*")):
        if built.name.endswith(tuple(EXTENSION_SUFFIXES)):
            found["torchreid Cython"] = partial(cython, load("rank_cy", built))
    return found


def load(name: str, path: Path) -> ModuleType:
    """Import one file."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(case: Case, contenders: dict[str, Callable[[Case], tuple[float, float]]]) -> dict[str, Any]:
    """Time all contenders in turn, so that a busy machine is busy for each; the slow ones once."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    answers: dict[str, tuple[float, float]] = {}
    for turn in range(REPEATS):
        for name, contender in contenders.items():
            if turn and min(seconds[name]) > 5:
                continue
            start = time.perf_counter()
            answers[name] = contender(case)
            seconds[name].append(time.perf_counter() - start)
    mine = statistics.median(seconds["synreid"])
    return {
        name: {
            "seconds_median": round(statistics.median(taken), 3),
            "seconds_best": round(min(taken), 3),
            "runs": len(taken),
            "times_synreid": round(statistics.median(taken) / mine, 2),
            "rank1": round(answers[name][0], 6),
            "map": round(answers[name][1], 6),
        }
        for name, taken in seconds.items()
    }


def large() -> dict[str, Any]:
    """Score random features of 1,000 queries and a gallery of 1,000,000; the features count in the memory too."""
    draw = np.random.default_rng(SEED)
    gallery = draw.standard_normal((LARGE, WIDTH), dtype=np.float32)
    pid = np.arange(LARGE) % LARGE_PERSONS
    for start in range(0, LARGE, LARGE_PERSONS):
        gallery[start : start + LARGE_PERSONS] += gallery[:LARGE_PERSONS]
    query = gallery[:LARGE_QUERIES] + draw.standard_normal((LARGE_QUERIES, WIDTH), dtype=np.float32)
    tables = [
        from_columns(
            path=[f"{split}/{place}.png" for place in range(count)],
            sha256="",
            pid=[str(name) for name in pid[:count]],
            camera=[str(camera) for camera in draw.integers(0, CAMERAS, count)],
            split=[split] * count,
        )
        for split, count in (("query", LARGE_QUERIES), ("gallery", LARGE))
    ]
    start_time = time.perf_counter()
    summary = evaluate_features(query, gallery, *tables).summary
    seconds = time.perf_counter() - start_time
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30
    say(f"{seconds:.1f} s, {peak:.2f} GiB at most, mAP {summary['map']:.3f}")
    return {
        "asked": f"score {LARGE_QUERIES:,} x {LARGE:,} x {WIDTH} in {LARGE_TO_REACH} s and {LARGE_MEMORY} GiB",
        "reached": seconds <= LARGE_TO_REACH and peak <= LARGE_MEMORY,
        "seconds": round(seconds, 1),
        "peak_gib": round(peak, 2),
        "rank1": summary["rank1"],
        "map": summary["map"],
        "command": "python benchmarks/ranking.py --large",
        "seed": SEED,
        "machine": machine(),
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="a checkout of KaiyangZhou/deep-person-reid")
    parser.add_argument("--out", type=Path, default=Path("results/speed/ranking.json"), help="where the result goes")
    parser.add_argument("--large", action="store_true", help="a gallery of 1,000,000 instead")
    given = parser.parse_args()
    if given.large:
        out = given.out.with_name("ranking-large.json")
        write_json(out, large())
        say(f"wrote {out}")
        return
    contenders: dict[str, Callable[[Case], tuple[float, float]]] = {"synreid": ours, "plain argsort": plain_argsort}
    if given.peer is not None:
        contenders |= torchreid_rankings(given.peer)
    cases = {name: features(noise) for name, noise in NOISE.items()}
    cases["ties"] = (np.round(cases["middle"][0], 2), *cases["middle"][1:])
    values: dict[str, Any] = {}
    for name, case in cases.items():
        measured = measure(case, contenders)
        values[name] = {contender: measured.get(contender, "not run") for contender in CONTENDERS}
        say(f"{name}: " + ", ".join(f"{key} {value['seconds_median']} s" for key, value in measured.items()))
    worst = max(value["synreid"]["seconds_median"] for value in values.values())
    result = {
        "asked": f"rank {QUERIES:,} queries x {GALLERY:,} gallery in {TO_REACH} s after the distances, ties included",
        "reached": worst <= TO_REACH,
        "worst_seconds_median": worst,
        "values": values,
        "note": "where distances tie, an argsort ranks tied pictures as they happen to lie, so answers differ there",
        "command": shlex.join(["python", "benchmarks/ranking.py", *(["--peer", "DIR"] if given.peer else [])]),
        "seed": SEED,
        "numpy": np.__version__,
        "machine": machine(),
    }
    write_json(given.out, result)
    say(f"wrote {given.out}")


if __name__ == "__main__":
    sys.exit(main())
