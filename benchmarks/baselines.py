"""How good re-ID models get on real pictures alone: backbones, presets and parts of the training set, several seeds.

Usage: python benchmarks/baselines.py NAME --data PATH --out FOLDER [--rows ROW ...] [--workers 2]

Each row is trained with every seed (`PRESETS` of the re-ID options, at a size and for as many epochs as two cores can
bear) and scored on the whole test. What is finished in FOLDER is not run again. The numbers of the rows that are asked
for go to `results/reid/NAME.json`, beside those of other rows that it already has.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synreid.data.scan import open_data
from synreid.data.splits import subset
from synreid.data.table import column, pick
from synreid.reid.options import PRESETS, ReidOptions
from synreid.stage.files import read_json, write_json
from synreid.stage.log import say
from synreid.stage.machine import machine
from synreid.study.engine import check_workers, run_jobs
from synreid.study.jobs import MEASURES, Job

RESULTS = Path(__file__).parent.parent / "results" / "reid"


@dataclass(frozen=True)
class Row:
    """A row of the table: a preset with some options changed, on a share of the training persons."""

    preset: str
    changes: Mapping[str, Any]
    fraction: float = 0.1
    seeds: Sequence[int] = field(default_factory=lambda: range(5))

    @property
    def options(self) -> ReidOptions:
        """The preset's options at 128x64, changed."""
        return ReidOptions(**{**PRESETS[self.preset], "height": 128, "width": 64, **self.changes})


RESNET = {"backbone": "resnet18", "pretrained": None, "backbone_lr_factor": None, "epochs": 30}
LITE = {"backbone": "tf_efficientnet_lite0", "pretrained": "imagenet", "last_stride": None, "epochs": 15}
OSNET = {"backbone": "osnet_x0_25", "pretrained": "msmt17", "last_stride": None, "epochs": 15}
ROWS = {
    "resnet18-thesis": Row("thesis", RESNET),
    "resnet18-strong": Row("strong", RESNET),
    "efficientnet-lite0-thesis": Row("thesis", LITE),
    "efficientnet-lite0-strong": Row("strong", LITE),
    "osnet-thesis": Row("thesis", OSNET),
    "osnet-strong": Row("strong", OSNET),
    "osnet-strong-whole": Row("strong", {**OSNET, "epochs": 10}, fraction=1.0, seeds=(0,)),
    "resnet50-thesis-whole": Row(
        "thesis", {"backbone": "resnet50", "pretrained": None, "height": 256, "width": 128, "epochs": 1}, 1.0, (0,)
    ),
}
"""The last one only shows that ResNet-50 at 256x128 learns: its 60 epochs are for a GPU."""


def main() -> None:
    """Train what is asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="the result's name, that of the data")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the models")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    given = parser.parse_args()
    check_workers(given.workers)
    given.out.mkdir(parents=True, exist_ok=True)
    data = open_data(given.data)
    test = pick(data, split=("query", "gallery"))
    result = RESULTS / f"{given.name}.json"
    table = read_json(result)["rows"] if result.exists() else {}
    for name in given.rows:
        row = ROWS[name]
        real = subset(pick(data, split="train"), fraction=row.fraction, seed=0)
        jobs = []
        for seed in row.seeds:
            options = dataclasses.replace(row.options, seed=seed)
            jobs.append(Job(name, name, seed, given.out / name / str(seed), real, None, test, options, "new-identity"))
        found: dict[int, dict[str, Any]] = {}
        run_jobs(jobs, given.workers, given.out / "workers.log", lambda place: None, found.__setitem__)
        table[name] = {
            "preset": row.preset,
            "options": dataclasses.asdict(row.options),
            "persons": len(set(column(real, "pid"))),
            "pictures": len(real),
            "seeds": list(row.seeds),
            "workers": given.workers,
            "trainings": [found[place] for place in range(len(jobs))],
            **{name: _spread([one[name] for one in found.values()]) for name in (*MEASURES, "seconds")},
        }
        say(f"{name}: Rank-1 {table[name]['rank1']['mean']:.1%}, mAP {table[name]['map']['mean']:.1%}")
        write_json(result, _result(given.name, table))


def _spread(values: list[float]) -> dict[str, float | None]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def _result(name: str, table: dict[str, Any]) -> dict[str, Any]:
    return {
        "what": "re-ID baselines on real pictures alone: backbones, presets, parts of the training set",
        "command": f"python benchmarks/baselines.py {name} --data PATH --out FOLDER --rows {' '.join(table)}",
        "rows": table,
        "machine": machine(),
    }


if __name__ == "__main__":
    main()
