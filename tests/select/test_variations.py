"""Variations are judged by the real pictures of the person that they are said to show."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from synreid.data.pixels import pixels
from synreid.data.table import column, concat, pick, read_table, rows, write_table
from synreid.select.made import made_pictures
from synreid.select.options import SelectOptions
from synreid.select.run import read_selection, select
from synreid.select.thresholds import training_rows
from synreid.stage.errors import UserError

from .conftest import HEIGHT, WIDTH, ColourEmbedder, Varied, coloured

IDENTITY_ONLY = SelectOptions(detector="none", duplicates=None, least_pictures=1)


@pytest.fixture
def train(real: pa.Table) -> pa.Table:
    return training_rows(real)


def parents(train: pa.Table, pid: str) -> list[str]:
    return list(column(pick(train, pid=pid), "sha256"))


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def strangers(train: pa.Table, colours: ColourEmbedder) -> tuple[str, str]:
    """Two training persons of opposite colours."""
    pids = sorted(set(column(train, "pid")))
    means = np.stack([colours.embed(pixels(pick(train, pid=pid), HEIGHT, WIDTH)).mean(0) for pid in pids])
    a, b = np.unravel_index((means @ means.T).argmin(), (len(pids), len(pids)))
    return pids[a], pids[b]


def real_picture(pid: str, number: int) -> np.ndarray:
    """A picture of a training person that is not in the table."""
    return coloured(1000 + int(pid.split("/")[1]), 100 + number, spread=40)


def test_the_right_parents_pictures_are_kept_and_a_wrong_ones_discarded(
    varied: Varied, real: pa.Table, train: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    one, other = strangers(train, colours)
    right = [(real_picture(one, k), parents(train, one)[k]) for k in range(4)]
    wrong = [(real_picture(one, 10 + k), parents(train, other)[k]) for k in range(3)]
    out = select(varied({one: right, other: wrong}), real, tmp_path / "out", IDENTITY_ONLY, colours)
    selection = read_selection(out)
    of_wrong = column(selection, "pid") == other
    assert of_wrong.sum() == 3
    assert column(selection, "kept").tolist() == (~of_wrong).tolist()
    assert set(column(selection, "reason")[of_wrong]) == {"identity"}
    kept = made_pictures(out)
    assert set(kept["pid"].to_pylist()) == {one} and kept["parents"][0][0]["role"].as_py() == "person"
    found = summary(out)
    assert [(stage["name"], stage["in"], stage["discarded"]) for stage in found["stages"]] == [("identity", 7, 3)]
    assert (found["made"], found["kept"], found["persons_made"], found["persons_kept"]) == (7, 4, 2, 1)
    assert found["stages"][0]["threshold"] == found["calibration"]["identity"]["threshold"]
    assert any("identity threshold" in note and "pass as another person" in note for note in found["notes"])
    for name in ("kept.png", "discarded.png"):
        assert np.asarray(Image.open(out / name)).std() > 0


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(sum(a * b) / (sum(a * a) * sum(b * b)) ** 0.5)


def feature(picture: np.ndarray) -> np.ndarray:
    found = ColourEmbedder().embed(picture[None].astype(np.float64))[0].astype(np.float64)
    return np.asarray(found / np.linalg.norm(found))


def test_scores_and_threshold_are_the_plain_loops(
    varied: Varied, real: pa.Table, train: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    lonely = "real/7"  # of whom one picture is left
    first = parents(train, lonely)[0]
    pids, digests = column(train, "pid"), column(train, "sha256")
    train = rows(train, (pids != lonely) | (digests == first))
    pids, digests = column(train, "pid"), column(train, "sha256")
    of_real = [feature(picture) for picture in pixels(train, HEIGHT, WIDTH)]
    asked = {
        "real/1": [(real_picture("real/1", k), parents(train, "real/1")[k]) for k in (0, 3, 5)],
        "real/4": [(real_picture("real/4", 0), "a picture that is not there"), (real_picture("real/4", 1), "")],
        lonely: [(real_picture(lonely, 0), first)],
    }
    out = select(varied(asked), train, tmp_path / "out", replace(IDENTITY_ONLY, consistency_percentile=20), colours)
    found = dict(zip(column(read_selection(out), "sha256"), column(read_selection(out), "identity"), strict=True))

    def to_mean(of: np.ndarray, pid: str, parent: str) -> float:
        own = [k for k in range(len(train)) if pids[k] == pid]
        others = [k for k in own if digests[k] != parent] or own
        return cosine(of, np.mean([of_real[k] for k in others], axis=0))

    made = read_table(tmp_path / "variations" / "table.parquet")
    for row, picture in zip(made.to_pylist(), pixels(made, HEIGHT, WIDTH), strict=True):
        expected = to_mean(feature(picture), row["pid"], row["parents"][0]["sha256"])
        assert found[row["sha256"]] == pytest.approx(expected, abs=1e-5)

    several = [k for k in range(len(train)) if pids[k] != lonely]
    same = [to_mean(of_real[k], pids[k], digests[k]) for k in several]
    calibration = summary(out)["calibration"]["identity"]
    assert (calibration["persons"], calibration["pictures"]) == (9, 54)
    assert calibration["same_low"] == pytest.approx(np.percentile(same, 20), abs=1e-5)
    assert summary(out)["stages"][0]["threshold"] == min(calibration["same_low"], calibration["other_high"])
    assert any(
        note.startswith("1 of 6 variations are compared with the very picture") for note in summary(out)["notes"]
    )


def test_real_pictures_are_seen_at_the_variations_resolution(varied: Varied, real: pa.Table, tmp_path: Path) -> None:
    sizes = set()

    class Watching(ColourEmbedder):
        def embed(self, pictures: np.ndarray) -> np.ndarray:
            sizes.add(pictures.shape[1:])
            return super().embed(pictures)

    train = training_rows(real)
    small = [(real_picture("real/1", k)[::2, ::2], parents(train, "real/1")[k]) for k in range(3)]
    select(varied({"real/1": small}), real, tmp_path / "out", IDENTITY_ONLY, Watching())
    assert sizes == {(HEIGHT // 2, WIDTH // 2, 3)}


def test_a_number_for_the_threshold_still_asks_the_real_pictures(
    varied: Varied, real: pa.Table, train: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    right = {"real/1": [(real_picture("real/1", k), parents(train, "real/1")[k]) for k in range(3)]}
    folder, options = varied(right), replace(IDENTITY_ONLY, consistency=-0.5)
    found = summary(select(folder, real, tmp_path / "out", options, colours))
    assert (found["stages"][0]["threshold"], found["kept"], found["calibration"]) == (-0.5, 3, {})
    with pytest.raises(UserError, match="no data was given"):
        select(folder, None, tmp_path / "none", options, colours)
    plain = summary(select(folder, None, tmp_path / "plain", replace(options, identity=False)))
    assert (plain["stages"], plain["kept"]) == ([], 3)


def test_bad_variations_are_said_before_a_folder_is_made(
    varied: Varied, real: pa.Table, train: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    right = [(real_picture("real/1", k), parents(train, "real/1")[k]) for k in range(3)]
    folder = varied({"real/1": right, "real/2": [(real_picture("real/2", 0), parents(train, "real/2")[0])]})
    table, out = read_table(folder / "table.parquet"), tmp_path / "out"
    with pytest.raises(UserError, match=r"1 of 4 variations .* no training pictures .*0000\.png of real/2"):
        select(folder, rows(real, column(real, "pid") != "real/2"), out, IDENTITY_ONLY, colours)
    with pytest.raises(UserError, match="no training pictures to compare with"):
        only_test = pick(real, pid="real/2").set_column(*split_of(pick(real, pid="real/2"), "gallery"))
        select(folder, concat([rows(real, column(real, "pid") != "real/2"), only_test]), out, IDENTITY_ONLY, colours)
    place = table.schema.get_field_index("parents")
    orphans = table.set_column(place, table.schema.field(place), pa.array([[]] * 4, table.schema.field(place).type))
    write_table(orphans, folder / "table.parquet")
    with pytest.raises(UserError, match=r"variation pictures/1/0000\.png names no parent"):
        select(folder, real, out, IDENTITY_ONLY, colours)
    place = table.schema.get_field_index("origin")
    mixed = table.set_column(place, table.schema.field(place), pa.array(["variation"] * 3 + ["artificial"]))
    write_table(mixed, folder / "table.parquet")
    with pytest.raises(UserError, match=r"several origins .artificial, variation"):
        select(folder, real, out, IDENTITY_ONLY, colours)
    assert not out.exists()


def split_of(table: pa.Table, split: str) -> tuple[int, pa.Field, pa.Array]:
    place = table.schema.get_field_index("split")
    return place, table.schema.field(place), pa.array([split] * len(table))


def test_thresholds_may_come_from_persons_whom_the_judge_does_not_know(
    varied: Varied, real: pa.Table, train: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    few = pick(train, pid=sorted(set(column(train, "pid")))[:4])
    made = varied({"real/9": [(real_picture("real/9", k), parents(train, "real/9")[k]) for k in range(2)]})
    with pytest.raises(UserError, match="of whom the data has no training pictures"):
        select(made, few, tmp_path / "few", IDENTITY_ONLY, colours)
    out = select(made, real, tmp_path / "out", IDENTITY_ONLY, colours, calibration=few)
    assert summary(out)["calibration"]["identity"]["persons"] == 4
    whole = select(made, real, tmp_path / "whole", IDENTITY_ONLY, colours)
    assert summary(whole)["calibration"]["identity"]["persons"] > 4
    scores = [column(read_selection(folder), "identity") for folder in (out, whole)]
    np.testing.assert_array_equal(*scores)


def test_a_person_of_whom_one_variation_is_left_is_kept(
    varied: Varied, real: pa.Table, train: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    made = varied({"real/1": [(real_picture("real/1", 0), parents(train, "real/1")[0])]})
    out = select(made, real, tmp_path / "out", replace(IDENTITY_ONLY, least_pictures=2), colours)
    assert summary(out)["kept"] == 1
