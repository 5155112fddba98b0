"""What a study would do: its arms and trainings, what is done once or done already, and how long the rest takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from synreid.data.splits import subset
from synreid.data.table import column, pick
from synreid.generate.network import load_generator
from synreid.generate.place import generator_place
from synreid.reid.options import ReidOptions
from synreid.reid.train import planned_steps
from synreid.stage.errors import UserError
from synreid.stage.folder import RUN, StageFolder, read_record
from synreid.stage.metrics import read_metrics
from synreid.study.arms import Arm
from synreid.study.counts import Counts, counts_of
from synreid.study.recipe import Recipe
from synreid.study.request import STUDY, Request, chosen_persons, read_request
from synreid.study.sizes import decoded_bytes, disk_bytes, embedded_share, largest_bytes
from synreid.study.trial import StepSeconds, try_steps
from synreid.study.work import CALIBRATED, JUDGE_SHARE

TRIAL = "a trial"


@dataclass(frozen=True)
class Shared:
    """Something that all arms share, done once: what it is, its folder in the study, and how far it is there."""

    title: str
    what: str
    folder: str
    state: str = "to do"
    seconds: float | None = None
    """Time that it took, where it is finished."""


@dataclass(frozen=True)
class PlannedArm:
    """An arm, how many pictures and steps it takes, and how many of its trainings are finished."""

    arm: Arm
    real: int
    made: int
    steps: int
    finished: int = 0


@dataclass(frozen=True)
class Left:
    """Work that is left, in steps or other units, and how long one takes, with where that is known from."""

    title: str
    what: str
    steps: float
    step_seconds: float | None
    """None where it is not known."""
    known_from: str
    unit: str = "step"

    @property
    def seconds(self) -> float | None:
        """Time that it takes; None where that is not known."""
        return None if self.step_seconds is None else self.steps * self.step_seconds


@dataclass(frozen=True)
class Plan:
    """All that would be run, and what it costs."""

    recipe: Recipe
    counts: Counts
    query: int
    gallery: int
    shared: tuple[Shared, ...]
    arms: tuple[PlannedArm, ...]
    left: tuple[Left, ...]
    disk: dict[str, int]
    """Bytes in the study's folder, by what they are."""
    decoded: int
    """Bytes of decoded pictures in the cache."""
    memory: int
    """Bytes of memory that the largest training's pictures take."""
    finished: bool = False
    """Whether there is nothing left to run."""

    @property
    def trainings(self) -> int:
        """Trainings of re-ID models for the arms, in all."""
        return len(self.arms) * len(self.recipe.seeds)


def plan_study(
    recipe: str, data: Path | None, out: Path | None = None, gan: Path | None = None, camera_pattern: str | None = None
) -> Plan:
    """Return what `run_study` would do for the same arguments; nothing is kept of what is tried for it.

    What `out` holds already is found by the study's fingerprint, and times go by it; else a few steps are trained, for
    some ten seconds of a re-ID model and a minute of the generator. Raises UserError for a recipe or pictures that
    cannot give an answer, and for a folder that holds something else.
    """
    request = read_request(recipe, data, gan, camera_pattern)
    wanted = request.recipe
    done = _Done(request, out)
    chosen = chosen_persons(request.pictures, wanted.subset)
    real, splits = pick(chosen, split="train"), column(chosen, "split")
    query, gallery = (int((splits == name).sum()) for name in ("query", "gallery"))
    counts = counts_of(wanted, real)
    shared = tuple(done.look(one) for one in _shared(wanted, counts, real, gan))
    arms = tuple(_planned(arm, counts, done) for arm in counts.arms)
    left = _Work(counts, arms, shared, query + gallery, done)
    maker = load_generator(generator_place(gan)) if gan is not None else wanted.gan
    return Plan(
        wanted,
        counts,
        query,
        gallery,
        shared,
        arms,
        tuple(left.all()) if not done.whole else (),
        disk_bytes(wanted, counts, gan),
        decoded_bytes(counts, query + gallery, (maker.height, maker.width)),
        largest_bytes(counts),
        done.whole,
    )


