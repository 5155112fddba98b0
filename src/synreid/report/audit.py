"""The privacy audit that a study's folder holds, or the sentence that says how to make one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synreid.report.entries import Study
from synreid.report.pictures import Embedded, embed_sheet
from synreid.report.tables import Cell, Table
from synreid.report.words import NONE, count
from synreid.stage.errors import UserError
from synreid.stage.files import read_json

NUMBERS, SHEET = "privacy.json", "privacy.png"
FACTS = ("median_ratio", "auc", "auc_low", "auc_high", "near", "near_expected")
QUANTILES = ("quantiles_made", "quantiles_held_out")  # objects within a space
FOLDERS = ("*", "*/*")  # of the study's folder, where an audit may lie


@dataclass(frozen=True)
class Audit:
    """An audit's numbers as it wrote them, with its folder's name in the study, its sheet, and its table."""

    place: str
    found: dict[str, Any]
    picture: Embedded | None
    table: Table

    def text(self, key: str) -> str:
        """Return a text of the audit, empty where it has none of that name."""
        value = self.found.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> float | None:
        """Return a number of the audit, None where it has none of that name."""
        return _number(self.found.get(key))

    def texts(self, key: str) -> list[str]:
        """Return a list of sentences of the audit, empty where it has none of that name."""
        value = self.found.get(key)
        return [str(sentence) for sentence in value] if isinstance(value, list) else []

    @property
    def verdicts(self) -> list[str]:
        """What each space says, in words."""
        spaces = self.found["spaces"].items()
        return [f"By {name}: {space['verdict']}" for name, space in spaces if isinstance(space.get("verdict"), str)]


def audits_of(study: Study) -> list[Audit]:
    """Return the audits in the study's folder; raises UserError for one whose numbers are damaged."""
    places = sorted(path for pattern in FOLDERS for path in study.folder.glob(f"{pattern}/{NUMBERS}"))
    return [_audit(study.folder, path, index) for index, path in enumerate(places)]


def _audit(study: Path, path: Path, index: int) -> Audit:
    found = read_json(path)
    spaces = found.get("spaces") if isinstance(found, dict) else None
    if not isinstance(spaces, dict) or not all(_is_whole(space) for space in spaces.values()):
        raise UserError(f"{path} holds no numbers of an audit; remove {path.parent} and run synreid privacy again.")
    name = "privacy" if index == 0 else f"privacy-{index + 1}"
    place = str(path.parent.relative_to(study))
    return Audit(place, found, embed_sheet(path.parent / SHEET), _table(name, spaces))


def _is_whole(space: Any) -> bool:
    return isinstance(space, dict) and all(isinstance(space.get(key) or {}, dict) for key in QUANTILES)


def _table(name: str, spaces: dict[str, dict[str, Any]]) -> Table:
    quantiles = [(kind, share) for kind in ("made", "held_out") for share in ("1%", "5%", "50%")]
    rows: list[list[str]] = []
    csv_rows: list[list[Cell]] = []
    for space, numbers in spaces.items():
        facts = [_number(numbers.get(key)) for key in FACTS]
        asked = [(numbers.get(f"quantiles_{kind}") or {}).get(share) for kind, share in quantiles]
        distances = [_number(value) for value in asked]
        ratio, auc, low, high, near, expected = facts
        bounds = f"{_digits(auc)} ({_digits(low)} to {_digits(high)})"
        shown = [_digits(distances[quantiles.index(place)]) for place in (("made", "1%"), ("held_out", "1%"))]
        rows.append(
            [space, *shown, _digits(ratio), bounds, count(near), NONE if expected is None else f"{expected:.0f}"]
        )
        csv_rows.append([space, *facts, *distances])
    return Table(
        name=name,
        caption="Distances to the nearest training picture or its mirror image. An AUC above 0.5: made pictures are "
        "nearer to training pictures than real pictures of other persons are.",
        head=[
            *("compared by", "made, nearest 1 %", "held-out, nearest 1 %", "ratio of medians"),
            *("AUC (95 % interval)", "as near as 1 % of held-out", "by chance"),
        ],
        rows=rows,
        csv_head=["space", *FACTS, *(f"{kind}_{share.rstrip('%')}_percent" for kind, share in quantiles)],
        csv_rows=csv_rows,
    )


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300  # NaN is not below
    return value if known else None


def _digits(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
