"""How models that were trained on one data set rank the persons of another.

Usage: python benchmarks/cross_data.py TRAINED TESTED --models FOLDER --data PATH [--out FILE]

FOLDER is that of `benchmarks/baselines.py`, with one folder a row and a model a seed in it, trained on the data set
called TRAINED; PATH holds the query and gallery of TESTED, of which no model has seen a picture.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from synreid.data.scan import open_data
from synreid.data.table import column, pick
from synreid.reid.embed import load_model
from synreid.reid.evaluate import evaluate_model
from synreid.reid.train import MODEL
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine
from synreid.study.jobs import MEASURES
from synreid.study.statistics import mean_and_deviation, or_none

RESULTS = Path(__file__).parent.parent / "results" / "reid"


def main() -> None:
    """Evaluate every model and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", help="name of the data set that the models were trained on")
    parser.add_argument("tested", help="name of the data set that they are tested on")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    test = pick(open_data(given.data), split=("query", "gallery"))
    table = {}
    for row in sorted(path.parent.parent for path in given.models.glob(f"*/0/{MODEL}")):
        folders = sorted(path.parent for path in row.glob(f"*/{MODEL}"))
        options = load_model(folders[0]).options
        with tempfile.TemporaryDirectory() as scores:
            found = [evaluate_model(folder, test, out=Path(scores) / folder.name).summary for folder in folders]
        table[row.name] = {
            "backbone": options.backbone,
            "size": list(options.size),
            "seeds": [int(folder.name) for folder in folders],
            **{name: _spread([one[name] for one in found]) for name in MEASURES},
        }
        say(f"{row.name}: Rank-1 {table[row.name]['rank1']['mean']:.1%}, mAP {table[row.name]['map']['mean']:.1%}")
    splits = column(test, "split")
    result = {
        "what": f"models trained on {given.trained}, tested on {given.tested}",
        "command": f"python benchmarks/cross_data.py {given.trained} {given.tested} --models FOLDER --data PATH",
        "query": int((splits == "query").sum()),
        "gallery": int((splits == "gallery").sum()),
        "rows": table,
        "machine": machine(),
    }
    write_json(given.out or RESULTS / f"cross-{given.trained}-{given.tested}.json", result)


def _spread(values: list[float]) -> dict[str, float | None]:
    mean, deviation = mean_and_deviation(values)
    return {"mean": mean, "sd": or_none(deviation)}


if __name__ == "__main__":
    main()
