"""How long a step takes on this machine: a few are tried on drawn persons, by a process that is ended in time."""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from synreid.data.scan import open_data
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.data.table import pick
from synreid.generate.options import GanOptions
from synreid.generate.train import train_gan
from synreid.reid.options import ReidOptions
from synreid.reid.train import train
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.stage.folder import RUN
from synreid.stage.log import console, say
from synreid.stage.metrics import read_metrics

SECONDS = 10.0  # for each trial, once its process has begun to work
START_SECONDS = 180.0  # until it has
STEPS = 6  # tried of each re-ID model
GAN_STEPS = (1, 4)  # of two trainings, whose times are subtracted
PICTURES = 12  # of each drawn person
BEGUN, REFUSED = "begun", "refused"  # files by which a trial's process tells


@dataclass(frozen=True)
class StepSeconds:
    """Seconds a step; None for what was not tried, or did not end in time."""

    reid: tuple[float | None, ...]
    generator: float | None


def try_steps(reid: Sequence[ReidOptions], gan: GanOptions | None, seconds: float = SECONDS) -> StepSeconds:
    """Return how long a training step takes of each model of `reid`, and of a generator of `gan`.

    A step of a re-ID model includes its augmentation; one of a generator leaves out the penalties that come every few
    steps, and snapshots. Models start from random weights, since nothing is downloaded. Each is tried for `seconds` at
    most, in a process of its own, whose start comes on top; what takes longer stays unknown.
    """
    say(f"trying a few steps of training, for {seconds:.0f} s at most each ...")
    with TemporaryDirectory() as name:
        folder = Path(name)
        table = _drawn(folder / "street", reid, gan)
        for number, options in enumerate(reid):
            _alone(_try_reid, table, folder / f"reid-{number}", options, seconds)
        if gan is not None:
            _alone(_try_gan, table, folder / "gan", gan, seconds)
        found = [_reid_seconds(folder / f"reid-{number}", options) for number, options in enumerate(reid)]
        return StepSeconds(tuple(found), _gan_seconds(folder / "gan"))


def _drawn(folder: Path, reid: Sequence[ReidOptions], gan: GanOptions | None) -> pa.Table:
    """Return drawn training pictures, as many as the largest batch needs."""
    persons = [options.batch // (options.pictures_each or PICTURES) for options in reid]
    persons += [gan.batch // PICTURES] if gan is not None else []
    street = StreetOptions(persons=max(persons) + 2, test_persons=2, pictures=PICTURES)
    return pick(open_data(draw_street(folder, street, workers=1)), split="train")


def _alone(
    trial: Callable[[pa.Table, Path, Any], None], table: pa.Table, folder: Path, options: Any, seconds: float
) -> None:
    """Run `trial` in a process of its own, which is ended when its time is up."""
    folder.mkdir()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_quietly, args=(trial, table, folder, options), daemon=True)
    process.start()
    try:
        waited = 0.0
        while waited < START_SECONDS and process.is_alive() and not (folder / BEGUN).exists():
            process.join(0.1)
            waited += 0.1
        process.join(seconds)
    finally:
        process.kill()
        process.join()
    if (folder / REFUSED).exists():
        say(f"no step could be tried: {(folder / REFUSED).read_text(encoding='utf-8')}")


def _quietly(trial: Callable[[pa.Table, Path, Any], None], table: pa.Table, folder: Path, options: Any) -> None:
    console().file = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, open as long as the process lives
    (folder / BEGUN).touch()
    try:
        trial(table, folder, options)
    except UserError as error:  # for want of weights, say
        (folder / REFUSED).write_text(str(error), encoding="utf-8")


def _try_reid(table: pa.Table, folder: Path, options: ReidOptions) -> None:
    tried = dataclasses.replace(options, steps=STEPS, pretrained=None)
    train(table, None, folder / "model", tried, checkpoint_seconds=math.inf)


def _try_gan(table: pa.Table, folder: Path, options: GanOptions) -> None:
    for name, steps in (("first", 1), *((str(steps), steps) for steps in GAN_STEPS)):  # the first warms up
        kimg = steps * options.batch / 1000
        short = dataclasses.replace(options, kimg=kimg, tick=1.0, snap=1000, metrics="none", grow=())
        train_gan(table, folder / name, short)


def _reid_seconds(folder: Path, options: ReidOptions) -> float | None:
    """Return the median over the steps but the first, in which memory is set up; that one where there is no other."""
    rates = [line["pictures_per_second"] for line in read_metrics(folder / "model")]
    return options.batch / median(rates[1:] or rates) if rates else None


def _gan_seconds(folder: Path) -> float | None:
    runs = [folder / str(steps) / RUN for steps in GAN_STEPS]
    if not all(run.exists() and read_json(run)["finished"] for run in runs):
        return None
    one, several = (read_json(run)["seconds"] for run in runs)
    return (several - one) / (GAN_STEPS[1] - GAN_STEPS[0]) if several > one else None
