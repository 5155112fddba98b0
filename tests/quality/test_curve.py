"""The curve is a picture, and measures that cannot be compared do not share a line."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from synreid.quality import curve


def line(kimg: float, frechet: float, features: str = "numbers", made: int = 100) -> dict:
    return {
        "kimg": kimg,
        "frechet": frechet,
        "kid": 0.1,
        "kid_sd": 0.01,
        "features": features,
        "made": made,
        "real": 50,
    }


def test_the_curve_is_drawn_and_changes(tmp_path: Path) -> None:
    drawn = []
    for lines in ([line(0, 9)], [line(0, 9), line(4, 3)], [line(0, 9), line(4, 8)]):
        curve.draw_curve(lines, tmp_path / "quality.png")
        drawn.append(np.asarray(Image.open(tmp_path / "quality.png").convert("L")))
    assert drawn[0].shape == drawn[1].shape
    assert all((a != b).any() for a, b in itertools.pairwise(drawn))
    assert [path.name for path in tmp_path.iterdir()] == ["quality.png"]


def test_other_features_and_other_counts_are_lines_of_their_own() -> None:
    kinds = curve._kinds([line(4, 3), line(0, 9), line(8, 2, features="others"), line(12, 2, made=200)])
    assert [[point["kimg"] for point in points] for points in kinds.values()] == [[0, 4], [8], [12]]
    assert next(iter(kinds)) == "100 made, 50 real pictures; numbers"
