"""Trains a generator on Market-1501's training split, as long as there is time, and goes on the next time.

    python benchmarks/gpu/train_on_market.py --data MARKET --cfg stylegan2 --minutes 9
    python benchmarks/gpu/train_on_market.py --data MARKET --cfg stylegan3-r --minutes 9

128x64, the paper's configuration but for at most 256 channels (R: 512), so that a packed training fits 60 MiB. Only the
training split is learned from, and MARKET need hold no more than its folder bounding_box_train. Every 100 kimg, but not
before the first step, the generator is measured with 50,000 samples against all training pictures: FID where
Inception's weights are at hand, else the distance on the features that are, under its own name.
After `--minutes` the training stops, and before a snapshot whose measure would end later than that, going by how long
the last one took. The same command goes on with it: from the checkpoint in its folder, which loses nothing, or, where
only the packed folder was brought along, from that (see `pack.py` for what it loses). Both are kept up to date while it
trains, so a run that is killed loses a minute. They hold weights learned from real people: keep them out of the
repository. Once StyleGAN2 is as good as it gets, train StyleGAN3-R.

Without a GPU: `--device cpu --tiny`, on pictures of the embedded set.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent))
from common import RESULTS, SEED, embedded_set, table, versions
from pack import LOSES, Pack, curve
from parts import size_mib

from synreid.data.scan import open_data
from synreid.data.table import pick
from synreid.generate import train
from synreid.generate.options import GAN_PRESETS, GanOptions
from synreid.generate.place import GENERATOR
from synreid.generate.quality import Measurement
from synreid.generate.sample import StyleSampler
from synreid.generate.state import State
from synreid.quality.metrics import frechet_name
from synreid.stage.device import choose_device
from synreid.stage.files import write_json
from synreid.stage.log import say

CFGS = ("stylegan2", "stylegan3-r")
SETTINGS: dict[str, Any] = {
    **{"height": 128, "width": 64, "cmax": 256, "cbase": 32768, "batch": 32, "gamma": 2.0, "kimg": 5000},
    **{"tick": 4, "snap": 25, "metrics": "fid50k_full", "seed": SEED},
}
TINY: dict[str, Any] = {
    **{"height": 16, "width": 8, "cmax": 8, "cbase": 128, "w_dim": 16, "batch": 4, "kimg": 0.4},
    **{"tick": 0.1, "snap": 1, "metrics": "fd16"},
}
CHECKPOINT_SECONDS = 60.0
RUNS = Path("runs") / "gpu"


class OutOfTimeError(Exception):
    """The minutes are over; everything has been written."""


class Stretch:
    """One run of this script: writes pack and result whenever the training writes a checkpoint, stops it in time."""

    def __init__(self, given: argparse.Namespace, options: GanOptions, run: Path, pack: Pack, origin: str) -> None:
        self.given, self.options, self.run, self.pack, self.origin = given, options, run, pack, origin
        self.began = time.monotonic()
        self.first: int | None = None  # step
        self.earlier = pack.stretches
        self.measure_seconds = self.earlier[-1]["measure_seconds"] if self.earlier else given.measure_seconds

    def keep(self, state: State) -> None:
        """Write pack and result."""
        self.pack.stretches = [*self.earlier, self.facts(state.step)]
        self.pack.write(state, self.run)
        self.write(finished=False)

    def facts(self, step: int) -> dict[str, Any]:
        """Return what this stretch has done so far."""
        first = step if self.first is None else self.first
        kimg = [round(number * self.options.batch / 1000, 2) for number in (first, step)]
        seconds = round(time.monotonic() - self.began, 1)
        measure = {"measure_seconds": round(self.measure_seconds, 1)}
        return {"went_on_from": self.origin, "kimg": kimg, "seconds": seconds, **measure, "machine": versions()}

    def over(self, training: train._Training) -> bool:
        """Whether to stop before the next step: the time is over, or there is none for the measure behind it.

        A stretch's own first step is always taken, so that a measure longer than a stretch does not stop them all.
        """
        left = self.began + 60 * self.given.minutes - time.monotonic()
        step = training.state.step + 1
        measured = step % training.snap_steps == 0 or step == training.total
        return left < 0 or (measured and step - 1 != self.first and left < self.measure_seconds)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within this, a training is kept and stopped by this stretch."""
        step, save, measure = train._Training._step, State.save, Measurement._measured

        def in_time(training: train._Training) -> dict[str, float]:
            if self.first is None:
                self.first = training.state.step
            if self.over(training):
                training.state.save(training.folder.path / train.CHECKPOINT)
                raise OutOfTimeError
            return step(training)

        def kept(state: State, path: Path) -> None:
            save(state, path)
            self.keep(state)

        def measured(measurement: Measurement, sampler: StyleSampler, kimg: float) -> dict[str, Any]:
            if not kimg:  # of random weights
                return {}
            start = time.monotonic()
            values = measure(measurement, sampler, kimg)
            self.measure_seconds = time.monotonic() - start
            return values

        train._Training._step = in_time  # type: ignore[method-assign, assignment]
        State.save = kept  # type: ignore[method-assign, assignment]
        Measurement._measured = measured  # type: ignore[method-assign]
        train.CHECKPOINT_SECONDS = CHECKPOINT_SECONDS
        try:
            yield
        finally:
            train._Training._step, State.save = step, save  # type: ignore[method-assign]
            Measurement._measured = measure  # type: ignore[method-assign]

    def write(self, finished: bool) -> None:
        """Write the result so far."""
        values = [{"distance": frechet_name(one["features"]), **one} for one in curve(self.run)]
        write_json(
            self.given.out,
            {
                "what": f"{self.options.cfg} trained on {'the embedded set' if self.given.tiny else 'Market-1501'}'s "
                "training split alone: each snapshot's distance to all training pictures",
                "command": f"python benchmarks/gpu/train_on_market.py --data MARKET --cfg {self.options.cfg} "
                f"--minutes {self.given.minutes:g}",
                "options": dataclasses.asdict(self.options),
                "finished": finished,
                "values": values,
                "stretches": self.pack.stretches,
                "a_resume_from_the_pack_loses": LOSES,
                "pack_mib": round(size_mib(self.pack.folder), 1) if self.pack.exists else None,
                "thesis": "FID 9.29, StyleGAN3-R after 3,440 kimg, with test pictures in its training data",
                "seed": SEED,
                "machine": self.pack.stretches[-1]["machine"] if self.pack.stretches else versions(),
            },
        )


