"""Real and made pictures of unequal sharpness are warned of, and only these."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from synreid.data.decode import picture_sha256
from synreid.data.table import from_columns, pick
from synreid.reid.prepare import warn_of_sharpness
from synreid.reid.train import train


@pytest.fixture
def pictures(tmp_path):
    """pictures(name, size, ...): a table of one noisy picture of each size (height, width)."""

    def write(name, *sizes, **columns):
        (tmp_path / name).mkdir()
        drawn = [np.random.default_rng(k).integers(0, 256, (*size, 3), np.uint8) for k, size in enumerate(sizes)]
        for place, rgb in enumerate(drawn):
            Image.fromarray(rgb).save(tmp_path / name / f"{place}.png")
        digests = [picture_sha256(rgb) for rgb in drawn]
        return from_columns(
            root=str(tmp_path / name), path=[f"{k}.png" for k in range(len(drawn))], sha256=digests, **columns
        )

    return write


@pytest.mark.parametrize(
    ("real", "made", "through", "asked"),
    [
        ([(128, 64)] * 3, [(64, 32)] * 3, None, "64x32"),
        ([(60, 30)], [(128, 64)], None, "60x30"),
        ([(128, 64), (20, 10), (130, 66)], [(64, 32)], None, "64x32"),  # the usual size of real pictures counts
        ([(128, 64)], [(64, 32)], "64x32", None),
        ([(64, 32)], [(64, 32)], None, None),
        ([(128, 64)], [(256, 128)], None, None),  # both shrink to what the network sees
        ([(128, 48)], [(96, 40)], None, "96x40"),  # one side of the two is enlarged
    ],
)
def test_unequal_sharpness_is_warned_of(real, made, through, asked, pictures, small, capsys):
    options = replace(small, height=96, width=48, through=through)
    warn_of_sharpness(pictures("real", *real), pictures("made", *made), options)
    said = capsys.readouterr().err
    assert (f"give --through {asked} to bring" in said) if asked else said == ""


@pytest.mark.parametrize("through", [None, "20x10"])
def test_a_training_that_joins_them_warns(through, persons, pictures, small, tmp_path, capsys):
    made = pictures("made", *[(20, 10)] * 4, pid=["made/a", "made/a", "made/b", "made/b"], origin="artificial")
    options = replace(small, steps=1, through=through)
    train(pick(persons, split="train"), made, tmp_path / "m", options)
    said = "real pictures have 40x20 pixels and made ones 20x10, so sharpness tells them apart; give --through 20x10"
    assert (said in capsys.readouterr().err) == (through is None)
