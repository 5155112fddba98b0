"""The rules that a data set must keep for a study, each with its name, its level and what to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from synreid.data.decode import DAMAGED, MAX_PIXELS, NOT_A_PICTURE, TOO_LARGE
from synreid.data.layouts.entry import MADE_PICTURE, WRONG_NAME, WRONG_PLACE, WRONG_ROW
from synreid.data.table import column

STOPS, WARNING = "stops the study", "warning"
EXAMPLES = 5
MISSING = "missing picture"
_MEGA = MAX_PIXELS // 10**6

# What is said of each rule of single files, behind their number, so of one or of many.
FILE_RULES = {
    NOT_A_PICTURE: (STOPS, "named as a picture, but none; remove it"),
    DAMAGED: (STOPS, "damaged, cut short or unreadable; replace or remove it"),
    TOO_LARGE: (STOPS, f"over {_MEGA} megapixels; crop it to the person"),
    MISSING: (STOPS, "named, but not there; correct the path"),
    WRONG_ROW: (STOPS, "cannot be read; correct it"),
    WRONG_NAME: (WARNING, "left out, since its name does not read like 0002_c1s1_000451_03.jpg, in UTF-8"),
    MADE_PICTURE: (WARNING, "left out, since its name says that it is made; add it by its selection"),
    WRONG_PLACE: (
        WARNING,
        "left out, since the layout has no place for it there; plain folders hold person/picture.jpg, or "
        "train/person/picture.jpg beside query and gallery",
    ),
}


@dataclass(frozen=True)
class Problem:
    """One broken rule: how bad it is, how often it is broken, what to do, and up to five examples."""

    rule: str
    level: str
    count: int
    advice: str
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = f" (such as {self.examples[0]})" if self.examples else ""
        return f"{self.headline}{shown}"

    @property
    def headline(self) -> str:
        """The rule, how often it is broken, and what to do."""
        return f"{self.rule} ({self.count:,}): {self.advice}"


def _problem(rule: str, level: str, broken: Iterable[str], advice: str) -> Iterator[Problem]:
    """Yield the problem, if the rule is broken at all."""
    names = list(broken)
    if names:
        yield Problem(rule, level, len(names), advice, tuple(names[:EXAMPLES]))


def file_problems(left_out: Iterable[tuple[str, str]]) -> list[Problem]:
    """Group (rule, file) pairs by rule."""
    found: dict[str, list[str]] = defaultdict(list)
    for rule, name in left_out:
        found[rule].append(name)
    problems: list[Problem] = []
    for rule, (level, advice) in FILE_RULES.items():
        problems.extend(_problem(rule, level, found[rule], advice))
    return problems


def table_problems(table: pa.Table) -> list[Problem]:
    """Return what the rows break together: splits, identities, cameras, content."""
    facts = _Facts(table)
    return [
        *_cameras(facts),  # without which there are no queries
        *_missing_splits(facts),
        *_shared_identities(facts),
        *_unanswerable_queries(facts),
        *_few_pictures(facts),
        *_content_across(facts),
        *_content_twice(facts),
    ]


class _Facts:
    """The columns that rules look at, read once."""

    def __init__(self, table: pa.Table) -> None:
        self.path, self.pid, self.camera = column(table, "path"), column(table, "pid"), column(table, "camera")
        self.split, self.junk, self.sha256 = column(table, "split"), column(table, "junk"), column(table, "sha256")
        self.train = np.isin(self.split.astype(str), ("train", "val"))
        self.test = np.isin(self.split.astype(str), ("query", "gallery"))


def empty_split(name: str) -> tuple[str, str]:
    """Return the rules of a split that has no persons, and of one that has too few."""
    return f"no {name} pictures", f"too few in {name}"


def _missing_splits(facts: _Facts) -> Iterator[Problem]:
    unnamed = [str(path) for path, split in zip(facts.path, facts.split, strict=True) if split is None]
    yield from _problem("no split", STOPS, unnamed, "others have one; give one to each or to none")
    for name, least in (("train", 2), ("query", 1), ("gallery", 1)):
        persons = set(facts.pid[(facts.split == name) & ~facts.junk])
        if len(persons) < least:
            advice = f"persons in the split {name}, which needs at least {least}"
            yield Problem(empty_split(name)[bool(persons)], STOPS, len(persons), advice)


def _shared_identities(facts: _Facts) -> Iterator[Problem]:
    shared = sorted(set(facts.pid[facts.train & ~facts.junk]) & set(facts.pid[facts.test & ~facts.junk]))
    yield from _problem("identity in train and test", STOPS, shared, "in both; move it to one side")


def _cameras(facts: _Facts) -> Iterator[Problem]:
    unknown = facts.camera == None  # noqa: E711, elementwise
    advice = "in {}; give the pattern that finds it in the names (--camera_pattern), or a CSV file with cameras"
    parts = ((STOPS, facts.test, "query or gallery"), (WARNING, facts.train, "the training split"))
    for level, part, where in parts:
        yield from _problem("no camera", level, map(str, facts.path[unknown & part]), advice.format(where))
    cameras = set(facts.camera[facts.test & ~facts.junk & ~unknown])
    if facts.test.any() and len(cameras) < 2:
        advice = "in query and gallery; re-ID is measured from one camera to another, so two are needed"
        yield Problem("fewer than two cameras", STOPS, len(cameras), advice, tuple(cameras))


def _unanswerable_queries(facts: _Facts) -> Iterator[Problem]:
    """A query needs a gallery picture of the same person under another camera."""
    seen: dict[str, set[str | None]] = defaultdict(set)
    for row in np.flatnonzero((facts.split == "gallery") & ~facts.junk):
        seen[facts.pid[row]].add(facts.camera[row])
    queries = np.flatnonzero((facts.split == "query") & ~facts.junk)
    broken = [str(facts.path[row]) for row in queries if not seen[facts.pid[row]] - {facts.camera[row], None}]
    level = STOPS if len(broken) == len(queries) else WARNING
    advice = "no gallery picture of its person under another camera, so it does not count in the evaluation"
    yield from _problem("query without a cross-camera positive", level, broken, advice)


def _few_pictures(facts: _Facts) -> Iterator[Problem]:
    """Distractors are left alone: a stranger in the gallery may well be seen once."""
    asked = set(facts.pid[facts.split == "query"])
    counted = facts.train | np.array([pid in asked for pid in facts.pid], dtype=bool)
    counts = Counter(facts.pid[counted & ~facts.junk])
    single = sorted(pid for pid, count in counts.items() if count == 1)
    yield from _problem("one-picture identity", WARNING, single, "a single picture, nothing to match")


def _same_content(facts: _Facts, part: np.ndarray) -> list[list[int]]:
    """Return groups of rows of `part` that hold the same pixels."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(part):
        groups[facts.sha256[row]].append(int(row))
    return [group for group in groups.values() if len(group) > 1]


def _content_across(facts: _Facts) -> Iterator[Problem]:
    groups = _same_content(facts, facts.train | facts.test)
    crossing = [group for group in groups if facts.train[group].any() and facts.test[group].any()]
    advice = "there on both sides; remove it from one"
    yield from _problem("same content in train and test", STOPS, _named(facts, crossing), advice)


def _content_twice(facts: _Facts) -> Iterator[Problem]:
    real = ~facts.junk
    groups = [group for part in (facts.train, facts.test) for group in _same_content(facts, part & real)]
    strangers = [group for group in groups if len(set(facts.pid[group])) > 1]
    twins = [group for group in groups if len(set(facts.pid[group])) == 1]
    advice = "there again under another identity; one of the labels is wrong"
    yield from _problem("same content of two identities", WARNING, _named(facts, strangers), advice)
    yield from _problem("same content twice", WARNING, _named(facts, twins), "there more than once")


def _named(facts: _Facts, groups: list[list[int]]) -> list[str]:
    return [" = ".join(facts.path[group[:3]]) for group in groups]