def shown(values: list[dict[str, Any]]) -> str:
    """Return the curve as a table."""
    rows = [["kimg", "distance", "value", "KID", "precision", "recall", "density", "coverage", "made", "real"]]
    for one in values:
        numbers = [f"{one['frechet']:.4g}", f"{one['kid']:.5f}"]
        numbers += [f"{one[name]:.3f}" for name in ("precision", "recall", "density", "coverage")]
        rows.append(
            [f"{one['kimg']:g}", frechet_name(one["features"]), *numbers, f"{one['made']:,}", f"{one['real']:,}"]
        )
    return table(rows)


def asked(cfg: str, device: str, tiny: bool) -> GanOptions:
    """Return the options of the training."""
    more = {**SETTINGS, **(TINY if tiny else {"precision": "bf16"})}
    return GanOptions(**{**GAN_PRESETS[cfg], **more}, device=device)


def pictures(given: argparse.Namespace) -> pa.Table:
    """Return the training pictures."""
    found = embedded_set(RUNS / "street") if given.tiny else open_data(given.data, needs=("train",))
    return pick(found, split="train")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of Market-1501, of which bounding_box_train is enough")
    parser.add_argument("--cfg", choices=CFGS, default=CFGS[0])
    parser.add_argument("--minutes", type=float, default=9.0, help="when to stop, measured from the start")
    parser.add_argument("--measure-seconds", type=float, default=120.0, help="a measure's, until one has been taken")
    parser.add_argument("--run", type=Path, help=f"folder of the training (default {RUNS}/market-CFG)")
    parser.add_argument("--pack", type=Path, help=f"the packed folder (default {RUNS}/market-CFG-pack)")
    parser.add_argument("--pack-mib", type=float, default=60.0, help="the packed weights may have, in all")
    parser.add_argument("--part-mib", type=float, default=15.0, help="one of their files may have")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try it without a GPU")
    parser.add_argument("--tiny", action="store_true", help="a generator that a laptop trains in seconds")
    parser.add_argument("--out", type=Path, help="where the result is written (default results/gpu/market-CFG.json)")
    given = parser.parse_args(arguments)
    if given.data is None and not given.tiny:
        parser.error("--data is the folder of Market-1501")
    name = f"market-{given.cfg}"
    given.run = given.run or RUNS / name
    given.pack = given.pack or RUNS / f"{name}-pack"
    given.out = given.out or RESULTS / f"{name}.json"
    return given


def main(arguments: list[str] | None = None) -> None:
    """Train until the time is over or the training is, and write pack and result."""
    given = parse(arguments)
    choose_device(given.device)
    options = asked(given.cfg, given.device, given.tiny)
    pack = Pack(given.pack, given.pack_mib, given.part_mib)
    pack.check(options)
    begun = (given.run / train.CHECKPOINT).exists() or (given.run / GENERATOR).exists()
    origin = "its checkpoint" if begun else "the pack" if pack.exists else "random weights"
    if origin == "the pack":
        pack.read(given.run, options)
    elif pack.exists:
        pack.remember()
    stretch = Stretch(given, options, given.run, pack, origin)
    try:
        with stretch.watching():
            train.train_gan(pictures(given), given.run, options)
    except OutOfTimeError:
        say(f"stopped after {given.minutes:g} minutes; the same command goes on")
    stretch.write(finished=(given.run / GENERATOR).exists())
    print(shown(curve(given.run)))
    if pack.stretches:
        last = pack.stretches[-1]
        print(f"from {last['kimg'][0]:g} to {last['kimg'][1]:g} kimg in {last['seconds']:.0f} s, measures included")


if __name__ == "__main__":
    main()
