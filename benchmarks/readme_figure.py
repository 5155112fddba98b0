"""Draws the README's picture: drawn persons of `street` beside persons whom the shipped generator made.

python benchmarks/readme_figure.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from synreid.data.pixels import read_picture, resize
from synreid.data.sheets import sheet, write_picture
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.generate.options import PersonOptions
from synreid.generate.persons import make, plan
from synreid.generate.place import SHIPPED
from synreid.generate.sample import StyleSampler

PERSONS, IMAGES = 6, 8
OUT = Path(__file__).parent.parent / "docs" / "persons.png"


def main() -> None:
    """Draw, make, and write both sheets side by side."""
    with tempfile.TemporaryDirectory() as folder:
        options = StreetOptions(persons=PERSONS, test_persons=0, pictures=IMAGES, seed=5)
        street = draw_street(Path(folder) / "street", options)
        drawn = [read_picture(path) for path in sorted((street / "bounding_box_train").glob("*.jpg"))]
    sampler = StyleSampler.load(SHIPPED / "street")
    made = make(sampler, plan(sampler, PersonOptions(persons=PERSONS, images=IMAGES, vary="interpolate", strength=0.4)))
    enlarged = np.stack([resize(picture, 128, 64) for picture in made])
    sheets = [sheet(np.stack(pictures), IMAGES) for pictures in (drawn, list(enlarged))]
    gap = np.full((sheets[0].shape[0], 24, 3), 255, dtype=np.uint8)
    write_picture(OUT, np.concatenate([sheets[0], gap, sheets[1]], axis=1))


if __name__ == "__main__":
    main()
