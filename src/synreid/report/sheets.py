"""The sheets of pictures that a study's folder holds, each with the words under it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from synreid.report.entries import Study
from synreid.report.pictures import Embedded, embed_sheet, numbered
from synreid.report.words import thousands


@dataclass(frozen=True)
class Sheet:
    """A sheet of pictures and the words under it."""

    picture: Embedded
    caption: str

    @property
    def tall(self) -> bool:
        """Whether it is much higher than wide, so that the page makes it smaller."""
        return self.picture.height > 1.1 * self.picture.width


def sheets_of(study: Study) -> dict[str, list[Sheet]]:
    """Return the sheets of each part of the page that are there and whole."""
    gan, persons, select = (study.folder / room for room in ("gan", "persons", "select"))
    calibration = study.folder / "calibration"
    latents, variations, chosen = (study.folder / room for room in ("latents", "variations", "select-variations"))
    if not gan.is_dir() and isinstance(elsewhere := study.generator.get("folder"), str):
        gan = Path(elsewhere)  # the study used a generator that was there before
    samples = numbered(gan, "samples-*.png")
    real = [*numbered(gan, "real*.png"), study.folder / "real.png"]
    wanted = {
        "generator": [
            *((path, "The generator's first grid" + _after(path)) for path in samples[:-1][:1]),
            *((path, "Its last grid" + _after(path)) for path in samples[-1:]),
            *((path, "Real training pictures, for comparison") for path in real[:1]),
        ],
        "persons": [
            (persons / "sheet.png", "Made persons, a row a person"),
            (latents / "inverted.png", "Real pictures, and what the generator shows for the styles found for them"),
            (variations / "sheet.png", "Variations, a row a person, a real picture first"),
        ],
        "kept": [(select / "kept.png", "Kept"), (chosen / "kept.png", "Kept variations")],
        "discarded": [
            (select / "discarded.png", "Discarded, each with its reason"),
            (chosen / "discarded.png", "Discarded variations, each with its reason"),
        ],
        "calibration": [
            (calibration / "calibration.png", "How each score is distributed, and its ROC curves"),
            (
                calibration / "calibration-pictures.png",
                "Real training pictures, what was made of them that should not pass, and what each score says",
            ),
        ],
    }
    return {
        part: [Sheet(picture, caption) for path, caption in entries if (picture := embed_sheet(path))]
        for part, entries in wanted.items()
    }


def _after(path: Path) -> str:
    found = re.fullmatch(r"samples-0*(\d+(?:\.\d*[1-9])?)(?:\.0+)?", path.stem)
    if found is None:
        return f" ({path.stem})"
    return (
        ", before it was trained" if float(found[1]) == 0 else f", after {thousands(float(found[1]))} thousand pictures"
    )
