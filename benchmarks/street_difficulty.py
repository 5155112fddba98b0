"""How hard the embedded set is beside real ones: for a histogram of colours, and for a small network trained on it.

Usage: python benchmarks/street_difficulty.py [--market DIR] [--pku DIR] [--reid] [--out FILE]

The matcher knows nothing: six horizontal stripes, in each a histogram of hue, of saturation and of value with 16 bins,
compared by the Bhattacharyya coefficient. It is scored by Market-1501's protocol and, because a matcher of colours
finds the camera before it finds the person, also with the query's own camera left out of the gallery. Fewer persons
are easier: Market-1501 is therefore also measured on as many persons as street has, and street on as many as PKU-Reid
has. Junk and distractors belong to the whole of Market-1501 only.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from synreid.data.decode import read_picture
from synreid.data.scan import scan
from synreid.data.splits import subset
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.data.table import column, paths, pick
from synreid.reid.evaluate import evaluate_model
from synreid.reid.options import ReidOptions
from synreid.reid.ranking import rank
from synreid.reid.train import train
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

STRIPES, BINS = 6, 16
WORLDS = (0, 1, 2)  # of street
TEST_PERSONS, PKU_PERSONS = 100, 24
DRAWS = 5  # of the persons that a smaller test keeps
REID_PERSONS, REID_SEEDS = 50, (0, 1, 2)


@dataclass(frozen=True)
class Side:
    """Query or gallery: histograms float32 [N, D], and person, camera and junk of each row."""

    features: np.ndarray
    pid: np.ndarray
    camera: np.ndarray
    junk: np.ndarray

    def of(self, persons: Sequence[str]) -> Side:
        """Return the rows of these persons."""
        keep = np.isin(self.pid.astype(str), list(persons))
        return Side(self.features[keep], self.pid[keep], self.camera[keep], self.junk[keep])


def histograms(files: Sequence[Path]) -> np.ndarray:
    """Return square roots of striped HSV histograms, float32 [N, 288], of pictures at their own size.

    Rows have length one, so that their products are Bhattacharyya coefficients.
    """
    made = np.empty((len(files), STRIPES * 3 * BINS), np.float32)
    for row, file in zip(made, files, strict=True):
        hsv = cv2.cvtColor(read_picture(file), cv2.COLOR_RGB2HSV)
        counts = [
            cv2.calcHist([stripe], [channel], None, [BINS], [0, 180 if channel == 0 else 256])
            for stripe in np.array_split(hsv, STRIPES)
            for channel in range(3)
        ]
        row[:] = np.sqrt(np.concatenate(counts)[:, 0] / (3 * hsv.shape[0] * hsv.shape[1]))
    return made


def side(table: pa.Table, split: str) -> Side:
    """Return histograms and names of one split."""
    part = pick(table, split=split)
    return Side(
        histograms(paths(part)),
        column(part, "pid"),
        column(part, "camera"),
        column(part, "junk").astype(bool),
    )


def score(query: Side, gallery: Side) -> dict[str, float]:
    """Return Rank-1 and standard mAP, fractions, by Market-1501's protocol and against other cameras only."""
    distances = 1 - query.features @ gallery.features.T
    names = (query.pid, query.camera, gallery.pid, gallery.camera, gallery.junk)
    usual = rank(distances, *names).summary()
    # Behind everything else, pictures of the query's own camera no longer matter.
    others = rank(distances + 10 * (query.camera[:, None] == gallery.camera[None]), *names).summary()
    return {
        "rank1": usual["rank1"],
        "map": usual["map"],
        "other_cameras_rank1": others["rank1"],
        "other_cameras_map": others["map"],
        "queries": len(query.pid),
        "gallery": len(gallery.pid),
    }


def fewer_persons(query: Side, gallery: Side, persons: int) -> list[dict[str, float]]:
    """Return scores on DRAWS random choices of `persons` test persons."""
    names = sorted(set(query.pid.tolist()))
    draws = [np.random.default_rng(seed).permutation(names)[:persons].tolist() for seed in range(DRAWS)]
    return [score(query.of(chosen), gallery.of(chosen)) for chosen in draws]


