"""Pictures of other tools become a persons folder that every other command takes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from synreid.data.decode import picture_sha256, read_picture
from synreid.data.table import column, paths, read_table
from synreid.exchange.export import export
from synreid.exchange.imported import import_persons
from synreid.exchange.metadata import VOCABULARY, source_type
from synreid.exchange.sources import find_pictures
from synreid.label.names import Labels
from synreid.label.strategies import strategy
from synreid.select.made import made_pictures
from synreid.select.options import SelectOptions
from synreid.select.parents import parents_of
from synreid.select.run import select
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.stage.folder import read_run

from .conftest import noise

TOOL = "Some Diffusion 2"


def draw(root: Path, *names: str) -> Path:
    """Write a picture of its own for each name."""
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(3000 + seed)).save(root / name)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder a person, with a file that is no picture."""
    root = draw(tmp_path / "outside", "anna/1.png", "anna/2.jpg", "bob/x.webp", "bob/y.png", "bob/z.png")
    (root / "bob" / "prompt.txt").write_text("a man")
    return root


def listed(root: Path, *lines: str) -> Path:
    path = root / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_folder_for_each_person_is_copied_and_described(folder: Path, tmp_path: Path) -> None:
    out = import_persons(folder, tmp_path / "persons", TOOL)
    table = read_table(out / "table.parquet")
    assert Counter(column(table, "pid")) == {"made/some-diffusion-2/anna": 2, "made/some-diffusion-2/bob": 3}
    sources = sorted(path for path in folder.rglob("*") if path.suffix != ".txt" and path.is_file())
    assert [path.read_bytes() for path in paths(table)] == [path.read_bytes() for path in sources]
    for path, digest, origin, claim in zip(
        paths(table), *(column(table, name) for name in ("sha256", "origin", "claim")), strict=True
    ):
        assert picture_sha256(read_picture(path)) == digest
        assert (origin, claim) == ("artificial", "new")
    assert read_run(out, "persons")["learned"] == "unknown"
    assert json.loads(column(table, "maker")[0])["maker"] == TOOL
    assert np.asarray(Image.open(out / "sheet.png")).std() > 0


def test_names_that_say_made_are_no_reason_against_them(tmp_path: Path) -> None:
    root = draw(tmp_path / "outside", "anna/1.png", "anna/0_made.png", "bob/1_made.png")
    assert [(one.person, one.path.name) for one in find_pictures(root)] == [
        ("anna", "0_made.png"),
        ("anna", "1.png"),
        ("bob", "1_made.png"),
    ]
    draw(root, "anna/deep/1_made.png")
    with pytest.raises(UserError, match="lies outside a person's folder or too deep"):
        find_pictures(root)


def test_selection_and_export_take_it_unchanged(folder: Path, real: pa.Table, tmp_path: Path) -> None:
    persons = import_persons(folder, tmp_path / "persons", TOOL, digital_source_type="algorithmicMedia")
    rules = SelectOptions(detector="none", identity=False, duplicates=None, least_pictures=3)
    kept = made_pictures(select(persons, real, tmp_path / "selection", rules))
    assert len(kept) == 3, "anna has two pictures, and goes"
    out = export(real, kept, tmp_path / "out")
    made = [path for path in (out / "bounding_box_train").iterdir() if path.stem.endswith("_made")]
    assert len(made) == 3 and all(path.name.startswith("1501_c7") for path in made)
    for path in made:
        packet = Image.open(path).info["xmp"]
        assert source_type(packet) == f"{VOCABULARY}algorithmicMedia"
        assert b"CreatorTool>Some Diffusion 2<" in packet
    assert "What Some Diffusion 2 learned from is not known" in " ".join((out / "README.txt").read_text().split())


def test_made_jpeg_files_are_not_coded_anew_on_the_way_out(folder: Path, tmp_path: Path) -> None:
    made = made_pictures(import_persons(folder, tmp_path / "persons", TOOL))
    table = read_table(export(None, made, tmp_path / "out", "imagefolder") / "table.parquet")
    assert Counter(path.suffix for path in paths(table)) == {".png": 4, ".jpg": 1}  # WebP becomes PNG
    assert column(table, "sha256").tolist() == column(made, "sha256").tolist()


def test_flat_folders_are_read_by_their_names(tmp_path: Path) -> None:
    alone = draw(tmp_path / "alone", "a.png", "b.png")
    assert [one.person for one in find_pictures(alone)] == ["a", "b"]
    named = draw(tmp_path / "named", "0002_c1s1_000451_03_fake.jpg", "0002_c2s1_1.png", "0007_c1.png")
    assert [one.person for one in find_pictures(named)] == ["0002", "0002", "0007"]
    draw(named, "x.png")
    with pytest.raises(UserError, match=r"x\.png does not say whom it shows, as 3 other pictures"):
        find_pictures(named)


