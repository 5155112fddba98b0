"""Reads a study's folder into plain values, and refuses one that is not a study with a clear sentence."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synreid.stage.errors import UserError
from synreid.stage.files import read_json

STUDY = "study.json"
METRICS = ("rank1", "rank5", "rank10", "map", "map_trapezoid", "minp")
PART_NUMBERS: dict[str, tuple[str, ...]] = {
    "generator": ("kimg",),
    "origin": ("auc", "low", "high", "accuracy", "test_real", "test_made"),
    "data": ("train_identities", "train_pictures", "query", "gallery", "cameras"),
}
KEPT = ("kept", "made")  # of every selection
SELECTIONS = {"selection": "made pictures", "selection_variations": "variations"}
BY = "selection_by_"  # and the name of other rules that chose among the same made pictures
CALIBRATION = ("threshold", "good", "passes", "auc", "low", "high")
QUALITY = ("kimg", "frechet", "kid", "precision", "recall", "density", "coverage", "real", "made")


@dataclass(frozen=True)
class Selection:
    """What selection did with the made pictures of one pool: its stages and how many it kept."""

    name: str
    of: str
    made: float | None
    kept: float | None
    stages: list[dict[str, Any]]
    notes: list[str]


@dataclass(frozen=True)
class Arm:
    """One arm of a study: what its models were trained with."""

    name: str
    title: str
    persons: int
    control: bool
    matched: bool
    resolution: str
    pictures_real: int | None
    pictures_made: int | None
    steps: int | None
    headline: bool = False

    @property
    def made(self) -> bool:
        """Whether made pictures were added."""
        return self.persons > 0 or bool(self.pictures_made)


@dataclass(frozen=True)
class Result:
    """One training's measures; `metrics` are fractions in [0, 1]."""

    arm: str
    seed: int
    metrics: dict[str, float | None]
    seconds: float | None


@dataclass(frozen=True)
class Difference:
    """A paired difference, `arm` minus `against`, in fractions; no interval where one seed gives none."""

    arm: str
    against: str
    metric: str
    mean: float
    low: float | None
    high: float | None
    n: int
    per_seed: list[float]

    @property
    def verdict(self) -> str:
        """Where the interval lies: `above` zero, `below` it, `across` it, or `none`."""
        if self.low is None or self.high is None:
            return "none"
        return "above" if self.low > 0 else "below" if self.high < 0 else "across"


@dataclass
class Study:
    """What `study.json` says, checked; the parts that a study may lack are empty."""

    folder: Path
    recipe: str
    question: str
    answer: str
    arms: list[Arm]
    seeds: list[int]
    results: list[Result]
    differences: list[Difference]
    generator: dict[str, Any] = field(default_factory=dict)
    quality: list[dict[str, Any]] = field(default_factory=list)
    selections: list[Selection] = field(default_factory=list)
    calibration: list[dict[str, Any]] = field(default_factory=list)
    origin: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    times: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    started: str | None = None
    finished: str | None = None

    def title(self, arm: str) -> str:
        """Return the arm's title, or its name where the study does not list it."""
        return next((entry.title for entry in self.arms if entry.name == arm), arm)

    def values(self, arm: str, metric: str) -> list[float]:
        """Return one value a seed, fractions in [0, 1], in the order of the results."""
        found = [result.metrics[metric] for result in self.results if result.arm == arm]
        return [value for value in found if value is not None]

    @property
    def largest(self) -> Arm | None:
        """The arm that the study's answer is about; without one, that of real pictures with the most persons added.

        Of equal ones it is the first, as the study orders them.
        """
        augmented = [arm for arm in self.arms if arm.made and not arm.control and arm.pictures_real != 0]
        return max(augmented, key=lambda arm: (arm.headline, arm.persons), default=None)

    @property
    def headline(self) -> Difference | None:
        """The mAP difference of the largest augmented arm, against its matched control where there is one."""
        largest = self.largest
        found = [d for d in self.differences if largest and d.arm == largest.name and d.metric == "map"]
        matched = {arm.name for arm in self.arms if arm.matched}
        return next((d for d in found if d.against in matched), found[0] if found else None)

    @property
    def base(self) -> Arm | None:
        """The untouched real arm that the largest augmented arm is shown beside: same resolution if there is one."""
        controls = [arm for arm in self.arms if arm.control and not arm.matched and not arm.made]
        resolution = self.largest.resolution if self.largest else None
        alike = [arm for arm in controls if arm.resolution == resolution]
        return next(iter(alike or controls), None)


