"""What `study.json` holds, as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synreid.study.statistics import paired_difference


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
    """One arm of a study: what its models were trained with.

    `more_real` counts real persons whom the other arms do not have; `baseline` names the re-ID model where it is not
    the recipe's own. `pool` says out of which made pictures some are added; older studies do not.
    """

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
    variations: int = 0
    more_real: int = 0
    labels: str = "new-identity"
    baseline: str | None = None
    pool: str | None = None

    @property
    def made(self) -> bool:
        """Whether made pictures were added."""
        return self.amount > 0 or bool(self.pictures_made)

    @property
    def amount(self) -> int:
        """How many artificial persons were added, or variations of each real one; the study's arms add one kind."""
        return self.persons or self.variations


@dataclass(frozen=True)
class Result:
    """One training's measures; `metrics` are fractions in [0, 1].

    `seconds` are of the training and `evaluation` of its evaluation, which older studies did not time.
    """

    arm: str
    seed: int
    metrics: dict[str, float | None]
    seconds: float | None
    evaluation: float | None = None


@dataclass(frozen=True)
class Difference:
    """A paired difference, `arm` minus `against`, in fractions; no interval where one seed gives none.

    `p_holm` is corrected over all augmented arms against their controls, shuffled labels aside; `persons` is the
    interval over other test persons too, `mcnemar` the queries gained and lost at first place. Older studies have none
    of the three.
    """

    arm: str
    against: str
    metric: str
    mean: float
    low: float | None
    high: float | None
    n: int
    per_seed: list[float]
    p_holm: float | None = None
    persons: dict[str, float | None] = field(default_factory=dict)
    mcnemar: dict[str, float | None] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Where the interval lies: `above` zero, `below` it, `across` it, or `none`."""
        if self.low is None or self.high is None:
            return "none"
        return "above" if self.low > 0 else "below" if self.high < 0 else "across"


@dataclass(frozen=True)
class Slope:
    """How a measure changes with the amount of one kind of made pictures, in fractions for each `per` more of them.

    `of` says of which kind in words, `arms` are in the order of `amounts`, each held against the arm of `against`.
    """

    metric: str
    of: str
    arms: list[str]
    against: list[str]
    amounts: list[float]
    per: float
    slope: float
    low: float | None
    high: float | None
    p: float | None
    trend: str | None
    trend_p: float | None
    headline: bool


@dataclass(frozen=True)
class Published:
    """Numbers that others published of the same amounts; measures in `rows` are fractions or None."""

    source: str
    note: str
    unit: str
    rows: list[dict[str, Any]]


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
    slopes: list[Slope] = field(default_factory=list)
    published: Published | None = None
    seeds_needed: str = ""
    started: str | None = None
    finished: str | None = None

    def arm(self, name: str) -> Arm | None:
        """Return the arm of that name, None where the study does not list it."""
        return next((arm for arm in self.arms if arm.name == name), None)

    def title(self, arm: str) -> str:
        """Return the arm's title, or its name where the study does not list it."""
        return next((entry.title for entry in self.arms if entry.name == arm), arm)

    def values(self, arm: str, metric: str) -> list[float]:
        """Return one value a seed, fractions in [0, 1], in the order of the results."""
        found = [result.metrics[metric] for result in self.results if result.arm == arm]
        return [value for value in found if value is not None]

    def paired(self, arm: str, against: str, metric: str) -> Difference | None:
        """Return the difference of two arms paired by seed, with its t interval; None where no seed is in both."""
        own, other = (
            {r.seed: value for r in self.results if r.arm == name and (value := r.metrics[metric]) is not None}
            for name in (arm, against)
        )
        seeds = sorted(own.keys() & other.keys())
        if not seeds:
            return None
        found = paired_difference([own[seed] for seed in seeds], [other[seed] for seed in seeds])
        low, high = (None if math.isnan(bound) else bound for bound in (found.low, found.high))
        return Difference(arm, against, metric, found.mean, low, high, len(seeds), list(found.per_seed))

    @property
    def largest(self) -> Arm | None:
        """The arm that the study's answer is about; without one, that of real pictures with the largest amount added.

        Of equal ones it is the first, as the study orders them.
        """
        augmented = [arm for arm in self.arms if arm.made and not arm.control and arm.pictures_real != 0]
        return max(augmented, key=lambda arm: (arm.headline, arm.amount), default=None)

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
        return self.base_of(self.largest.baseline if self.largest else None)

    def base_of(self, baseline: str | None) -> Arm | None:
        """Return the untouched real arm of a re-ID model (None: the recipe's own), None where there is none.

        If it can, it is of the resolution of the largest augmented arm.
        """
        controls = [arm for arm in self.arms if arm.control and not arm.matched and not arm.made]
        own = [arm for arm in controls if arm.baseline == baseline]
        resolution = self.largest.resolution if self.largest else None
        return next((arm for arm in own if arm.resolution == resolution), own[0] if own else None)
