"""Distances between feature sets beside torch-fidelity's on the same features, and what they cost beside the network.

    python benchmarks/distances.py                             # values: results/generate/distances.json
    OMP_NUM_THREADS=1 python benchmarks/distances.py --speed   # seconds: results/speed/distances.json

Values: FD, KID (unbiased, on whole sets of equal size), precision and recall (k = 3) differ by at most 1e-3 relative.
Speed: a Fréchet distance of 10,000 made pictures takes at most 1.2 times the network's own forward pass over them, the
real set's features being in the cache; in as many threads as OMP_NUM_THREADS says.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch_fidelity import metric_fid, metric_kid, metric_prc
from torch_fidelity.version import __version__ as their_version

from synreid.data.pixels import pixels
from synreid.data.scan import open_data
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.data.table import pick
from synreid.features.embedders import BATCH, EfficientNetLite0
from synreid.quality.distribution import (
    frechet_distance,
    kernel_distance,
    mmd2,
    precision_recall_density_coverage,
)
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

RESULTS = Path(__file__).parent.parent / "results"
VALUES, SECONDS = RESULTS / "generate" / "distances.json", RESULTS / "speed" / "distances.json"
STREET = StreetOptions(persons=200, test_persons=4, pictures=8)  # half of the persons stand for made ones
CLOSE = 1e-3
NEIGHBOURS = 3  # torch-fidelity's precision and recall
PICTURES, AT_MOST, ROUNDS = 10_000, 1.2, 3


def gaussians() -> tuple[np.ndarray, np.ndarray]:
    """Return two seeded sets, float32 [1500, 256] and [1200, 256], of unlike mean and spread along each dimension."""
    rng = np.random.default_rng(0)
    scale = np.geomspace(2, 0.05, 256)
    real, made = rng.normal(size=(1500, 256)) * scale, rng.normal(size=(1200, 256)) * scale * 1.1 + 0.05
    return real.astype(np.float32), made.astype(np.float32)


def street() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return EfficientNet-Lite0 features of drawn pictures and of others: other persons, the same ones blurred."""
    with tempfile.TemporaryDirectory() as folder:
        table = pick(open_data(draw_street(Path(folder) / "street", STREET)), split="train")
        pictures = np.array(pixels(table, 64, 32))
    half = len(pictures) // 2  # a person's pictures stand together, so that nobody is in both halves
    blurred = np.stack([cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in pictures[half:]])
    embed = EfficientNetLite0().embed
    real = embed(pictures[:half])
    return {"street, other persons": (real, embed(pictures[half:])), "street, blurred": (real, embed(blurred))}


