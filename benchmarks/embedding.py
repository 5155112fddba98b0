"""How fast a gallery is embedded, against the network alone fed one fixed batch.

Usage: python benchmarks/embedding.py --data PATH --models FOLDER ... [--out FILE]

All query and gallery pictures of the data are embedded by each finished `synreid reid train`, in parts: for the first
time, when they are decoded into the cache (a folder of its own here), and again, as every further model of a study
does. After each part the network embeds as many pictures of one batch, prepared once. What is between the two is
reading, decoding, sizing and normalising.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from clock import timed
from reid_loop import TO_REACH, noise
from synreid.data.scan import open_data
from synreid.data.table import pick
from synreid.reid.batches import normalise
from synreid.reid.embed import ReidModel, batch_size, embed_table, load_model
from synreid.stage.device import autocast
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

PARTS = 10


@torch.inference_mode()
def network_alone(model: ReidModel, pictures: int, batch: torch.Tensor) -> None:
    """Embed as many pictures by feeding one `fixed_batch` again and again, the last time what is left of it."""
    with autocast(model.device, model.precision):
        for start in range(0, pictures, len(batch)):
            part = batch[: pictures - start]
            model.network.embed(part)
            if model.options.flip_test:
                model.network.embed(part)


def fixed_batch(model: ReidModel, size: int) -> torch.Tensor:
    """Return `size` random pictures on the model's device, as its network takes them, float32 [B, 3, H, W]."""
    drawn = torch.from_numpy(noise(size, model.options.size, seed=0)).to(model.device)
    return normalise(drawn).contiguous(memory_format=torch.channels_last)


def measured(model: ReidModel, table: pa.Table) -> dict[str, Any]:
    """Embed the pictures of `table` by parts, each twice, and return what one model reached."""
    batch = fixed_batch(model, batch_size(model))
    network_alone(model, 500, batch)
    taken: dict[str, list[float]] = {"first": [], "again": [], "alone": []}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SYNREID_CACHE"] = cache
        for part in range(PARTS):
            rows = table.take(np.arange(part, len(table), PARTS))
            for name in ("first", "again"):
                taken[name].append(timed(lambda rows=rows: embed_table(model, rows), model.device))  # type: ignore[misc]
            alone = timed(lambda rows=rows: network_alone(model, len(rows), batch), model.device)  # type: ignore[misc]
            taken["alone"].append(alone)
    found: dict[str, Any] = {
        "backbone": model.options.backbone,
        "size": list(model.options.size),
        "through": model.options.through,
        "flip_test": model.options.flip_test,
        "precision": model.precision,
        "device": model.device.type,
    }
    for name in ("first", "again"):
        ratios = np.array(taken["alone"]) / np.array(taken[name])
        found[name] = {
            "reached": bool(np.median(ratios) >= TO_REACH),
            "ratio": round(float(np.median(ratios)), 3),
            "ratios": ratios.round(3).tolist(),
            "pictures_per_second": round(len(table) / sum(taken[name]), 1),
        }
        say(f"{model.options.backbone}, {name}: {found[name]['ratio']} of the network's rate")
    return found


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--out", type=Path, default=Path("results/speed/embedding.json"))
    given = parser.parse_args()
    table = pick(open_data(given.data), split=("query", "gallery"))
    result = {
        "asked": f"embed query and gallery at {TO_REACH} of the rate of the network alone",
        "pictures": len(table),
        "models": [measured(load_model(folder, given.device), table) for folder in given.models],
        "command": "python benchmarks/embedding.py --data PATH --models FOLDER ...",
        "machine": machine(),
    }
    write_json(given.out, result)


if __name__ == "__main__":
    main()