class _Done:
    """What a study's folder holds of it; nothing where there is no folder yet."""

    def __init__(self, request: Request, out: Path | None) -> None:
        self.out = out
        self.whole = False
        if out is None or not out.exists():
            return
        self._check(request.folder(out), out)
        self.whole = (self.run("") or {}).get("finished") is not None and (out / STUDY).exists()

    @staticmethod
    def _check(folder: StageFolder, out: Path) -> None:
        """Raise UserError where the study would not be run in this folder."""
        found = read_record(out / RUN)["fingerprint"] if (out / RUN).exists() else None
        if found is None and any(not path.name.startswith(".") for path in out.iterdir()):
            raise UserError(f"{out} is not empty and not a study's folder; name a new folder.")
        if found is not None and found != folder.fingerprint:
            raise UserError(
                f"{out} holds something other than this study: another recipe, other pictures or another generator; "
                "name another folder."
            )

    def run(self, folder: str) -> dict[str, Any] | None:
        """Return the `run.json` of a folder in the study, if it is there."""
        path = self.out / folder / RUN if self.out is not None else None
        return read_record(path) if path is not None and path.exists() else None

    def training(self, arm: Arm, seed: int) -> dict[str, Any] | None:
        """Return the `run.json` of a finished training."""
        run = self.run(f"reid/{arm.name}/{seed}")
        return run if run is not None and run["finished"] is not None else None

    def look(self, one: Shared) -> Shared:
        """Return the shared work as it is found."""
        run = self.run(one.folder) if one.folder else None
        if run is None:
            return one
        if run["finished"] is None:
            return Shared(one.title, one.what, one.folder, "begun")
        return Shared(one.title, one.what, one.folder, "finished", run["seconds"])


def _shared(recipe: Recipe, counts: Counts, real: pa.Table, gan: Path | None) -> Iterator[Shared]:
    """Yield what is done once, in the order of the study."""
    if gan is not None:
        yield Shared("generator", f"{gan}", "", "given")
    else:
        options = recipe.gan
        yield Shared("generator", f"{options.cfg} {options.height}x{options.width}, {options.kimg:g} kimg", "gan")
    ways = [recipe.select, *recipe.selections.values()] if recipe.selects else []
    if any(way.identity for way in ways):
        steps = _judge_steps(recipe, real)
        yield Shared("judge of selection", f"re-ID model of two thirds of the persons, {steps:,} steps", "reid/judge")
    if ways:
        yield Shared("calibration of selection", "scores on real pictures", CALIBRATED)
    if recipe.amounts:
        pool = recipe.persons
        of = f"of {pool.persons * pool.images:,} pictures"
        yield Shared("persons", f"{pool.persons:,} persons, {pool.images} pictures each", "persons")
        yield Shared("selection", of, "select")
        for name in recipe.selections:
            yield Shared(f"selection {name}", of, f"select-by-{name}")
    if recipe.variations is not None:
        yield from _varied(recipe, counts)


def _varied(recipe: Recipe, counts: Counts) -> Iterator[Shared]:
    assert recipe.variations is not None
    asked = recipe.variations
    yield Shared("encoder", f"{asked.encoder.steps:,} steps", "encoder")
    yield Shared("latents", f"{counts.pictures:,} pictures, {asked.refine.steps} steps of refinement", "latents")
    pool = f"{counts.persons:,} persons, {asked.vary.images} pictures each"
    if {"all", "selected", "soft"} & set(asked.arms):
        yield Shared("variations", pool, "variations")
    if {"selected", "soft"} & set(asked.arms):
        made = counts.persons * asked.vary.images
        yield Shared("selection of variations", f"of {made:,} pictures", "select-variations")
    if "inversion" in asked.arms:
        yield Shared(
            "inversions", f"{counts.persons:,} persons, up to {max(asked.amounts)} pictures each", "inversions"
        )


def _judge_steps(recipe: Recipe, real: pa.Table) -> int:
    learned = subset(real, fraction=JUDGE_SHARE, seed=recipe.subset.seed)
    return planned_steps(int((~column(learned, "junk").astype(bool)).sum()), recipe.reid)


def _planned(arm: Arm, counts: Counts, done: _Done) -> PlannedArm:
    finished = sum(done.training(arm, seed) is not None for seed in counts.recipe.seeds)
    return PlannedArm(arm, counts.real(arm), counts.made(arm), counts.steps(arm), finished)


