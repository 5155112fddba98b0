"""How long a search among 100,000 pictures takes once the query's features are there, and what clusters find of more.

Usage: python benchmarks/search.py [--vectors 1000000] [--out FILE]

Vectors are random: persons are points, and pictures lie about them, at three difficulties. Exact search is timed beside
an argsort of all products and faiss's own exact index. Clusters are built as `reid index` builds them; their recall at
10 is measured on the gallery's own vectors, as there, and on new pictures of the same persons. 1,000,000 vectors take
some 6 GB of memory and 2 GB of the disk.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synreid.quality.neighbours import unit_length
from synreid.reid.index_options import IndexOptions
from synreid.reid.vectors import TOP, build_clusters, load_faiss, nearest_exact, read_clusters, recall, write_clusters
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

EXACT, WIDTH, PICTURES = 100_000, 512, 20  # of a person
NOISE = {"easy": 0.5, "middle": 1.0, "hard": 1.5}  # of a picture's vector, against the spread of persons
TO_REACH_MS, TO_REACH_RECALL = 20.0, 0.99
SEED, REPEATS, QUERIES = 0, 50, 500


def persons(count: int) -> np.ndarray:
    """Return the points that pictures lie about, float32 [P, D]."""
    return np.random.default_rng(SEED).standard_normal((-(-count // PICTURES), WIDTH), dtype=np.float32)


def pictures(points: np.ndarray, count: int, noise: float, seed: int) -> np.ndarray:
    """Return `count` vectors of unit length, float32 [N, D], the persons in turn, block by block for memory's sake."""
    draw = np.random.default_rng([SEED, seed])
    out = np.empty((count, WIDTH), dtype=np.float32)
    for start in range(0, count, EXACT):
        block = np.arange(start, min(start + EXACT, count)) % len(points)
        values = points[block] + noise * draw.standard_normal((len(block), WIDTH), dtype=np.float32)
        out[start : start + len(block)] = unit_length(values)
    return out


def argsorted(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the rows of the ten nearest as one would write it: sort all products."""
    order: np.ndarray = np.argsort(-(vectors @ query[0]))[:TOP]
    return order


def timed(search: Callable[[np.ndarray], Any], queries: np.ndarray) -> dict[str, float]:
    """Return milliseconds of single searches, after three that are not counted."""
    taken = []
    for turn in range(-3, REPEATS):
        start = time.perf_counter()
        search(queries[turn : turn + 1] if turn >= 0 else queries[:1])
        if turn >= 0:
            taken.append(1000 * (time.perf_counter() - start))
    return {"ms_median": round(statistics.median(taken), 2), "ms_p95": round(float(np.percentile(taken, 95)), 2)}


def exact_speed() -> dict[str, dict[str, float]]:
    """Time one picture's search among 100,000 x 512, vectors mapped from a file as an index has them."""
    points = persons(EXACT)
    queries = pictures(points, REPEATS, NOISE["middle"], seed=1)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "v.npy", pictures(points, EXACT, NOISE["middle"], seed=0))
        vectors = np.load(Path(folder) / "v.npy", mmap_mode="r")
        flat = load_faiss().IndexFlatIP(WIDTH)
        flat.add(np.ascontiguousarray(vectors))
        for query in queries[:5]:
            assert nearest_exact(vectors, query[None], TOP)[1][0].tolist() == argsorted(vectors, query[None]).tolist()
        return {
            "synreid": timed(lambda query: nearest_exact(vectors, query, TOP), queries),
            "plain argsort": timed(lambda query: argsorted(vectors, query), queries),
            "faiss IndexFlatIP": timed(lambda query: flat.search(query, TOP), queries),
        }


def clusters_of(count: int, noise: float) -> dict[str, Any]:
    """Build clusters of `count` vectors, open them from the disk, and measure recall and time."""
    points = persons(count)
    vectors = pictures(points, count, noise, seed=0)
    queries = pictures(points, QUERIES, noise, seed=1)
    start = time.perf_counter()
    built, own = build_clusters(vectors, IndexOptions(recall=TO_REACH_RECALL, seed=SEED))
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        write_clusters(built, Path(folder) / "v.faiss")
        del built
        clusters = read_clusters(Path(folder) / "v.faiss")
        found = clusters.nearest(queries, TOP)[0]
        return {
            "seconds_to_build_and_probe": round(seconds, 1),
            "clusters": clusters.count,
            "probes": clusters.probes,
            "recall_at_10_own": round(own, 4),
            "recall_at_10_new_pictures": round(recall(found, nearest_exact(vectors, queries, TOP)[0]), 4),
            **timed(lambda query: clusters.nearest(query, TOP), queries),
        }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000, help="vectors in clusters")
    parser.add_argument("--out", type=Path, default=Path("results/speed/search.json"), help="where the result goes")
    given = parser.parse_args()
    exact = exact_speed()
    say("exact: " + ", ".join(f"{name} {value['ms_median']} ms" for name, value in exact.items()))
    clustered = {}
    for name, noise in NOISE.items():
        clustered[name] = clusters_of(given.vectors, noise)
        say(f"{name}: {clustered[name]}")
    result = {
        "asked": f"the ten nearest of {EXACT:,} x {WIDTH} in {TO_REACH_MS:.0f} ms once the query's features are there",
        "reached": exact["synreid"]["ms_median"] <= TO_REACH_MS,
        "exact": exact,
        "vectors_in_clusters": given.vectors,
        "clusters": clustered,
        "command": shlex.join(["python", "benchmarks/search.py", "--vectors", str(given.vectors)]),
        "seed": SEED,
        "numpy": np.__version__,
        "faiss": load_faiss().__version__,
        "machine": machine(),
    }
    write_json(given.out, result)
    say(f"wrote {given.out}")


if __name__ == "__main__":
    sys.exit(main())