def read_study(folder: Path) -> Study:
    """Read `study.json`; raises UserError naming the entry that is missing or has the wrong kind of value."""
    folder = Path(folder)
    path = folder / STUDY
    if not path.exists():
        raise UserError(f"{folder} is not the folder of a study: it has no {STUDY}; name the folder given to --out.")
    raw = _mapping(read_json(path), "the whole file", path)
    reader = _Reader(path)
    return Study(
        folder=folder,
        recipe=reader.text(raw, "recipe"),
        question=reader.text(raw, "question"),
        answer=reader.text(raw, "answer"),
        arms=[reader.arm(entry, where) for entry, where in reader.entries(raw, "arms", needed=True)],
        seeds=[int(seed) for seed in reader.numbers(raw, "seeds")],
        results=[reader.result(entry, where) for entry, where in reader.entries(raw, "results", needed=True)],
        differences=[reader.difference(entry, where) for entry, where in reader.entries(raw, "differences")],
        generator=reader.part(raw, "generator"),
        quality=reader.parts(raw, "generator", "quality", QUALITY),
        selections=[reader.selection(raw, part, of) for part, of in _selections(raw).items() if raw.get(part)],
        calibration=reader.numbered(raw, "calibration", "", CALIBRATION),
        origin=reader.part(raw, "origin"),
        data=reader.part(raw, "data"),
        notes=[str(note) for note in reader.sequence(raw, "notes")],
        machine=reader.part(raw, "machine"),
        versions=reader.part(raw, "versions"),
        times=reader.part(raw, "times"),
        config=reader.part(raw, "config"),
        started=None if raw.get("started") is None else str(raw["started"]),
        finished=None if raw.get("finished") is None else str(raw["finished"]),
    )


def _selections(raw: dict[str, Any]) -> dict[str, str]:
    """Return the keys of the study's selections, and what each chose among."""
    return SELECTIONS | {key: f"made pictures, by {key.removeprefix(BY)}" for key in raw if key.startswith(BY)}


def _wrong(path: Path, where: str, value: Any, rule: str) -> UserError:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return UserError(f"{path}: {where} is {shown}, but must be {rule}; run the study again to write the file anew.")


