"""Trains the thesis's re-ID model on the whole of Market-1501 and scores it, and goes on the next time.

    python benchmarks/gpu/thesis_baseline.py --data MARKET --minutes 9 [--weights FILE] [--rows ROW ...]

ResNet-50 at 256x128 in bfloat16, preset thesis. Rows: `batch-16`, the thesis's own 60 epochs (48,510 steps), one seed;
`batch-128`, as many epochs with the learning rate times 8 and 5 epochs of warm-up (Goyal et al. 2017, arXiv
1706.02677), three seeds; `strong`, the bag of tricks, one seed. It starts from ImageNet's weights where `--weights`
names their file or a cache of timm or PyTorch on this machine has them, else from random ones, and says which; the
backbone then learns at a tenth of the rate, or at all of it. Rank-1 and mAP are of the last step, mAP as it is usual
and as Market-1501's own code has it (trapezoids), which the thesis has.

After `--minutes`, less `--reserve` for a training that has just ended to be scored, it stops. The same command goes on:
finished trainings stand in the result, the one that was cut off goes on from the checkpoint in its folder, which loses
nothing, or, where only the packed folder was brought along, from that (see `reid_pack.py` for what it loses). Both are
kept up to date, so a run that is killed loses a minute. They hold weights learned from real people: keep them out of
the repository. The pack takes 49 MiB of ResNet-50.

Without a GPU: `--device cpu --tiny`, on pictures of the embedded set.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import timm
import torch

sys.path.insert(0, str(Path(__file__).parent))
from common import RESULTS, Result, embedded_set, table, versions
from parts import size_mib
from reid_pack import LOSES, ReidPack

from synreid.data.scan import open_data
from synreid.data.table import pick
from synreid.reid import train as training
from synreid.reid.evaluate import COUNTS, FRACTIONS, evaluate_model
from synreid.reid.options import PRESETS, ReidOptions
from synreid.reid.state import CHECKPOINT, Training
from synreid.stage.device import choose_device
from synreid.stage.fingerprint import file_digest
from synreid.stage.log import say

CHECKPOINT_SECONDS = 60.0
RUNS = Path("runs") / "gpu"
THESIS = {"rank1": 0.8931, "map_trapezoid": 0.7426}
TINY: dict[str, Any] = {
    **{"backbone": "test_resnet", "last_stride": None, "height": 32, "width": 16},
    **{"batch": 8, "epochs": 8},
}


@dataclass(frozen=True)
class Row:
    """A preset with some options changed, and its seeds."""

    preset: str
    changes: dict[str, Any]
    seeds: tuple[int, ...]

    def options(self, seed: int, weights: Path | None, tiny: bool) -> ReidOptions:
        """Return what is trained with `seed`, from `weights` or random ones."""
        # null: a tenth of the rate with weights, all of it without
        start = {"pretrained": None if weights is None else str(weights), "backbone_lr_factor": None}
        more = {"precision": "fp32", **TINY} if tiny else {"precision": "bf16"}
        return ReidOptions(**{**PRESETS[self.preset], **start, **self.changes, **more}, seed=seed)


ROWS = {
    "batch-16": Row("thesis", {}, (0,)),
    "batch-128": Row("thesis", {"batch": 128, "lr": 8 * PRESETS["thesis"]["lr"], "warm_up": 5 / 60}, (0, 1, 2)),
    "strong": Row("strong", {"backbone_lr_factor": PRESETS["strong"]["backbone_lr_factor"]}, (0,)),
}


class OutOfTimeError(Exception):
    """The minutes are over; everything has been written."""


class Stretch:
    """One run of this script: stops a training in time, and writes the pack whenever it writes a checkpoint."""

    def __init__(self, given: argparse.Namespace, pack: ReidPack) -> None:
        self.given, self.pack = given, pack
        self.deadline = time.monotonic() + 60 * given.minutes - given.reserve

    def over(self) -> bool:
        """Whether no more steps may be taken."""
        return time.monotonic() > self.deadline

    @contextmanager
    def watching(self, run: Path, origin: str, earlier: list[dict[str, Any]]) -> Iterator[None]:
        """Within this, the training into `run` is kept in the pack and stopped by this stretch."""
        learn, save, began = training.learn, training.save, time.monotonic()
        first: int | None = None

        def in_time(state: Training, *more: Any) -> float:
            nonlocal first
            first = state.step if first is None else first
            if self.over():
                *_, precision, _ = more
                training.save(state, run, precision)
                raise OutOfTimeError
            return learn(state, *more)

        def kept(state: Training, folder: Path, precision: str) -> None:
            save(state, folder, precision)
            seconds = round(time.monotonic() - began, 1)
            facts = {"went_on_from": origin, "steps": [first, state.step], "seconds": seconds, "machine": versions()}
            self.pack.stretches = [*earlier, facts]
            self.pack.write(state, folder, precision)

        training.learn, training.save = in_time, kept  # type: ignore[assignment]
        try:
            yield
        finally:
            training.learn, training.save = learn, save

    def train(self, name: str, options: ReidOptions, data: pa.Table) -> dict[str, Any]:
        """Train one seed of a row, or go on with it, score it and return its row of the result."""
        of = {"row": name, "seed": options.seed}
        run = self.given.run / f"{name}-{options.seed}"
        begun = (run / CHECKPOINT).exists() or (run / training.MODEL).exists()
        origin, earlier = "its checkpoint" if begun else "its start", []
        if self.pack.exists:
            self.pack.remember()
            if self.pack.of == of:
                earlier = self.pack.stretches
                if not begun:
                    self.pack.read(run, options)
                    origin = "the pack"
        self.pack.of, self.pack.stretches = of, earlier
        start = time.monotonic()
        with self.watching(run, origin, earlier):
            training.train(
                pick(data, split="train"), None, run, options,
                device=self.given.device, checkpoint_seconds=CHECKPOINT_SECONDS,
            )  # fmt: skip
        trained = time.monotonic()
        summary = evaluate_model(run, pick(data, split=("query", "gallery")), device=self.given.device).summary
        seconds = {"seconds_since_last_cut": trained - start, "evaluation_seconds": time.monotonic() - trained}
        row = {**of, **{key: summary[key] for key in (*FRACTIONS, *COUNTS, "gallery")}}
        row |= {key: round(value, 1) for key, value in seconds.items()}
        return {**row, "options": asdict(options), "cut_stretches": earlier, "machine": versions()}


def imagenet_weights(backbone: str) -> Path | None:
    """Return the file of a timm network's weights where timm or PyTorch has fetched it on this machine, or None."""
    from huggingface_hub import try_to_load_from_cache

    known = timm.get_pretrained_cfg(backbone)
    if known.hf_hub_id:
        for name in ("model.safetensors", "pytorch_model.bin"):
            if isinstance(found := try_to_load_from_cache(known.hf_hub_id, name), str):
                return Path(found)
    fetched = Path(torch.hub.get_dir()) / "checkpoints" / Path(known.url or "none").name
    return fetched if fetched.exists() else None