def theirs(real: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """Return torch-fidelity's values; its KID of a single subset that holds everything is the unbiased MMD itself."""
    first, second = torch.from_numpy(made), torch.from_numpy(real)
    count = min(len(real), len(made))
    statistics = [metric_fid.fid_features_to_statistics(x) for x in (first, second)]
    whole = {"kid_subsets": 1, "kid_subset_size": count, "verbose": False}
    usual = {"kid_subsets": 100, "kid_subset_size": min(1000, count // 2), "verbose": False}
    kid = metric_kid.kid_features_to_metric(first, second, **usual)
    prc = metric_prc.prc_features_to_metric(first, second, prc_neighborhood=NEIGHBOURS, verbose=False)
    return {
        "frechet": metric_fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"],
        "mmd": metric_kid.kid_features_to_metric(first[:count], second[:count], **whole)[
            "kernel_inception_distance_mean"
        ],
        "precision": prc["precision"],
        "recall": prc["recall"],
        "kid": kid["kernel_inception_distance_mean"],
        "kid_sd": kid["kernel_inception_distance_std"],
    }


def ours(real: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """Return our values of the same things."""
    count = min(len(real), len(made))
    kid, kid_sd = kernel_distance(real, made)
    shares = precision_recall_density_coverage(real, made, NEIGHBOURS)
    return {
        "frechet": frechet_distance(real, made),
        "mmd": mmd2(real[:count], made[:count]),
        "precision": shares["precision"],
        "recall": shares["recall"],
        "kid": kid,
        "kid_sd": kid_sd,
    }


def values() -> None:
    """Compare both on every pair of sets; `kid` and `kid_sd` come from other random subsets and are only shown."""
    sets = {"Gaussians": gaussians(), **street()}
    found: dict[str, Any] = {}
    for name, (real, made) in sets.items():
        pair = {"ours": ours(real, made), "torch-fidelity": theirs(real, made)}
        apart = {
            key: abs(pair["ours"][key] - pair["torch-fidelity"][key]) / abs(pair["torch-fidelity"][key])
            for key in ("frechet", "mmd", "precision", "recall")
        }
        exact = precision_recall_density_coverage(real.astype(np.float64), made.astype(np.float64), NEIGHBOURS)
        single = precision_recall_density_coverage(real, made, NEIGHBOURS)
        found[name] = {
            "shapes": [real.shape, made.shape],
            **pair,
            "relative_difference": apart,
            "float32_against_float64": {key: abs(single[key] - exact[key]) for key in exact},
        }
        say(f"{name}: {apart}")
    largest = max(value for one in found.values() for value in one["relative_difference"].values())
    write_json(
        VALUES,
        {
            "what": "our distances against torch-fidelity's on the same features, relative difference; goal 1e-3",
            "command": "python benchmarks/distances.py",
            "sets": found,
            "largest_relative_difference": largest,
            "street": STREET,
            "seeds": "Gaussians 0, street's default, ours and theirs draw KID's subsets by their own defaults",
            "torch_fidelity": their_version,
            "reached": largest <= CLOSE,
            "machine": machine(),
        },
    )
    say(f"largest relative difference {largest:.2g}, written to {VALUES}")


def seconds(task: Callable[[], Any]) -> float:
    """Return how long a task takes."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def speed(count: int) -> None:
    """Time the parts of measuring `count` made pictures; the real set's features are there (cached)."""
    threads = torch.get_num_threads()
    cv2.setNumThreads(threads)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 16, 8, 3), dtype=np.uint8)
    pictures = coarse.repeat(4, axis=1).repeat(4, axis=2)
    embedder = EfficientNetLite0("cpu")
    real = embedder.embed(pictures[::-1]) + rng.normal(size=(count, 1)).astype(np.float32) * 0.01
    batch = torch.randn(BATCH, 3, embedder.height, embedder.width).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward() -> None:
        for _ in range(count // BATCH):
            embedder._network(batch)
        embedder._network(batch[: count % BATCH])

    made = embedder.embed(pictures)
    parts: dict[str, Callable[[], Any]] = {
        "forward": forward,
        "embed": lambda: embedder.embed(pictures),
        "frechet": lambda: frechet_distance(real, made),
        "kid": lambda: kernel_distance(real, made),
        "precision, recall, density, coverage": lambda: precision_recall_density_coverage(real, made),
    }
    rounds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(ROUNDS):  # in turns, so that a noisy neighbour hits all
        for name, part in parts.items():
            rounds[name].append(seconds(part))
            say(f"{name}: {rounds[name][-1]:.2f} s")
    median = {name: float(np.median(times)) for name, times in rounds.items()}
    ratios = [
        (embed + frechet) / network
        for network, embed, frechet in zip(rounds["forward"], rounds["embed"], rounds["frechet"], strict=True)
    ]
    ratio = float(np.median(ratios))
    say(f"FD of {count:,} pictures: {ratio:.2f} times the forward pass, {threads} threads")
    write_json(
        SECONDS,
        {
            "what": f"FD of {count:,} pictures at 64x32 over EfficientNet-Lite0's forward pass; goal {AT_MOST:g}",
            "command": f"OMP_NUM_THREADS={threads} python benchmarks/distances.py --speed",
            "ratio": ratio,
            "ratios": ratios,
            "all_measures_ratio": sum(value for name, value in median.items() if name != "forward") / median["forward"],
            "seconds": median,
            "rounds": rounds,
            "pictures": count,
            "threads": threads,
            "seed": 0,
            "reached": ratio <= AT_MOST,
            "machine": machine(),
        },
    )


def main() -> None:
    """Compare values, or time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true", help="time instead of comparing values")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="pictures while timing (the goal's: 10,000)")
    options = parser.parse_args()
    if options.speed:
        speed(options.pictures)
    else:
        values()


if __name__ == "__main__":
    main()
