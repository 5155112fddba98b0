"""The whole stage on made-up persons with known faults."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from synreid.data.table import column, read_table
from synreid.select.options import PRESETS, SelectOptions, check
from synreid.select.report import kept_as_text
from synreid.select.run import kept_rows, read_selection, select
from synreid.stage.errors import UserError

from .conftest import ColourEmbedder, Made, coloured

COLOUR_ONLY = SelectOptions(detector="none")


def faulty() -> dict[str, list[np.ndarray]]:
    """Person 0 is right; 1 has a stranger's picture and a copy; 2 is one picture and its copy."""
    good = [coloured(3, n) for n in range(5)]
    stranger = 255 - coloured(4, 9)
    other = [coloured(4, 0), coloured(4, 1), coloured(4, 1), stranger, coloured(4, 2)]
    return {"made/000000": good, "made/000001": other, "made/000002": [coloured(5, 0), coloured(5, 0)]}


def test_each_fault_is_found_by_its_rule(made: Made, real: pa.Table, colours: ColourEmbedder, tmp_path: Path) -> None:
    persons = made(faulty())
    out = select(persons, real, tmp_path / "selection", COLOUR_ONLY, colours)
    selection = read_selection(out)
    reasons = [*[None] * 7, "duplicates", "consistency", None, "too few kept", "duplicates"]
    assert column(selection, "reason").tolist() == reasons
    assert column(selection, "kept").tolist() == [reason is None for reason in reasons]
    summary = json.loads((out / "summary.json").read_text())
    assert [(stage["name"], stage["in"], stage["discarded"]) for stage in summary["stages"]] == [
        ("consistency", 12, 1),
        ("duplicates", 11, 2),
        ("too few kept", 9, 1),
    ]
    assert (summary["made"], summary["kept"], summary["persons_made"], summary["persons_kept"]) == (12, 8, 3, 2)
    assert kept_as_text(out).startswith("kept 8 of 12 pictures, 2 of 3 persons;")
    kept = kept_rows(read_table(persons / "table.parquet"), selection)
    assert len(kept) == 8
    for name in ("kept.png", "discarded.png"):
        assert np.asarray(Image.open(out / name)).std() > 0


def test_thresholds_come_from_the_training_split_alone(
    made: Made, real: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    seen: list[int] = []

    class Watching(ColourEmbedder):
        def embed(self, pictures: np.ndarray) -> np.ndarray:
            seen.extend(int(picture.std() == 0) for picture in pictures)  # the flat ones are the test pictures
            return super().embed(pictures)

    out = select(made(faulty()), real, tmp_path / "selection", COLOUR_ONLY, Watching())
    found = json.loads((out / "summary.json").read_text())["calibration"]["consistency"]
    assert (found["persons"], sum(seen)) == (10, 0)
    assert found["threshold"] == min(found["same_low"], found["other_high"])


def test_a_complete_selection_is_not_run_again(
    made: Made, real: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    persons, out = made(faulty()), tmp_path / "selection"
    select(persons, real, out, COLOUR_ONLY, colours)
    before = (out / "selection.parquet").read_bytes(), (out / "selection.parquet").stat().st_mtime_ns
    select(persons, real, out, COLOUR_ONLY, colours)
    assert ((out / "selection.parquet").read_bytes(), (out / "selection.parquet").stat().st_mtime_ns) == before
    with pytest.raises(UserError, match="another configuration"):
        select(persons, real, out, replace(COLOUR_ONLY, duplicates=5.0), colours)


def test_thesis_preset_uses_its_two_rules(made: Made, tmp_path: Path) -> None:
    options = SelectOptions(**{**PRESETS["thesis"], "detector": "hog", "pedestrian": 0.0})
    persons = made(faulty())
    summary = json.loads((select(persons, None, tmp_path / "out", options) / "summary.json").read_text())
    assert [stage["name"] for stage in summary["stages"]] == ["pedestrian", "ssim"]
    assert summary["stages"][1]["threshold"] == 0.75


def test_preset_none_keeps_all(made: Made, tmp_path: Path) -> None:
    persons = made(faulty())
    selection = read_selection(select(persons, None, tmp_path / "out", SelectOptions(**PRESETS["none"])))
    assert column(selection, "kept").all()


def test_street_persons_pass_by_what_is_always_there(tiny_street: Path, made: Made, tmp_path: Path) -> None:
    from synreid.data.pixels import pixels
    from synreid.data.scan import open_data
    from synreid.data.table import pick

    table = pick(open_data(tiny_street), split="train")
    pictures, pids = pixels(table, 64, 32), column(table, "pid")
    drawn = {f"made/{k:06d}": list(pictures[pids == pid]) for k, pid in enumerate(np.unique(pids.astype(str)))}
    rng = np.random.default_rng(0)
    drawn["made/000002"] = [rng.integers(0, 256, (64, 32, 3), dtype=np.uint8) for _ in range(8)]
    out = select(made(drawn), tiny_street, tmp_path / "out", SelectOptions(detector="hog"))
    kept = column(read_selection(out), "kept")
    noise = column(read_selection(out), "pid") == "made/000002"
    assert kept[~noise].mean() > 0.7
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["detector"], summary["embedder"]) == ("hog", "pixels-16x8")
    assert any("plain pixels" in note for note in summary["notes"])


def test_bad_input_is_said(made: Made, real: pa.Table, colours: ColourEmbedder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run\.json"):
        select(tmp_path / "nowhere", real, tmp_path / "out", COLOUR_ONLY, colours)
    persons = made(faulty())
    with pytest.raises(UserError, match="no data was given"):
        select(persons, None, tmp_path / "out", COLOUR_ONLY, colours)
    with pytest.raises(UserError, match="would keep 10 %"):
        select(persons, None, tmp_path / "out2", SelectOptions(detector="hog", pedestrian=1.0, identity=False))
    with pytest.raises(UserError, match=r"pedestrian is 60, but must lie within 0\.0 and 1\.0"):
        check(replace(COLOUR_ONLY, pedestrian=60))
    stranger = read_table(persons / "table.parquet").slice(0, 3)
    selection = read_selection(select(persons, real, tmp_path / "out3", COLOUR_ONLY, colours)).slice(5)
    with pytest.raises(UserError, match="not in the selection"):
        kept_rows(stranger, selection)


@pytest.mark.parametrize("name", ["pid", "reason", "consistency"])
def test_a_damaged_selection_is_named(
    name: str, made: Made, real: pa.Table, colours: ColourEmbedder, tmp_path: Path
) -> None:
    path = select(made(faulty()), real, tmp_path / "out", COLOUR_ONLY, colours) / "selection.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(name), name, pa.nulls(len(table), pa.bool_())), path)
    with pytest.raises(UserError, match=f"selection.parquet is unreadable .column {name} is not whole"):
        read_selection(path.parent)


def test_a_damaged_summary_is_named(made: Made, real: pa.Table, colours: ColourEmbedder, tmp_path: Path) -> None:
    path = select(made(faulty()), real, tmp_path / "out", COLOUR_ONLY, colours) / "summary.json"
    path.write_text('{"kept": "all"}')
    with pytest.raises(UserError, match=r"summary\.json is damaged"):
        kept_as_text(path.parent)
