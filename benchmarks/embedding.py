"""How fast a gallery is embedded, against the network alone fed one fixed batch.

Usage: python benchmarks/embedding.py --data PATH --model FOLDER [--out FILE]

All query and gallery pictures of the data are embedded by a finished `synreid reid train`, in parts; after each part
the network embeds as many pictures of one batch, prepared once. What is between the two is reading, decoding, sizing
and normalising.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from synreid.data.scan import open_data
from synreid.data.table import pick
from synreid.reid.batches import normalise
from synreid.reid.embed import BATCH_PIXELS, ReidModel, embed_table, load_model
from synreid.stage.device import autocast
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

TO_REACH = 0.92
PARTS = 6


@torch.inference_mode()
def network_alone(model: ReidModel, pictures: int) -> None:
    """Embed about as many pictures of one fixed batch."""
    height, width = model.options.size
    size = max(8, BATCH_PIXELS // (height * width))
    draw = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (size, height, width, 3), dtype=np.uint8))
    batch = normalise(draw).contiguous(memory_format=torch.channels_last)
    with autocast(model.device, model.precision):
        for _ in range(-(-pictures // size)):
            model.network.embed(batch)
            if model.options.flip_test:
                model.network.embed(batch)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("results/speed/embedding.json"))
    given = parser.parse_args()
    model = load_model(given.model)
    table = pick(open_data(given.data), split=("query", "gallery"))
    network_alone(model, 500)
    whole, alone = [], []
    for part in range(PARTS):
        rows = table.take(np.arange(part, len(table), PARTS))
        start = time.perf_counter()
        embed_table(model, rows)
        middle = time.perf_counter()
        network_alone(model, len(rows))
        whole.append(middle - start)
        alone.append(time.perf_counter() - middle)
    ratio = float(np.median(np.array(alone) / np.array(whole)))
    say(f"{len(table) / sum(whole):.0f} pictures/s, {ratio:.3f} of the network's rate")
    result = {
        "asked": f"embed query and gallery at {TO_REACH} of the rate of the network alone",
        "reached": ratio >= TO_REACH,
        "ratio": round(ratio, 3),
        "ratios": [round(of / over, 3) for of, over in zip(alone, whole, strict=True)],
        "pictures": len(table),
        "pictures_per_second": round(len(table) / sum(whole), 1),
        "backbone": model.options.backbone,
        "size": list(model.options.size),
        "flip_test": model.options.flip_test,
        "precision": model.precision,
        "command": "python benchmarks/embedding.py --data PATH --model FOLDER",
        "machine": machine(),
    }
    write_json(given.out, result)


if __name__ == "__main__":
    main()
