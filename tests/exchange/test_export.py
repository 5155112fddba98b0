"""What is exported reads back as what it was, says who is made, and is there whole or not at all."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import ExifTags, Image
from torchvision.datasets import ImageFolder

from synreid.data.decode import picture_sha256, read_picture
from synreid.data.layouts import folders
from synreid.data.scan import open_data
from synreid.data.table import column, from_columns, paths, pick, read_table, rows
from synreid.exchange import layouts
from synreid.exchange.export import export
from synreid.exchange.metadata import VOCABULARY, source_type
from synreid.stage.errors import UserError

TERMS = {"real": None, "artificial": "trainedAlgorithmicMedia", "variation": "compositeWithTrainedAlgorithmicMedia"}


def number(name: str | None) -> int | None:
    """The number that a person's or a camera's name ends in."""
    return None if name is None else int(re.search(r"-?\d+$", name)[0])


def facts(table: pa.Table) -> Counter[tuple[object, ...]]:
    """How many pictures there are of each person, camera, split and junk."""
    names = zip(
        column(table, "pid"), column(table, "camera"), column(table, "split"), column(table, "junk"), strict=True
    )
    return Counter((number(pid), number(camera), split, junk) for pid, camera, split, junk in names)


def test_market_layout_reads_back_with_the_same_identities_and_counts(
    real: pa.Table, made: pa.Table, tmp_path: Path
) -> None:
    out = export(real, made, tmp_path / "out")
    assert facts(open_data(out)) == facts(real), "made pictures are not taken for real ones"
    written = read_table(out / "table.parquet")
    rows = zip(*(column(written, name) for name in ("origin", "person", "camera_number", "split")), strict=True)
    # artificial persons follow behind 1500, under camera 7; variations are under their parent's person and camera
    assert Counter(row for row in rows if row[0] != "real") == {
        **{("artificial", pid, 7, "train"): 2 for pid in (1501, 1502)},
        **{("variation", pid, 1, "train"): 1 for pid in (2, 7, 11)},
    }


def test_real_jpeg_files_keep_their_names_and_bytes(real: pa.Table, made: pa.Table, tmp_path: Path) -> None:
    out = export(real, made, tmp_path / "out")
    for source in paths(real):
        if source.suffix == ".jpg":
            copy = out / source.parent.name / source.name.replace(".jpg.jpg", ".jpg")
            assert copy.read_bytes() == source.read_bytes()
    assert not list(out.rglob("*.png")), "parsers of this layout look for *.jpg alone"


def test_a_picture_that_its_exif_tag_turns_stands_upright_for_other_programs(market: Path, tmp_path: Path) -> None:
    lying = next((market / "query").iterdir())
    tag = Image.Exif()
    tag[ExifTags.Base.Orientation] = 6
    Image.open(lying).rotate(90, expand=True).save(lying, exif=tag, quality=95)
    upright = read_picture(lying)
    out = export(open_data(market), None, tmp_path / "out")
    with Image.open(out / "query" / lying.name) as seen:
        assert seen.size == (16, 32) and seen.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert np.abs(np.asarray(seen).astype(float) - upright).mean() < 4


def test_parsers_of_other_trainers_find_the_numbers_of_the_table(
    real: pa.Table, made: pa.Table, tmp_path: Path
) -> None:
    out = export(real, made, tmp_path / "out")
    table = read_table(out / "table.parquet")
    told = zip(column(table, "path"), column(table, "person"), column(table, "camera_number"), strict=True)
    expected = {path: (int(person), int(camera)) for path, person, camera in told}
    pattern = re.compile(r"([-\d]+)_c(\d)")  # of torchreid and fast-reid
    found = {
        f"{folder}/{path.name}": tuple(map(int, pattern.search(path.name).groups()))
        for folder in ("bounding_box_train", "query", "bounding_box_test")
        for path in (out / folder).glob("*.jpg")
    }
    assert found == expected


@pytest.mark.parametrize("layout", ["market1501", "imagefolder"])
def test_every_picture_says_what_it_is(real: pa.Table, made: pa.Table, tmp_path: Path, layout: str) -> None:
    table = read_table(export(real, made, tmp_path / "out", layout) / "table.parquet")
    for path, origin in zip(paths(table), column(table, "origin"), strict=True):
        with Image.open(path) as picture:
            packet = picture.info.get("xmp")
        term = TERMS[origin]
        assert (source_type(packet) if packet else None) == (VOCABULARY + term if term else None)
        assert path.stem.endswith("_made") == (term is not None)


def test_table_says_where_each_picture_came_from(real: pa.Table, made: pa.Table, tmp_path: Path) -> None:
    before = {
        digest: path for part in (real, made) for digest, path in zip(column(part, "sha256"), paths(part), strict=True)
    }
    table = read_table(export(real, made, tmp_path / "out", "imagefolder") / "table.parquet")
    assert len(table) == len(real) + len(made) - 1, "an image folder has no place for junk"
    told = zip(
        paths(table), column(table, "source"), column(table, "source_sha256"), column(table, "sha256"), strict=True
    )
    for path, source, source_sha256, sha256 in told:
        assert str(before[source_sha256]).endswith(source)
        assert picture_sha256(read_picture(path)) == sha256 == source_sha256, "neither JPEG nor PNG is coded anew"
    parents = {one["sha256"] for listed in column(table, "parents") for one in listed}
    assert parents <= set(column(table, "source_sha256")), "parents are found by what they were"


def test_what_market_layout_codes_anew_looks_the_same(artificial: Path, tmp_path: Path) -> None:
    made = read_table(artificial / "table.parquet")
    table = read_table(export(None, made, tmp_path / "out") / "table.parquet")
    for before, after, digest in zip(paths(made), paths(table), column(table, "sha256"), strict=True):
        rgb = read_picture(after)
        assert picture_sha256(rgb) == digest
        assert np.abs(rgb.astype(int) - read_picture(before)).mean() < 3


def test_image_folder_is_read_by_torchvision_and_by_us(real: pa.Table, made: pa.Table, tmp_path: Path) -> None:
    out = export(real, made, tmp_path / "out", "imagefolder")
    train = ImageFolder(out / "train")
    assert train.classes == ["0002", "0007", "0011", "made-000000", "made-000002"]
    assert np.bincount(train.targets).tolist() == [5, 5, 5, 2, 2]
    found = Counter((number(one.pid), number(one.camera), one.split, False) for one in folders.read(out).entries)
    test = pick(real, split=("query", "gallery"), junk=False)
    assert {fact: count for fact, count in found.items() if fact[2] != "train"} == facts(test)
    assert found.total() == len(real) - 1, "without junk, and without made pictures"


def test_webdataset_gives_pictures_with_what_is_known(
    real: pa.Table, made: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layouts, "SHARD", 8)
    out = export(real, made, tmp_path / "out", "webdataset")
    assert len(list(out.glob("train-*.tar"))) == 3  # 12 real and 7 made pictures
    shards = [str(path) for path in sorted(out.glob("*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
    table = read_table(out / "table.parquet")
    by_digest = dict(zip(column(table, "sha256"), column(table, "path"), strict=True))
    assert len(samples) == len(table) == len(real) + len(made)
    for sample in samples:
        known = sample["json"]
        suffix = "png" if "png" in sample else "jpg"
        assert picture_sha256(sample[suffix]) == known["sha256"]
        shard = Path(sample["__url__"]).name
        assert by_digest[known["sha256"]] == f"{shard}/{sample['__key__']}.{suffix}"
        assert shard.startswith(f"{known['split']}-")
        assert sample["__key__"].endswith("_made") == (known["origin"] != "real")
    told = Counter((known["person"], known["split"]) for known in (sample["json"] for sample in samples))
    assert told[1501, "train"] == told[1502, "train"] == 2
    assert [one["role"] for one in next(s["json"] for s in samples if s["json"]["claim"] == "parent")["parents"]]


@pytest.mark.parametrize("layout", ["market1501", "imagefolder", "webdataset"])
def test_twice_gives_the_same_bytes(real: pa.Table, made: pa.Table, tmp_path: Path, layout: str, files) -> None:
    one, two = (files(export(real, made, tmp_path / name, layout, "smoothed")) for name in ("one", "two"))
    assert one == two


def targets(folder: Path) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
    stored = pq.read_table(folder / "labels.parquet")
    values = {path: np.array(target) for path, target in zip(*stored.to_pydict().values(), strict=True)}
    with open(folder / "classes.csv", newline="") as file:
        return values, list(csv.DictReader(file))


@pytest.mark.parametrize("labels", ["new-identity", "smoothed", "lsro", "extra-class", "mixture"])
def test_labels_are_those_of_the_strategy(real: pa.Table, made: pa.Table, tmp_path: Path, labels: str) -> None:
    out = export(real, made, tmp_path / "out", labels=labels)
    found, classes = targets(out)
    table = pick(read_table(out / "table.parquet"), split="train")
    assert set(found) == set(column(table, "path"))
    persons = [2, 7, 11] if labels in ("lsro", "extra-class") else [1501, 1502, 2, 7, 11]  # sorted by pid
    last = [""] if labels == "extra-class" else []
    assert [row["person"] for row in classes] == [str(person) for person in persons] + last
    count = len(classes)
    mixed = {2: {2: 1.0}, 7: {7: 0.75, 11: 0.25}, 11: {11: 1.0}}  # three layers of four are the person's own
    columns = (column(table, name) for name in ("path", "person", "origin"))
    for path, person, origin in zip(*columns, strict=True):
        expected = np.zeros(count)
        if labels == "lsro" and origin != "real":
            expected += 1 / 3
        elif labels == "extra-class" and origin != "real":
            expected[-1] = 1
        elif labels == "mixture" and origin == "variation":
            for other, share in mixed[person].items():
                expected[persons.index(other)] = share
        else:
            expected[persons.index(person)] = 1
            if labels == "smoothed" and origin != "real":
                expected = 0.9 * expected + 0.1 / count
        np.testing.assert_allclose(found[path], expected, atol=1e-6)


def test_readme_says_what_is_real_and_what_is_made(real: pa.Table, made: pa.Table, tmp_path: Path) -> None:
    text = " ".join((export(real, made, tmp_path / "out") / "README.txt").read_text().split())
    assert "REAL: 32 pictures, taken from Market-1501 (train 12, query 6, gallery 14)" in text
    assert "4 pictures of 2 persons who are meant not to exist (train 4), made by SynReID's generator abcd (4)" in text
    assert "VARIATIONS OF REAL PERSONS: 3 pictures of 3 persons" in text
    assert "largest person is 1502, the largest camera 7" in text and "raise the two numbers" in text
    assert "most are 32x16, most made ones 16x8" in text
    alone = " ".join((export(real, None, tmp_path / "real") / "README.txt").read_text().split())
    assert "MADE" not in alone and "XMP" not in alone and "raise the two numbers" not in alone


def test_a_failed_export_leaves_nothing(
    real: pa.Table, made: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = paths(made)[-1]
    Image.fromarray(np.zeros((16, 8, 3), np.uint8)).save(first)
    kept = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="has changed since its table was made"):
        export(real, made, tmp_path / "out")
    first.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        export(real, made, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_what_cannot_be_exported_is_refused(real: pa.Table, made: pa.Table, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="nothing to export"):
        export(None, None, out)
    with pytest.raises(UserError, match="no made pictures to add"):
        export(real, made.slice(0, 0), out)
    with pytest.raises(UserError, match="layout 'coco' does not exist"):
        export(real, made, out, "coco")
    with pytest.raises(UserError, match="labels slsr are not fixed"):
        export(real, made, out, labels="slsr")
    with pytest.raises(UserError, match="no real training pictures"):
        export(None, rows(made, [0, 1]), out, labels="lsro")
    with pytest.raises(UserError, match="exists and is not an empty folder"):
        export(real, made, tmp_path / "persons")
    assert not out.exists()


def test_pictures_without_what_names_need_are_refused(artificial: Path, real: pa.Table, tmp_path: Path) -> None:
    def changed(**values: object) -> pa.Table:
        kept = {name: real.column(name) for name in ("path", "sha256", "pid", "camera", "split", "junk")}
        return from_columns(root=column(real, "root").tolist(), **(kept | values))

    with pytest.raises(UserError, match="have no camera"):
        export(changed(camera=None), None, tmp_path / "out")
    with pytest.raises(UserError, match="have no identity"):
        export(changed(pid=None), None, tmp_path / "out")
    with pytest.raises(UserError, match="have no split"):
        export(changed(split=None), None, tmp_path / "out")
    same = changed(pid=["made/000000"] * len(real))
    with pytest.raises(UserError, match="made/000000 is the name of a real and of an artificial person"):
        export(same, read_table(artificial / "table.parquet"), tmp_path / "out")
    twins = changed(pid=["m/Anna" if k % 2 else "m/anna" for k in range(len(real))])
    with pytest.raises(UserError, match="would share the folder"):
        export(twins, None, tmp_path / "out", "imagefolder")
    assert not list(tmp_path.glob("*out*"))