def shown(values: list[dict[str, Any]]) -> str:
    """Return the means over seeds as a table, in percent."""
    rows = [["row", "seeds", "Rank-1", "mAP", "mAP, trapezoid"]]
    for name in ROWS:
        found = [row for row in values if row["row"] == name]
        if found:
            numbers = [percent([row[key] for row in found]) for key in ("rank1", "map", "map_trapezoid")]
            rows.append([name, str(len(found)), *numbers])
    rows.append(["the thesis", "1", percent([THESIS["rank1"]]), "-", percent([THESIS["map_trapezoid"]])])
    return table(rows)


def percent(values: list[float]) -> str:
    """Return the mean in percent, with the standard deviation where there are several."""
    mean = f"{100 * statistics.mean(values):.2f}"
    return f"{mean} +- {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of Market-1501, with all three of its folders")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="what to train, in this order")
    parser.add_argument("--minutes", type=float, default=9.0, help="when to be ready, measured from the start")
    parser.add_argument("--reserve", type=float, default=120.0, help="seconds of these that no training may take")
    parser.add_argument("--weights", type=Path, help="file of ResNet-50's ImageNet weights")
    parser.add_argument("--run", type=Path, default=RUNS / "thesis-baseline", help="folder of the trainings")
    parser.add_argument("--pack", type=Path, default=RUNS / "thesis-baseline-pack", help="the packed folder")
    parser.add_argument("--part-mib", type=float, default=15.0, help="one of its files may have")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try it without a GPU")
    parser.add_argument("--tiny", action="store_true", help="a network that a laptop trains in seconds")
    parser.add_argument(
        "--out", type=Path, default=RESULTS / "thesis-baseline.json", help="where the result is written"
    )
    given = parser.parse_args(arguments)
    if given.data is None and not given.tiny:
        parser.error("--data is the folder of Market-1501")
    if given.weights is not None and not given.weights.is_file():
        parser.error(f"{given.weights} does not exist; name a file of ResNet-50's ImageNet weights")
    return given


def main(arguments: list[str] | None = None) -> None:
    """Train and score what is not done yet, until the time is over."""
    given = parse(arguments)
    choose_device(given.device)
    weights = given.weights if given.tiny else given.weights or imagenet_weights(PRESETS["thesis"]["backbone"])
    say(f"The backbone starts from {weights or 'random weights'}.")
    started = "random weights" if weights is None else f"ImageNet's weights, {file_digest(weights)[:16]}"
    result = Result(
        given.out,
        "the thesis's re-ID model on the whole of Market-1501: Rank-1 and mAP in both conventions of AP",
        "python benchmarks/gpu/thesis_baseline.py --data MARKET" + " --weights FILE" * (given.weights is not None),
        {"tiny": given.tiny, "started_from": started, "seeds": {name: row.seeds for name, row in ROWS.items()}},
        same=(),  # a score does not depend on the machine as a rate does, and each row names its own
    )
    stretch = Stretch(given, ReidPack(given.pack, given.part_mib))
    data = embedded_set(RUNS / "street") if given.tiny else open_data(given.data)
    todo = [(name, seed) for name in given.rows for seed in ROWS[name].seeds]
    try:
        for name, seed in todo:
            if result.has(row=name, seed=seed):
                continue
            if stretch.over():
                raise OutOfTimeError
            result.add(stretch.train(name, ROWS[name].options(seed, weights, given.tiny), data))
            stretch.pack.remove()
            say(f"{name}, seed {seed}: {shown(result.values[-1:]).splitlines()[1]}")
    except OutOfTimeError:
        say(f"stopped to be ready after {given.minutes:g} minutes; the same command goes on")
    if all(result.has(row=name, seed=seed) for name, row in ROWS.items() for seed in row.seeds):
        result.finish(thesis=THESIS, a_resume_from_the_pack_loses=LOSES)
    print(shown(result.values))
    if stretch.pack.exists:
        stretch.pack.remember()
        print(f"the pack holds {stretch.pack.of} and takes {size_mib(given.pack):.1f} MiB")


if __name__ == "__main__":
    main()
