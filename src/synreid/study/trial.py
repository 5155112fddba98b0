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

SECONDS = 10.0  # for a re-ID model's trial, and each step of a generator's, once its process has begun to work
START_SECONDS = 180.0  # until it has, and on top for a generator's first step
STEPS = 6  # tried of each re-ID model
GAN_STEPS = (1, 4)  # of two trainings, whose times are subtracted
PICTURES = 12  # of each drawn person
FIRST = "first"
BEGUN, REFUSED = "begun", "refused"  # files by which a trial's process tells


@dataclass(frozen=True)
class StepSeconds:
    """Seconds a step; None for what was not tried, or did not end in time."""

    reid: tuple[float | None, ...]
    generator: float | None
    at_most: bool = False
    """Whether the generator's is one step with all that a training begins and ends with."""


def try_steps(reid: Sequence[ReidOptions], gan: GanOptions | None, seconds: float = SECONDS) -> StepSeconds:
    """Return how long a training step takes of each model of `reid`, and of a generator of `gan`.

    A step of a re-ID model includes its augmentation; one of a generator leaves out the penalties that come every few
    steps, and snapshots, where several end in time. Models start from random weights, since nothing is downloaded. Each
    re-ID model is tried for `seconds` at most, a generator for that a step; each in a process of its own, whose start
    comes on top, as does the generator's first step. What takes longer stays unknown.
    """
    limit = seconds * (1 + sum(GAN_STEPS))
    say(f"trying a few steps, for {seconds:.0f} s at most of a re-ID model and {limit:.0f} s of a generator ...")
    with TemporaryDirectory() as name:
        folder = Path(name)
        table = _drawn(folder / "street", reid, gan)
        for number, options in enumerate(reid):
            _alone(_try_reid, table, folder / f"reid-{number}", options, seconds)
        if gan is not None:
            _alone(_try_gan, table, folder / "gan", gan, limit, least=folder / "gan" / FIRST)
        found = [_reid_seconds(folder / f"reid-{number}", options) for number, options in enumerate(reid)]
        return StepSeconds(tuple(found), *_gan_seconds(folder / "gan"))


def _drawn(folder: Path, reid: Sequence[ReidOptions], gan: GanOptions | None) -> pa.Table:
    """Return drawn training pictures, as many as the largest batch needs."""
    persons = [options.batch // (options.pictures_each or PICTURES) for options in reid]
    persons += [gan.batch // PICTURES] if gan is not None else []
    street = StreetOptions(persons=max(persons) + 2, test_persons=2, pictures=PICTURES)
    return pick(open_data(draw_street(folder, street, workers=1)), split="train")


def _alone(
    trial: Callable[[pa.Table, Path, Any], None],
    table: pa.Table,
    folder: Path,
    options: Any,
    seconds: float,
    least: Path | None = None,
) -> None:
    """Run `trial` in a process of its own, which is ended when its time is up and the training `least` has ended."""
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
        while waited < START_SECONDS and process.is_alive() and least is not None and _seconds(least) is None:
            process.join(0.1)
            waited += 0.1
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
    for name, steps in ((FIRST, 1), *((str(steps), steps) for steps in GAN_STEPS)):  # the first warms up
        kimg = steps * options.batch / 1000
        short = dataclasses.replace(options, kimg=kimg, tick=1.0, snap=1000, metrics="none", grow=())
        train_gan(table, folder / name, short)


def _reid_seconds(folder: Path, options: ReidOptions) -> float | None:
    """Return the median over the steps but the first, in which memory is set up; that one where there is no other."""
    rates = [line["pictures_per_second"] for line in read_metrics(folder / "model")]
    return options.batch / median(rates[1:] or rates) if rates else None


def _seconds(folder: Path) -> float | None:
    """Return how long a training took; None for one that did not end."""
    run = read_json(folder / RUN) if (folder / RUN).exists() else {}
    return float(run["seconds"]) if run.get("finished") else None


def _gan_seconds(folder: Path) -> tuple[float | None, bool]:
    """Return the seconds of a step, and whether they are at most that: of a training of one step as a whole."""
    first, one, several = (_seconds(folder / name) for name in (FIRST, *map(str, GAN_STEPS)))
    if one is not None and several is not None and several > one:
        return (several - one) / (GAN_STEPS[1] - GAN_STEPS[0]), False
    whole = first if one is None else one
    return whole, whole is not None
