"""How fast selection is on 128x64 pictures: each detector, every other score, SSIM beside scikit-image, memory.

    python benchmarks/select_speed.py [--pictures 20000] [--shown 256] [--many 200000]

Networks see `--shown` pictures, from which the time of `--pictures` follows; SSIM and near-duplicates see all of them.
Memory is that of `--many` pictures with an embedder that makes features out of nothing: what selection itself keeps,
without the mapped pictures, which the system may drop. Pictures are random: no score's time depends on them.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from synreid.features.detectors import present_detectors
from synreid.features.embedders import default_identity_embedder, default_quality_embedder
from synreid.select import scores
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

OUT = Path(__file__).parent.parent / "results" / "speed" / "select.json"
HEIGHT, WIDTH, OF_EACH = 128, 64, 20  # pictures of a person
GOALS = {"ssim_seconds": 10.0, "other_scores_over_default_detector": 1.0, "gib": 3.0}
PEER_PAIRS = 1000


class Nothing:
    """Features of OSNet's size, from a picture's first byte."""

    name, fingerprint = "nothing", "1"

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        """Return float32 `[N, 512]`."""
        return pictures[:, 0, 0, :1] + np.arange(512, dtype=np.float32)


def seconds(work: Callable[[], Any]) -> float:
    """Return how long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def random_pictures(folder: Path, count: int) -> np.ndarray:
    """Return a mapped array of `count` smooth random pictures."""
    small = np.random.default_rng(0).integers(0, 256, (256, HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    whole = np.stack([cv2.resize(picture, (WIDTH, HEIGHT)) for picture in small])
    pictures = np.lib.format.open_memmap(folder / f"{count}.npy", "w+", np.uint8, (count, HEIGHT, WIDTH, 3))
    for start in range(0, count, len(whole)):
        part = pictures[start : start + len(whole)]
        part[:] = whole[: len(part)]
        part[:, :, :, 0] += np.uint8(start // len(whole) % 256)
    return pictures


def private_gib(work: Callable[[], Any]) -> float:
    """Return the most private memory of the process while `work` runs, GiB, looked at ten times a second."""
    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.1):
            lines = Path("/proc/self/status").read_text().splitlines()
            most = max(most, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    over.set()
    watcher.join()
    return most / 2**20


def keep_features(pictures: np.ndarray, persons: np.ndarray) -> None:
    """Compute all that holds on to something a picture."""
    scores.to_own_mean(scores.embed(pictures, Nothing()), persons)
    scores.realism(pictures, pictures[:5000], Nothing())
    scores.to_earlier(pictures, persons)


def peer(pictures: np.ndarray) -> None:
    """SSIM by scikit-image, pair by pair."""
    for a, b in itertools.pairwise(pictures[: PEER_PAIRS + 1]):
        structural_similarity(a, b, channel_axis=2, data_range=255)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--shown", type=int, default=256)
    parser.add_argument("--many", type=int, default=200_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        pictures = random_pictures(Path(place), given.pictures)
        persons = np.arange(given.pictures) // OF_EACH
        shown = np.asarray(pictures[: given.shown])
        identity, quality = default_identity_embedder()[0], default_quality_embedder()[0]
        networks: dict[str, Callable[[], Any]] = {
            judge.name: lambda judge=judge: scores.pedestrian(shown, judge) for judge in present_detectors()
        }
        names = list(networks)
        networks["identity"] = lambda: scores.embed(shown, identity)
        networks["realism"] = lambda: quality.embed(shown)
        for work in networks.values():
            work()  # the first call is slower
        rate = {name: 1e3 * seconds(work) / len(shown) for name, work in networks.items()}
        whole = {
            "ssim": seconds(lambda: scores.ssim_to_first(pictures, persons)),
            "duplicates": seconds(lambda: scores.to_earlier(pictures, persons)),
        }
        by_peer = seconds(lambda: peer(pictures)) * given.pictures / PEER_PAIRS
        many = random_pictures(Path(place), given.many)
        memory = private_gib(lambda: keep_features(many, np.arange(given.many) // OF_EACH))
    each = {name: round(value, 2) for name, value in rate.items()}
    each |= {name: round(1e3 * value / given.pictures, 3) for name, value in whole.items()}
    others = sum(value for name, value in each.items() if name not in names)
    result = {
        "asked": "selection of 20,000 pictures at 128x64: SSIM in 10 s, other scores together under a detector's time",
        "goals": GOALS,
        "milliseconds_a_picture": each,
        "seconds_of_all": {name: round(value * given.pictures / 1e3, 1) for name, value in each.items()},
        "ssim_scikit_image_seconds": round(by_peer, 1),
        "other_scores_over_detector": {name: round(others / each[name], 2) for name in names},
        "many": given.many,
        "private_gib_of_many": round(memory, 2),
        "command": shlex.join(["python", "benchmarks/select_speed.py", *sys.argv[1:]]),
        "machine": machine(),
    }
    write_json(OUT, result)
    say(str(result))


if __name__ == "__main__":
    main()
