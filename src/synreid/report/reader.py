"""Takes typed values out of `study.json`, and names the entry that breaks a rule."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from synreid.report.entries import Arm, Difference, Published, Result, Selection, Slope
from synreid.stage.errors import UserError
from synreid.study.jobs import MEASURES

PART_NUMBERS: dict[str, tuple[str, ...]] = {
    "generator": ("kimg", "seconds"),
    "origin": ("auc", "low", "high", "accuracy", "test_real", "test_made"),
    "data": (
        *("train_identities", "train_pictures", "query", "query_identities"),
        *("gallery", "gallery_identities", "cameras"),
    ),
}
KEPT = ("kept", "made")  # of every selection


def wrong(path: Path, where: str, value: Any, rule: str) -> UserError:
    """Return the error that says which entry of the file breaks which rule."""
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return UserError(f"{path}: {where} is {shown}, but must be {rule}; run the study again to write the file anew.")


def mapping(value: Any, where: str, path: Path) -> dict[str, Any]:
    """Return a JSON object; raises UserError naming the entry where it is something else."""
    if not isinstance(value, dict):
        raise wrong(path, where, value, "an object")
    return value


class Reader:
    """Takes typed values out of `study.json`, naming the entry that breaks a rule."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self, raw: dict[str, Any], key: str, where: str = "") -> str:
        if not isinstance(raw.get(key), str):
            raise wrong(self.path, where + key, raw.get(key), "a text")
        return str(raw[key])

    def number(self, raw: dict[str, Any], key: str, where: str = "") -> float | None:
        """Return a finite number; None where it is missing, null or not a number (NaN)."""
        value = raw.get(key)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong(self.path, where + key, value, "a number")
        return value if abs(value) < 1e300 and math.isfinite(value) else None

    def count(self, raw: dict[str, Any], key: str, where: str = "") -> int | None:
        value = self.number(raw, key, where)
        return None if value is None else int(value)

    def several(self, raw: dict[str, Any], key: str, where: str, names: tuple[str, ...]) -> dict[str, float | None]:
        """Return the named numbers of an optional object; empty where it is missing or null."""
        if raw.get(key) is None:
            return {}
        part = mapping(raw[key], where + key, self.path)
        return {name: self.number(part, name, f"{where}{key}.") for name in names}

    def sequence(self, raw: dict[str, Any], key: str, where: str = "") -> list[Any]:
        value = raw.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise wrong(self.path, where + key, value, "a list")
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
            raise wrong(self.path, where + key, raw.get(key), "a list with at least one entry")
        named = [(item, f"{where}{key}[{index}]") for index, item in enumerate(items)]
        return [(mapping(item, place, self.path), place + ".") for item, place in named]

    def part(self, raw: dict[str, Any], key: str) -> dict[str, Any]:
        """Return an optional object of the file, its numbers checked; empty where it is missing."""
        if not raw.get(key):
            return {}
        part = mapping(raw[key], key, self.path)
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
            variations=self.count(raw, "variations", where) or 0,
            more_real=self.count(raw, "more_real", where) or 0,
            labels=str(raw.get("labels") or "new-identity"),
            baseline=str(raw["baseline"]) if raw.get("baseline") else None,
            pool=str(raw["pool"]) if raw.get("pool") else None,
        )

    def result(self, raw: dict[str, Any], where: str) -> Result:
        return Result(
            arm=self.text(raw, "arm", where),
            seed=self.count(raw, "seed", where) or 0,
            metrics={metric: self.number(raw, metric, where) for metric in MEASURES},
            seconds=self.number(raw, "seconds", where),
            evaluation=self.number(raw, "evaluation_seconds", where),
        )

    def difference(self, raw: dict[str, Any], where: str) -> Difference:
        mean = self.number(raw, "mean", where)
        per_seed = self.numbers(raw, "per_seed", where)
        if mean is None:
            raise wrong(self.path, where + "mean", raw.get("mean"), "a number")
        return Difference(
            arm=self.text(raw, "arm", where),
            against=self.text(raw, "against", where),
            metric=self.text(raw, "metric", where),
            mean=mean,
            low=self.number(raw, "low", where),
            high=self.number(raw, "high", where),
            n=self.count(raw, "n", where) or len(per_seed),
            per_seed=per_seed,
            p_holm=self.number(raw, "p_holm", where),
            persons=self.several(raw, "persons", where, ("low", "high")),
            mcnemar=self.several(raw, "mcnemar", where, ("gained", "lost", "p")),
        )

    def slope(self, raw: dict[str, Any], where: str) -> Slope:
        slope, amounts = self.number(raw, "slope", where), self.numbers(raw, "amounts", where)
        arms, against = ([str(name) for name in self.sequence(raw, key, where)] for key in ("arms", "against"))
        if slope is None:
            raise wrong(self.path, where + "slope", raw.get("slope"), "a number")
        if not len(arms) == len(against) == len(amounts):
            raise wrong(self.path, where + "amounts", raw.get("amounts"), "as many numbers as arms and against")
        return Slope(
            metric=self.text(raw, "metric", where),
            of=self.text(raw, "of", where),
            arms=arms,
            against=against,
            amounts=amounts,
            per=self.number(raw, "per", where) or 1.0,
            slope=slope,
            low=self.number(raw, "low", where),
            high=self.number(raw, "high", where),
            p=self.number(raw, "p", where),
            trend=None if raw.get("trend") is None else str(raw["trend"]),
            trend_p=self.number(raw, "trend_p", where),
            headline=bool(raw.get("headline")),
        )

    def published(self, raw: dict[str, Any], key: str) -> Published | None:
        part = self.part(raw, key)
        if not part:
            return None
        rows = self.numbered(part, "rows", key + ".", ("amount", "pictures", *MEASURES))
        return Published(
            source=self.text(part, "source", key + "."),
            note=str(part.get("note") or ""),
            unit=str(part.get("unit") or "amount"),
            rows=[row for row in rows if row["amount"] is not None],
        )
