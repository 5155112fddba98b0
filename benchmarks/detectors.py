"""How many real crops and how many pictures of no person each pedestrian detector accepts, and how fast it is.

Usage: python benchmarks/detectors.py DATA [DATA ...] [--pictures 300] [--out FILE]

Crops are spread over each set's training split. `real-64x32` is what a study of small generators shows a detector and
what default thresholds are chosen by. `shuffled` has its 4x2 tiles permuted, `background` is the upper corner of a crop
stretched to a crop's size, `photos` are patches of scikit-image's bundled pictures without people (if installed).
Detectors whose weights are absent are reported as not run.
"""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from synreid.data.pixels import pixels
from synreid.data.scan import open_data
from synreid.data.table import column, rows
from synreid.features.detectors import DETECTORS, Detector, present
from synreid.features.embedders import resized
from synreid.select.thresholds import training_rows
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

SEED = 0
TO_ACCEPT = 0.90  # of real crops at 64x32, by the default threshold
PHOTOS = (
    "brick",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "rocket",
    "text",
    "moon",
    "page",
)


def real_crops(path: Path, count: int) -> np.ndarray:
    """Up to `count` crops spread over the training split, uint8 [N, 128, 64, 3]."""
    table = training_rows(open_data(path))
    order = np.argsort(column(table, "path").astype(str), kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).astype(int)]
    return np.array(pixels(rows(table, chosen), 128, 64))


def shuffled(crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The crops' eighths, permuted so that none is whole."""
    h, w = crops.shape[1] // 4, crops.shape[2] // 2
    out = np.empty_like(crops)
    for k, crop in enumerate(crops):
        for place, source in enumerate(rng.permutation(8)):
            (y, x), (v, u) = divmod(place, 2), divmod(int(source), 2)
            out[k, y * h : (y + 1) * h, x * w : (x + 1) * w] = crop[v * h : (v + 1) * h, u * w : (u + 1) * w]
    return out


def background(crops: np.ndarray) -> np.ndarray:
    """An upper corner of each crop, left and right in turn, stretched to a whole crop."""
    height, width = crops.shape[1] * 3 // 10, crops.shape[2] * 2 // 9
    corners = np.stack([c[:height, :width] if k % 2 else c[:height, -width:] for k, c in enumerate(crops)])
    return resized(corners, 64, 32)


def photos(count: int, rng: np.random.Generator) -> np.ndarray | None:
    """Patches of photographs that show no person, uint8 [N, 64, 32, 3]; None without scikit-image."""
    try:
        from skimage import data
    except ImportError:
        return None
    patches: list[np.ndarray] = []
    for name in PHOTOS:
        try:
            picture = getattr(data, name)()
        except Exception as error:  # some pictures are downloaded by scikit-image, and there may be no network
            say(f"photo {name} left out: {error}")
            continue
        picture = np.repeat(picture[..., None], 3, 2) if picture.ndim == 2 else picture[..., :3]
        for _ in range(count // len(PHOTOS)):
            height = int(rng.integers(64, min(picture.shape[0], 2 * picture.shape[1], 256)))
            y = rng.integers(0, picture.shape[0] - height + 1)
            x = rng.integers(0, picture.shape[1] - height // 2 + 1)
            patches.append(resized(picture[None, y : y + height, x : x + height // 2], 64, 32)[0])
    return np.stack(patches) if patches else None


def kinds(sets: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """All that detectors are shown, by name."""
    rng = np.random.default_rng(SEED)
    shown: dict[str, np.ndarray] = {}
    for name, crops in sets.items():
        small = resized(crops, 64, 32)
        shown |= {f"{name}: real-128x64": crops, f"{name}: real-64x32": small}
        shown[f"{name}: blurred-64x32"] = np.stack([cv2.GaussianBlur(crop, (0, 0), 1.0) for crop in small])
        shown[f"{name}: shuffled"] = shuffled(small, rng)
        shown[f"{name}: upside-down"] = np.ascontiguousarray(small[:, ::-1])
        shown[f"{name}: background"] = background(crops)
    shown["noise"] = rng.integers(0, 256, (count // 3, 64, 32, 3), dtype=np.uint8)
    patches = photos(count, rng)
    if patches is not None:
        shown["photos"] = patches
    return shown


def judge(detector: Detector, shown: dict[str, np.ndarray]) -> dict[str, Any]:
    """Acceptance by kind at the detector's default threshold, and milliseconds of processor time a picture."""
    scores, seconds = {}, 0.0  # of processor time: other work on the machine does not count
    detector.score(next(iter(shown.values()))[:16])  # the first call is slower
    for name, pictures in shown.items():
        start = time.process_time()
        scores[name] = detector.score(pictures)
        seconds += time.process_time() - start
    reached = {name: float(np.quantile(s, 1 - TO_ACCEPT)) for name, s in scores.items() if "real-64x32" in name}
    return {
        "threshold": detector.threshold,
        "accepted": {name: round(float((s >= detector.threshold).mean()), 3) for name, s in scores.items()},
        "threshold_that_90_percent_reach": {name: round(value, 3) for name, value in reached.items()},
        "processor_milliseconds_a_picture": round(1e3 * seconds / sum(map(len, shown.values())), 2),
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="folders of person pictures")
    parser.add_argument("--pictures", type=int, default=300, help="crops of each set")
    parser.add_argument("--out", type=Path, default=Path("results/select/detectors.json"), help="where the result goes")
    given = parser.parse_args()
    shown = kinds({path.resolve().name: real_crops(path, given.pictures) for path in given.data}, given.pictures)
    values: dict[str, Any] = {}
    for name, kind in DETECTORS.items():
        values[name] = judge(kind(), shown) if present(name) else "not run: no weights"
        say(f"{name}: {values[name]}")
    command = ["python", "benchmarks/detectors.py", *(path.resolve().name for path in given.data)]
    command += ["--pictures", str(given.pictures)]
    real = [name for name in shown if "real-64x32" in name]
    measured = [value for value in values.values() if isinstance(value, dict)]
    result = {
        "asked": f"default thresholds that accept {TO_ACCEPT:.0%} of real crops at 64x32",
        "reached": all(value["accepted"][name] >= TO_ACCEPT for value in measured for name in real),
        "values": values,
        "pictures": {name: len(pictures) for name, pictures in shown.items()},
        "threads": torch.get_num_threads(),
        "command": shlex.join(command),
        "seed": SEED,
        "machine": machine(),
    }
    write_json(given.out, result)
    say(f"wrote {given.out}")


if __name__ == "__main__":
    main()
