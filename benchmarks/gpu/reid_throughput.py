"""How fast re-ID networks train and embed on a GPU, against the same network fed one fixed batch.

    python benchmarks/gpu/reid_throughput.py

ResNet-50 at 256x128 in bfloat16 from random weights; pictures are noise, so that no data need to travel. Training:
presets thesis (batch 16, and 128) and strong (batch 64), pictures in the GPU's memory, everything that a training does
but writing checkpoints. Embedding: from uint8 pictures in the CPU's memory to features there, in the product's own
batches, with mirror images where the preset has them. A fixed batch lies on the GPU, as the network takes it; embedding
is compared with one of the product's size, and larger and smaller ones say what that size costs.

Takes some 3 minutes; cut off, it goes on after the last finished row. Without a GPU: `--device cpu --tiny`.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parent.parent))
from common import SEED, Result, parser, table

from clock import timed
from embedding import fixed_batch, network_alone
from reid_loop import TO_REACH, Pair, noise, summary
from synreid.reid.backbone import build
from synreid.reid.embed import ReidModel, batch_size, embed
from synreid.reid.options import PRESETS, ReidOptions
from synreid.stage.device import choose_device
from synreid.stage.log import say

TRAINED: tuple[tuple[str, int], ...] = (("thesis", 16), ("thesis", 128), ("strong", 64))  # preset, batch
EMBEDDED = ("thesis", "strong")
FULL: dict[str, Any] = {"pictures": 4096, "persons": 256, "steps": 100, "rounds": 5, "batches": (16, 64, 256, 1024)}
TINY: dict[str, Any] = {"pictures": 48, "persons": 6, "steps": 2, "rounds": 1, "batches": (4, 8)}
TINY_OPTIONS: dict[str, Any] = {"backbone": "test_resnet", "last_stride": None, "height": 32, "width": 16, "batch": 8}


def asked(preset: str, batch: int, steps: int, tiny: bool) -> ReidOptions:
    """Return a preset's options, from random weights."""
    more = {"pretrained": None, "batch": batch, **(TINY_OPTIONS if tiny else {})}
    return ReidOptions(**{**PRESETS[preset], **more}, precision="bf16", steps=steps, seed=SEED)


def peak_gib(device: torch.device) -> float | None:
    """Return the peak of the GPU's memory since the last call in GiB, and forget it."""
    if device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(device) / 2**30
    torch.cuda.reset_peak_memory_stats(device)
    return round(peak, 2)


def training(options: ReidOptions, sizes: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the training loop's pictures/s and the fixed batch's, in turns, and the peak of memory."""
    peak_gib(device)
    pair = Pair(options, sizes["pictures"], sizes["persons"], device)
    return {**summary(pair.rates(sizes["rounds"])), "peak_gib": peak_gib(device)}


def embedding(options: ReidOptions, sizes: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the embedding's pictures/s and the fixed batch's, in turns, and those of batches of other sizes."""
    peak_gib(device)
    network = build(options, sizes["persons"]).to(device).to(memory_format=torch.channels_last).eval()
    model = ReidModel(network, options, "bf16", device, "")
    fixed = fixed_batch(model, batch_size(model))
    pictures = noise(sizes["pictures"], options.size, SEED)
    rates: dict[str, list[float]] = {"loop": [], "fixed": []}
    for turn in range(sizes["rounds"] + 1):
        taken = {
            "loop": len(pictures) / timed(lambda: embed(model, pictures), device),
            "fixed": len(pictures) / timed(lambda: network_alone(model, len(pictures), fixed), device),
        }
        if turn:  # the first warms up
            for name, rate in taken.items():
                rates[name].append(rate)
    row = {**summary(rates), "batch": len(fixed), "peak_gib": peak_gib(device)}
    return {**row, "fixed_by_batch": {size: alone(model, size, sizes, device) for size in sizes["batches"]}}


def alone(model: ReidModel, size: int, sizes: dict[str, Any], device: torch.device) -> float:
    """Return the pictures/s of the network alone with batches of `size`."""
    batch, count = fixed_batch(model, size), sizes["pictures"]
    seconds = [timed(lambda: network_alone(model, count, batch), device) for _ in range(sizes["rounds"] + 1)]
    return round(count / statistics.median(seconds[1:]), 1)


def shown(values: list[dict[str, Any]]) -> str:
    """Return the rows as a table."""
    rows = [["work", "preset", "batch", "pictures/s", "fixed batch", "ratio", "GiB"]]
    for row in values:
        rates = row["pictures_per_second"]
        cells = [row["work"], row["preset"], row["batch"], rates["loop"], rates["fixed"], row["ratio_median_of_turns"]]
        rows.append([str(cell) for cell in (*cells, "-" if row["peak_gib"] is None else row["peak_gib"])])
    return table(rows)


def main(arguments: list[str] | None = None) -> None:
    """Measure all cases that are not done yet and write the result."""
    given = parser(__doc__, "reid-throughput").parse_args(arguments)
    device = choose_device(given.device)
    sizes = TINY if given.tiny else FULL
    result = Result(
        given.out,
        "training and embedding of ResNet-50 at 256x128 in bfloat16 (pictures/s), against the same network fed one "
        "fixed batch",
        "python benchmarks/gpu/reid_throughput.py",
        {"device": device.type, **sizes},
    )
    for preset, batch in TRAINED:
        one = {"work": "training", "preset": preset, "asked_batch": batch}
        if not result.has(**one):
            options = asked(preset, batch, sizes["steps"], given.tiny)
            result.add({**one, "batch": options.batch, **training(options, sizes, device)})
            say(f"training, {preset}, batch {batch}: {result.values[-1]['pictures_per_second']} pictures/s")
    for preset in EMBEDDED:
        one = {"work": "embedding", "preset": preset}
        if not result.has(**one):
            options = asked(preset, PRESETS[preset]["batch"], sizes["steps"], given.tiny)
            result.add({**one, "flip_test": options.flip_test, **embedding(options, sizes, device)})
            say(f"embedding, {preset}: {result.values[-1]['pictures_per_second']} pictures/s")
    result.finish(to_reach=TO_REACH, reached=all(row["reached"] for row in result.values))
    print(shown(result.values))
    for row in result.values:
        if "fixed_by_batch" in row:
            print(f"{row['preset']}, the network alone by batch:", row["fixed_by_batch"])


if __name__ == "__main__":
    main()
