"""Whose pictures a study used, on what terms, and in which splits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from synreid.report.entries import Study
from synreid.report.tables import Cell, Table
from synreid.report.words import NONE, count

RESEARCH = (
    "Research only: do not distribute its pictures, nor a report, a model or made pictures that show its persons."
)
KNOWN = {  # names with letters and digits only: what the set is, and its terms
    "market1501": ("Market-1501 (Zheng et al., 2015), pedestrians filmed on a university campus", RESEARCH),
    "msmt17": ("MSMT17 (Wei et al., 2018), given out under an agreement that is signed", RESEARCH),
    "cuhk01": ("CUHK01 (Li et al., 2012), pedestrians filmed on a university campus", RESEARCH),
    "cuhk03": ("CUHK03 (Li et al., 2014), pedestrians filmed on a university campus", RESEARCH),
    "pkureid": ("PKU-Reid (Ma et al., 2016), pedestrians filmed by two cameras", RESEARCH),
    "dukemtmc": (
        "DukeMTMC (Ristani et al., 2016), filmed without the consent of those who are in it",
        "Its authors withdrew it in 2019: do not use it for anything new, and do not distribute it.",
    ),
}


@dataclass(frozen=True)
class Statement:
    """What the page says about the pictures: whose they are and on what terms, in a sentence or two each."""

    whose: str
    terms: str


def statement_of(study: Study, drawn: bool) -> Statement:
    """Return the data statement; `drawn` is whether a program drew every person."""
    if drawn:
        return Statement(
            "All persons in this data set were drawn by a program; no picture shows a real person.",
            "No one's rights are touched: pictures and report may be shared.",
        )
    known = _known(study)
    whose, terms = known or (
        "The study does not know whose pictures these are",
        "The data's terms, and whether the persons agreed, are yours to check before anything is shared.",
    )
    if own := study.data.get("terms"):
        terms = f"Terms, as the data give them: {own}."
    return Statement(f"{whose}.", terms)


def _known(study: Study) -> tuple[str, str] | None:
    for key in ("layout", "name"):
        name = re.sub(r"[^a-z0-9]", "", str(study.data.get(key) or "").lower())
        for known, found in KNOWN.items():
            if name.startswith(known):
                return found
    return None


def splits_table(study: Study) -> Table:
    """How many pictures each split has, and what it was used for."""
    splits = [
        ("training", "train_pictures", "train_identities", "generator, selection and re-ID models learn from it"),
        ("query", "query", "query_identities", "asked for, in every evaluation; nothing learns from it"),
        ("gallery", "gallery", "gallery_identities", "searched, in every evaluation; nothing learns from it"),
    ]
    if study.data.get("left_out_pictures") is not None:
        use = "the arms of more real persons draw from it, and nothing else does"
        splits.insert(1, ("training, left out", "left_out_pictures", "left_out_identities", use))
    rows: list[list[str]] = []
    csv_rows: list[list[Cell]] = []
    for split, pictures, persons, use in splits:
        numbers = [study.data.get(key) for key in (pictures, persons)]
        rows.append([split, use, *(NONE if number is None else count(number) for number in numbers)])
        csv_rows.append([split, use, *numbers])
    return Table(
        name="data",
        caption="No person of the training split is in query or gallery: a study stops where one is, and it refuses a "
        "generator that learned from a test picture.",
        head=["split", "used for", "pictures", "persons"],
        rows=rows,
        csv_head=["split", "use", "pictures", "persons"],
        csv_rows=csv_rows,
        words=2,
    )
