"""How alike a person's pictures are: real ones within and across cameras, beside the made persons of a finished study.

Usage: python benchmarks/person_variation.py STUDY --data DIR --data-name NAME

The judge is the study's own (`reid/judge`); the real persons are those that it was not taught. Pictures are shown at
the generator's resolution. Cosines of pairs; medians.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa

from synreid.data.pixels import pixels
from synreid.data.scan import open_data
from synreid.data.splits import subset
from synreid.data.table import TABLE, column, pick, read_table
from synreid.reid.embed import ReidEmbedder
from synreid.select.scores import embed
from synreid.stage.files import read_json, write_json
from synreid.stage.log import say
from synreid.stage.machine import machine
from synreid.study.recipe import load_recipe
from synreid.study.work import JUDGE_SHARE

PICTURES = 2000  # of each kind, at most
RESULTS = Path(__file__).parent.parent / "results" / "studies"


def medians(table: pa.Table, size: tuple[int, int], judge: ReidEmbedder) -> dict[str, float | int]:
    """Return the median cosine of pairs of pictures: of a person in one camera, across cameras, of two persons."""
    table = table.slice(0, PICTURES)
    features = embed(pixels(table, *size), judge)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cosines = features @ features.T
    person, camera = (column(table, name).astype(str) for name in ("pid", "camera"))
    same = (person[:, None] == person[None]) & ~np.eye(len(person), dtype=bool)
    one = camera[:, None] == camera[None]
    kinds = {"same person, same camera": same & one, "same person, other camera": same & ~one}
    kinds["different persons"] = person[:, None] != person[None]
    found = {name: round(float(np.median(cosines[pairs])), 3) for name, pairs in kinds.items() if pairs.any()}
    return {"pictures": len(table), "persons": len(set(person)), **found}


def main() -> None:
    """Measure real and made persons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder of a finished study")
    parser.add_argument("--data", type=Path, required=True, help="its pictures")
    parser.add_argument("--data-name", required=True, help="what to call them in the result")
    given = parser.parse_args()
    study, recipe = read_json(given.study / "study.json"), load_recipe(str(given.study / "recipe.yaml"))
    wanted = recipe.subset
    real = pick(open_data(given.data), split="train")
    identities = wanted.identities and min(wanted.identities, len(set(column(real, "pid"))))
    real = subset(
        real, fraction=wanted.fraction if identities is None else None, identities=identities, seed=wanted.seed
    )
    taught = set(column(subset(real, fraction=JUDGE_SHARE, seed=wanted.seed), "pid"))
    unseen = pick(real, pid=[pid for pid in set(column(real, "pid")) if pid not in taught])
    height, width = (int(side) for side in study["selection"]["resolution"].split("x"))
    judge = ReidEmbedder(given.study / "reid" / "judge")
    values = {
        "real": medians(unseen, (height, width), judge),
        "made": medians(read_table(given.study / "persons" / TABLE), (height, width), judge),
    }
    say(str(values))
    write_json(
        RESULTS / f"{study['recipe']}-variation.json",
        {
            "what": f"how alike a person's pictures are, real and made, in {study['recipe']}: median cosines",
            "command": shlex.join(
                ["python", "benchmarks/person_variation.py", "STUDY", "--data", "DIR", "--data-name", given.data_name]
            ),
            "data": given.data_name,
            "judge": judge.name,
            "values": values,
            "machine": machine(),
        },
    )


if __name__ == "__main__":
    main()