def averaged(scores: list[dict[str, float]]) -> dict[str, Any]:
    """Return mean and standard deviation of several scores."""
    return {
        key: {
            "mean": round(statistics.mean(one[key] for one in scores), 4),
            "sd": round(statistics.stdev(one[key] for one in scores), 4) if len(scores) > 1 else None,
        }
        for key in scores[0]
    }


def street_sets(work: Path) -> list[tuple[Side, Side]]:
    """Return query and gallery of each of the drawn worlds."""
    made = []
    for seed in WORLDS:
        options = StreetOptions(persons=0, test_persons=TEST_PERSONS, seed=seed)
        table = scan(draw_street(work / f"street-{seed}", options)).table
        made.append((side(table, "query"), side(table, "gallery")))
    return made


def reid_difficulty(work: Path) -> dict[str, Any]:
    """Return what a ResNet-18 from random weights learns of street from 50 of its persons, over REID_SEEDS."""
    world = StreetOptions(persons=REID_PERSONS, test_persons=TEST_PERSONS, seed=WORLDS[0])
    data = scan(draw_street(work / "reid-street", world)).table
    training = subset(pick(data, split="train"), identities=REID_PERSONS)
    scores = []
    for seed in REID_SEEDS:
        options = ReidOptions(seed=seed)
        summary = evaluate_model(train(training, None, work / f"reid-{seed}", options), data).summary
        scores.append({"rank1": summary["rank1"], "map": summary["map"]})
        say(
            f"ResNet-18 on {REID_PERSONS} persons, seed {seed}: Rank-1 {summary['rank1']:.1%}, mAP {summary['map']:.1%}"
        )
    return {"world": asdict(world), "options": asdict(ReidOptions()), "seeds": REID_SEEDS, **averaged(scores)}


def matcher_difficulty(work: Path, market: Path | None, pku: Path | None) -> dict[str, Any]:
    """Return the matcher's scores on street and, where they are given, on the real sets."""
    street = street_sets(work)
    values: dict[str, Any] = {
        f"street, {TEST_PERSONS} persons": averaged([score(*one) for one in street]),
        f"street, {PKU_PERSONS} persons": averaged([s for one in street for s in fewer_persons(*one, PKU_PERSONS)]),
        "Market-1501, 750 persons": "not run",
        f"Market-1501, {TEST_PERSONS} persons": "not run",
        f"PKU-Reid, {PKU_PERSONS} persons": "not run",
    }
    if market is not None:
        table = scan(market).table
        query, gallery = side(table, "query"), side(table, "gallery")
        values["Market-1501, 750 persons"] = averaged([score(query, gallery)])
        values[f"Market-1501, {TEST_PERSONS} persons"] = averaged(fewer_persons(query, gallery, TEST_PERSONS))
    if pku is not None:
        table = scan(pku).table
        values[f"PKU-Reid, {PKU_PERSONS} persons"] = averaged([score(side(table, "query"), side(table, "gallery"))])
    return values


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--market", type=Path, help="Market-1501")
    parser.add_argument("--pku", type=Path, help="PKU-Reid in Market-1501's layout")
    parser.add_argument("--reid", action="store_true", help="also train the network")
    parser.add_argument(
        "--out", type=Path, default=Path("results/data/street-difficulty.json"), help="the result's file"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        values = matcher_difficulty(Path(work), given.market, given.pku)
        for name, value in values.items():
            if isinstance(value, dict):
                say(f"{name}: " + ", ".join(f"{key} {value[key]['mean']:.1%}" for key in list(value)[:4]))
        trained = reid_difficulty(Path(work)) if given.reid else "not run"
    asked = [f"--{name} DIR" for name in ("market", "pku") if getattr(given, name)] + ["--reid"] * given.reid
    write_json(
        given.out,
        {
            "asked": "about as hard as real sets: Rank-1 15 to 30 % on 100 persons, 100 of Market-1501 beside it",
            "matcher": f"{STRIPES} stripes x (H, S, V) x {BINS} bins, Bhattacharyya, pictures at their own size",
            "values": values,
            "resnet18": trained,
            "worlds": WORLDS,
            "draws_of_persons": DRAWS,
            "command": shlex.join(["python", "benchmarks/street_difficulty.py"])
            + "".join(f" {part}" for part in asked),
            "machine": machine(),
        },
    )
    say(f"wrote {given.out}")


if __name__ == "__main__":
    sys.exit(main())