def test_variations_name_their_parents(market: Path, real: pa.Table, tmp_path: Path) -> None:
    outside = draw(tmp_path / "outside", "a.png", "b.png")
    one, two = "bounding_box_train/0002_c6s3_000001_04.jpg", market / "bounding_box_train/0007_c1s3_000002_04.jpg"
    source = listed(outside, "path,pid,parent", f"a.png,0002,{one}", f"b.png,market1501/0007,{two}")
    out = import_persons(source, tmp_path / "varied", TOOL, "parent", real)
    table = read_table(out / "table.parquet")
    assert column(table, "pid").tolist() == ["market1501/0002", "market1501/0007"]
    assert column(table, "camera").tolist() == ["market1501/c6", "market1501/c1"]
    assert set(column(table, "origin")) == {"variation"}
    expected = [{picture_sha256(read_picture(path))} for path in (market / one, two)]
    train = real.filter(pa.compute.equal(real["split"], "train"))
    assert parents_of(table, train).sha256.tolist() == expected, "selection finds them"
    joined = pa.concat_tables([train.select(table.column_names), table])
    labels: list[Labels] = ["mixture", "smoothed"]
    assert all(len(strategy(name, 0).classes(joined)) == 3 for name in labels)


def test_size_brings_pictures_to_one_resolution(folder: Path, tmp_path: Path) -> None:
    out = import_persons(folder, tmp_path / "persons", TOOL, size="16x8")
    table = read_table(out / "table.parquet")
    assert {path.suffix for path in paths(table)} == {".png"}
    for path, digest in zip(paths(table), column(table, "sha256"), strict=True):
        rgb = read_picture(path)
        assert rgb.shape == (16, 8, 3) and picture_sha256(rgb) == digest


def test_a_finished_import_is_not_run_again_and_another_is_refused(folder: Path, tmp_path: Path) -> None:
    out = import_persons(folder, tmp_path / "persons", TOOL)
    before = read_json(out / "run.json")
    import_persons(folder, out, TOOL)
    assert read_json(out / "run.json") == before
    (folder / "bob" / "z.png").unlink()
    with pytest.raises(UserError, match="holds a persons run of another configuration"):
        import_persons(folder, out, TOOL)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "holds no pictures"),
        (("anna/1.png", "loose.png"), "loose.png lies outside a person's folder"),
        (("anna/deep/1.png",), "lies outside a person's folder or too deep"),
        (("train/anna/1.png", "query/bob/1.png"), "holds folders of splits"),
        (("anna/1.png", "Anna/1.png"), "two persons of one name, Anna and anna|two persons of one name, anna and Anna"),
    ],
)
def test_folders_that_do_not_say_whose_pictures_they_are(names: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    with pytest.raises(UserError, match=said):
        import_persons(draw(tmp_path / "outside", *names), tmp_path / "persons", TOOL)
    assert not (tmp_path / "persons").exists()


@pytest.mark.parametrize(
    ("lines", "claim", "said"),
    [
        (("path,person", "a.png,1"), "new", "has no column pid"),
        (("path,pid", "a.png,"), "new", "line 2, has no path or no pid"),
        (("path,pid", "a.png,1", "a.png,2"), "new", "a.png twice, of persons 1 and 2"),
        (("path,pid", "gone.png,1"), "new", r"missing|cannot be decoded|damaged picture \(1\)"),
        (("path,pid,parent", "a.png,1,x.jpg"), "new", "the claim is new"),
        (("path,pid", "a.png,1"), "parent", "names no parent"),
        (("path,pid,parent", "a.png,1,x.jpg"), "parent", "x.jpg, the parent of .*, is not among the real pictures"),
        (
            ("path,pid,parent", "a.png,1,query/0001_c1s1_000001_00.jpg"),
            "parent",
            "is a query picture, which nothing may be learned from",
        ),
        (
            ("path,pid,parent", "a.png,7,bounding_box_train/0002_c6s3_000001_04.jpg"),
            "parent",
            "is said to show 7, but its parent .* shows market1501/0002",
        ),
    ],
)
def test_lists_that_cannot_be_followed(
    lines: tuple[str, ...], claim: str, said: str, real: pa.Table, tmp_path: Path
) -> None:
    source = listed(draw(tmp_path / "outside", "a.png"), *lines)
    with pytest.raises(UserError, match=said):
        import_persons(source, tmp_path / "persons", TOOL, claim, real)
    assert not (tmp_path / "persons").exists()


def test_damaged_pictures_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "bob" / "y.png").write_bytes((folder / "bob" / "y.png").read_bytes()[:60])
    (folder / "bob" / "z.png").write_text("no picture")
    with pytest.raises(
        UserError, match=r"nothing was imported: not a picture \(1\): .*z\.png.*damaged picture \(1\): .*y\.png"
    ):
        import_persons(folder, tmp_path / "persons", TOOL)


def test_other_bad_requests_are_refused(folder: Path, market: Path, real: pa.Table, tmp_path: Path) -> None:
    out = tmp_path / "persons"
    with pytest.raises(UserError, match="must name what made the pictures"):
        import_persons(folder, out, " - ")
    with pytest.raises(UserError, match="does not exist"):
        import_persons(tmp_path / "nowhere", out, TOOL)
    with pytest.raises(UserError, match="no real pictures to find parents in"):
        import_persons(folder, out, TOOL, "parent")
    with pytest.raises(UserError, match="not of the form HxW"):
        import_persons(folder, out, TOOL, size="big")
    (folder / "bob" / "copied.jpg").write_bytes((market / "query" / "0001_c1s1_000001_00.jpg").read_bytes())
    with pytest.raises(UserError, match=r"copied\.jpg is the test picture query/0001_c1s1_000001_00\.jpg itself"):
        import_persons(folder, out, TOOL, real=real, size="16x8")
    assert not out.exists()