def _mapping(value: Any, where: str, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(path, where, value, "an object")
    return value


class _Reader:
    """Takes typed values out of `study.json`, naming the entry that breaks a rule."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self, raw: dict[str, Any], key: str, where: str = "") -> str:
        if not isinstance(raw.get(key), str):
            raise _wrong(self.path, where + key, raw.get(key), "a text")
        return str(raw[key])

    def number(self, raw: dict[str, Any], key: str, where: str = "") -> float | None:
        """Return a finite number; None where it is missing, null or not a number (NaN)."""
        value = raw.get(key)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _wrong(self.path, where + key, value, "a number")
        return value if abs(value) < 1e300 and math.isfinite(value) else None

    def count(self, raw: dict[str, Any], key: str, where: str = "") -> int | None:
        value = self.number(raw, key, where)
        return None if value is None else int(value)

    def sequence(self, raw: dict[str, Any], key: str, where: str = "") -> list[Any]:
        value = raw.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise _wrong(self.path, where + key, value, "a list")
        return value

    def numbers(self, raw: dict[str, Any], key: str, where: str = "") -> list[float]:
        items = {str(index): item for index, item in enumerate(self.sequence(raw, key, where))}
        found = [self.number(items, index, f"{where}{key}, entry ") for index in items]
        return [value for value in found if value is not None]

    def entries(
        self, raw: dict[str, Any], key: str, where: str = "", needed: bool = False
    ) -> list[tuple[dict[str, Any], str]]:
        """Return each object of a list with the words that say where it stands."""
        items = self.sequence(raw, key, where)
        if needed and not items:
            raise _wrong(self.path, where + key, raw.get(key), "a list with at least one entry")
        named = [(item, f"{where}{key}[{index}]") for index, item in enumerate(items)]
        return [(_mapping(item, place, self.path), place + ".") for item, place in named]

    def part(self, raw: dict[str, Any], key: str) -> dict[str, Any]:
        """Return an optional object of the file, its numbers checked; empty where it is missing."""
        if not raw.get(key):
            return {}
        part = _mapping(raw[key], key, self.path)
        names = KEPT if key.startswith("selection") else PART_NUMBERS.get(key, ())
        return {**part, **{name: self.number(part, name, key + ".") for name in names}}

    def parts(self, raw: dict[str, Any], key: str, of: str, numbers: tuple[str, ...]) -> list[dict[str, Any]]:
        """Return the objects listed in `of` of an optional object, their `numbers` checked."""
        return self.numbered(self.part(raw, key), of, key + ".", numbers)

    def numbered(self, raw: dict[str, Any], key: str, where: str, numbers: tuple[str, ...]) -> list[dict[str, Any]]:
        """Return the objects of an optional list, their `numbers` checked."""
        found = self.entries(raw, key, where)
        return [{**entry, **{name: self.number(entry, name, place) for name in numbers}} for entry, place in found]

    def selection(self, raw: dict[str, Any], key: str, of: str) -> Selection:
        part = self.part(raw, key)
        return Selection(
            name=key.replace("_", "-"),
            of=of,
            made=part["made"],
            kept=part["kept"],
            stages=self.parts(raw, key, "stages", ("in", "discarded")),
            notes=[str(note) for note in part["notes"]] if isinstance(part.get("notes"), list) else [],
        )

    def arm(self, raw: dict[str, Any], where: str) -> Arm:
        name = self.text(raw, "name", where)
        return Arm(
            name=name,
            title=str(raw.get("title") or name),
            persons=self.count(raw, "persons", where) or 0,
            control=bool(raw.get("control")),
            matched=bool(raw.get("matched")),
            resolution=str(raw.get("resolution") or "full"),
            pictures_real=self.count(raw, "pictures_real", where),
            pictures_made=self.count(raw, "pictures_made", where),
            steps=self.count(raw, "steps", where),
            headline=bool(raw.get("headline")),
        )

    def result(self, raw: dict[str, Any], where: str) -> Result:
        return Result(
            arm=self.text(raw, "arm", where),
            seed=self.count(raw, "seed", where) or 0,
            metrics={metric: self.number(raw, metric, where) for metric in METRICS},
            seconds=self.number(raw, "seconds", where),
        )

    def difference(self, raw: dict[str, Any], where: str) -> Difference:
        mean = self.number(raw, "mean", where)
        per_seed = self.numbers(raw, "per_seed", where)
        if mean is None:
            raise _wrong(self.path, where + "mean", raw.get("mean"), "a number")
        return Difference(
            arm=self.text(raw, "arm", where),
            against=self.text(raw, "against", where),
            metric=self.text(raw, "metric", where),
            mean=mean,
            low=self.number(raw, "low", where),
            high=self.number(raw, "high", where),
            n=self.count(raw, "n", where) or len(per_seed),
            per_seed=per_seed,
        )


def learning_curves(study: Study, key: str, points: int = 60) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each arm the mean over its seeds of `key` in metrics.jsonl: steps [P] and values [P], P <= `points`.

    Each seed's curve is averaged in as many windows of steps as `points`, so that long runs stay small and calm.
    An arm without a curve is left out.
    """
    curves = {}
    for arm in study.arms:
        steps: list[float] = []
        values: list[float] = []
        for path in sorted((study.folder / "reid" / arm.name).glob("*/metrics.jsonl")):
            for line in read_lines(path):
                step, value = line.get("step"), line.get(key)
                if isinstance(step, int | float) and isinstance(value, int | float) and math.isfinite(value):
                    steps.append(step)
                    values.append(value)
        if steps:
            curves[arm.name] = _windows(np.asarray(steps, float), np.asarray(values, float), points)
    return curves


def _windows(steps: np.ndarray, values: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    edges = np.linspace(steps.min(), steps.max(), points + 1)
    window = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, points - 1)
    counts = np.bincount(window, minlength=points)
    used = counts > 0
    sums = [np.bincount(window, weights=of, minlength=points)[used] / counts[used] for of in (steps, values)]
    return sums[0], sums[1]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file up to its first damaged line (a run that was cut off leaves one)."""
    lines: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            break
        if isinstance(line, dict):
            lines.append(line)
    return lines