class _Work:
    """What is left to train and how long it takes, by what is finished already or by a trial."""

    def __init__(
        self, counts: Counts, arms: tuple[PlannedArm, ...], shared: tuple[Shared, ...], test: int, done: _Done
    ) -> None:
        self.counts, self.arms, self.shared, self.test, self.done = counts, arms, shared, test, done
        self.recipe = counts.recipe

    def all(self) -> Iterator[Left]:
        """Yield the generator, then training and evaluation with each re-ID model."""
        models = self._models() if self.recipe.command is None else {}
        rates = {name: self._finished_rate(name) for name in models}
        gan = self._gan_left()
        gan_rate = self._begun_gan() if gan else None
        untried = [name for name, rate in rates.items() if rate is None]
        tried = StepSeconds((), None)
        if untried or (gan and gan_rate is None):
            tried = try_steps([models[name] for name in untried], self.recipe.gan if gan and gan_rate is None else None)
        if gan:
            way = "a trial of one step, so at most" if tried.at_most else TRIAL
            yield _left("generator", f"{gan:,} steps", gan, gan_rate, tried.generator, way)
        for name, options in models.items():
            trial = tried.reid[untried.index(name)] if name in untried else None
            yield from self._of_model(name, options, rates[name], trial)

    def _of_model(
        self, name: str | None, options: ReidOptions, known: float | None, trial: float | None
    ) -> Iterator[Left]:
        """Yield the trainings that are left with one re-ID model, and the evaluations behind them."""
        own = [planned for planned in self.arms if planned.arm.baseline == name]
        missing = [len(self.recipe.seeds) - planned.finished for planned in own]
        steps = sum(count * planned.steps for count, planned in zip(missing, own, strict=True))
        title = f" {name}" if name is not None else ""
        yield _left(f"re-ID training{title}", f"{steps:,} steps", steps, known, trial)
        what = f"{sum(missing)} times {self.test:,} pictures"
        known, trial = (rate and rate * embedded_share(options) for rate in (known, trial))
        evaluation = _left(f"re-ID evaluation{title}", what, sum(missing) * self.test, known, trial)
        yield replace(evaluation, unit="picture", known_from=f"reckoned from training {evaluation.known_from}")

    def _models(self) -> dict[str | None, ReidOptions]:
        """Return the re-ID models that have trainings left, by baseline."""
        seeds = len(self.recipe.seeds)
        left = [planned.arm for planned in self.arms if planned.finished < seeds]
        return {arm.baseline: self.counts.reid(arm) for arm in left}

    def _finished_rate(self, baseline: str | None) -> float | None:
        sums: dict[str, float] = defaultdict(float)
        for planned in self.arms:
            for seed in self.recipe.seeds if planned.arm.baseline == baseline else ():
                run = self.done.training(planned.arm, seed) or {}
                for name in ("seconds", "steps"):
                    sums[name] += run.get(name, 0)
        return sums["seconds"] / sums["steps"] if sums["steps"] else None

    def _gan_left(self) -> int:
        generator = self.shared[0]
        if generator.state in ("given", "finished"):
            return 0
        return round((self.recipe.gan.kimg - self._begun_kimg()) * 1000 / self.recipe.gan.batch)

    def _begun_kimg(self) -> float:
        """Return how far the generator's training is: at its checkpoint, whose time is known, or else by its curves."""
        run = self.done.run("gan")
        if run is None or self.done.out is None:
            return 0.0
        if isinstance(kept := run.get("kimg"), int | float):
            return float(kept)
        return max((line.get("kimg", 0.0) for line in read_metrics(self.done.out / "gan")), default=0.0)

    def _begun_gan(self) -> float | None:
        """Return seconds a step of a generator's training that was cut off."""
        run, kimg = self.done.run("gan"), self._begun_kimg()
        if run is None or not run["seconds"] or not kimg:
            return None
        return float(run["seconds"]) / (kimg * 1000 / self.recipe.gan.batch)


def _left(title: str, what: str, steps: float, known: float | None, tried: float | None, way: str = TRIAL) -> Left:
    if known is not None:
        return Left(title, what, steps, known, "by what is finished")
    return Left(title, what, steps, tried, f"by {way}" if tried is not None else "no step ended in a trial")
