"""Ranked lists of the same queries by two models, one under the other (thesis, figure 5.22)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synreid.report.entries import Arm, Study
from synreid.report.pictures import Embedded, embed_person
from synreid.stage.files import read_json

HITS = 10


@dataclass(frozen=True)
class Hit:
    """One gallery picture of a ranked list."""

    picture: Embedded | None
    right: bool
    label: str


@dataclass(frozen=True)
class Query:
    """A query with the list of each arm, `rows` holding the arm's title and its hits."""

    picture: Embedded | None
    pid: str
    rows: list[tuple[str, list[Hit]]]


@dataclass(frozen=True)
class RankedLists:
    """The lists of the arms shown, `seed` being each arm's, and how many of their pictures could not be opened."""

    queries: list[Query]
    arms: list[tuple[Arm, str]]
    missing: int
    total: int


def ranked_lists(study: Study) -> RankedLists | None:
    """Return the lists of the base arm beside the largest augmented arm; None where neither has any."""
    found = [(arm, *_first_seed(study, arm)) for arm in (study.base, study.largest) if arm]
    shown = [(arm, path, entries) for arm, path, entries in found if path is not None and entries]
    if not shown:
        return None
    album = _Album(study)
    queries: dict[str, Query] = {}
    for arm, path, entries in shown:
        for entry in entries:
            key = str(entry.get("query"))
            if key not in queries:
                queries[key] = Query(album.find(key, path), str(entry.get("pid")), [])
            listed = entry.get("hits")
            hits = [hit for hit in listed if isinstance(hit, dict)][:HITS] if isinstance(listed, list) else []
            queries[key].rows.append((arm.title, [_hit(album, hit, rank, path) for rank, hit in enumerate(hits, 1)]))
    missing = sum(picture is None for picture in album.opened.values())
    return RankedLists(list(queries.values()), [(a, p.parent.name) for a, p, _ in shown], missing, len(album.opened))


def _first_seed(study: Study, arm: Arm) -> tuple[Path | None, list[dict[str, Any]]]:
    for seed in study.seeds:
        path = study.folder / "reid" / arm.name / str(seed) / "ranked.json"
        if path.exists():
            entries = read_json(path)
            return path, [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return None, []


def _hit(album: _Album, hit: dict[str, Any], rank: int, ranked: Path) -> Hit:
    right = bool(hit.get("right"))
    facts = [f"rank {rank}, {'right' if right else 'wrong'}", f"person {hit.get('pid')}", f"camera {hit.get('camera')}"]
    if isinstance(distance := hit.get("distance"), int | float):
        facts.append(f"distance {distance:.3f}")
    return Hit(album.find(str(hit.get("path")), ranked), right, ", ".join(facts))


class _Album:
    """Opens each picture once, wherever its path counts from."""

    def __init__(self, study: Study) -> None:
        roots = [study.data.get("root"), study.data.get("path"), study.config.get("data")]
        named = [Path(root) for root in roots if isinstance(root, str)]
        self.roots = [study.folder, Path(), *named, *(study.folder / root for root in named)]
        self.opened: dict[str, Embedded | None] = {}

    def find(self, path: str, ranked: Path) -> Embedded | None:
        if path not in self.opened:
            places = (root / path for root in (*self.roots, ranked.parent))
            self.opened[path] = next((found for place in places if (found := embed_person(place))), None)
        return self.opened[path]
