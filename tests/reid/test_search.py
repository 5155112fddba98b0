"""Search: the same picture comes first, lists are right, and another model or no picture is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synreid.data.decode import read_picture
from synreid.data.sheets import BLUE, GREEN, RED
from synreid.data.table import column, paths, pick
from synreid.quality.neighbours import unit_length
from synreid.reid.embed import embed_table, load_model
from synreid.reid.gallery import gallery_table
from synreid.reid.index import index_gallery
from synreid.reid.search import as_text, embed_files, ranked_sheet, search, write_ranked
from synreid.reid.train import train
from synreid.stage.errors import UserError
from synreid.stage.files import read_json


@pytest.fixture(scope="module")
def model(train_table, small, tmp_path_factory):
    return train(train_table, None, tmp_path_factory.mktemp("search") / "m", replace(small, steps=3, through="20x10"))


@pytest.fixture(scope="module")
def index(model, tiny_street, tmp_path_factory):
    asked = {"gallery": tiny_street}
    return index_gallery(model, gallery_table(tiny_street), tmp_path_factory.mktemp("search") / "i", asked=asked)


@pytest.fixture(scope="module")
def queries(tiny_street) -> list[Path]:
    return sorted((tiny_street / "query").iterdir())


def test_files_are_embedded_as_a_tables_pictures_are(model, tiny_street) -> None:
    table = gallery_table(tiny_street).slice(0, 6)
    loaded = load_model(model)
    np.testing.assert_allclose(embed_files(loaded, paths(table)), embed_table(loaded, table), rtol=1e-4, atol=1e-5)


def test_lists_are_those_of_all_cosines_sorted(index, model, tiny_street, queries) -> None:
    table, loaded = gallery_table(tiny_street), load_model(model)
    left, right = (unit_length(embed_files(loaded, files)) for files in (queries, paths(table)))
    entries = search(index, tiny_street / "query", top=5)
    assert [entry["query"] for entry in entries] == [str(path) for path in queries]
    pids, cameras = column(table, "pid"), column(table, "camera")
    for entry, feature in zip(entries, left, strict=True):
        cosines = right @ feature
        order = np.argsort(-cosines, kind="stable")[:5]
        assert [hit["path"] for hit in entry["hits"]] == [str(paths(table)[row]) for row in order]
        assert [hit["rank"] for hit in entry["hits"]] == [1, 2, 3, 4, 5]
        np.testing.assert_allclose([hit["similarity"] for hit in entry["hits"]], cosines[order], atol=1e-5)
        number = int(Path(entry["query"]).name.split("_")[0])
        assert int(entry["pid"].rpartition("/")[2]) == number
        for hit, row in zip(entry["hits"], order, strict=True):
            assert (hit["pid"], hit["camera"], hit["right"]) == (pids[row], cameras[row], pids[row] == entry["pid"])


def test_a_picture_from_elsewhere_has_no_identity_and_finds_itself_first(index, tiny_street, tmp_path) -> None:
    place = paths(gallery_table(tiny_street))[3]
    copy = shutil.copyfile(place, tmp_path / "unknown.png")
    (entry,) = search(index, copy, top=2)
    assert entry["pid"] is None and entry["hits"][0]["right"] is None
    assert entry["hits"][0]["path"] == str(place)
    assert entry["hits"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert "identity not known" in as_text([entry])


def test_frames_say_right_wrong_and_unknown(tmp_path) -> None:
    Image.new("RGB", (20, 50), (90, 90, 90)).save(tmp_path / "p.png")
    path = str(tmp_path / "p.png")
    hits = [
        {"rank": k, "path": path, "pid": f"s/{k}", "camera": None, "similarity": 0.5, "right": right}
        for k, right in enumerate((True, False, None), 1)
    ]
    page = ranked_sheet([{"query": path, "pid": "s/1", "camera": "s/c1", "hits": hits}])
    counts = [int((page == colour).all(axis=2).sum()) for colour in (BLUE, GREEN, RED)]
    border = (128 + 6) * (64 + 6) - 128 * 64
    assert counts == [border, border, border]


def test_what_is_written_is_what_was_found(index, tiny_street, tmp_path, monkeypatch, capsys) -> None:
    entries = search(index, tiny_street / "query", top=3)
    monkeypatch.setattr("synreid.reid.search.SHOWN_QUERIES", 2)
    write_ranked(entries, tmp_path / "r.png")
    assert read_json(tmp_path / "r.json") == entries
    height, width = read_picture(tmp_path / "r.png").shape[:2]
    assert 2 * 128 < height < 3 * 128 + 60 and width > 4 * 64
    said = f"{tmp_path / 'r.png'} shows 2 of {len(entries)} lists; {tmp_path / 'r.json'} holds them all."
    assert capsys.readouterr().err.splitlines()[-1] == said
    text = as_text(entries).splitlines()
    assert len(text) == 4 * len(entries)
    hit = entries[0]["hits"][0]
    assert text[1].split() == ["1", f"{hit['similarity']:.4f}", hit["pid"], hit["camera"], hit["path"]]
    with pytest.raises(UserError, match=r"r\.jpg does not end in \.png"):
        write_ranked(entries, tmp_path / "r.jpg")


def test_another_model_is_refused_and_a_moved_one_is_named(index, model, train_table, small, queries, tmp_path) -> None:
    other = train(train_table, None, tmp_path / "other", replace(small, steps=2, through="20x10"))
    with pytest.raises(UserError, match="other is another model than"):
        search(index, queries[0], model=other)
    moved = shutil.copytree(model, tmp_path / "moved")
    assert search(index, queries[0], model=moved) == search(index, queries[0])
    shutil.copyfile(other / "model.safetensors", moved / "model.safetensors")
    with pytest.raises(UserError, match="moved is another model than"):
        search(index, queries[0], model=moved)
    with pytest.raises(UserError, match=r"gone, the model of .*, is not there; say by --model"):
        search(index, queries[0], model=tmp_path / "gone")


def test_what_cannot_be_asked(index, queries, tmp_path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.jpg is not a .* picture"):
        search(index, tmp_path / "text.jpg")
    with pytest.raises(UserError, match=r"none\.jpg does not exist"):
        search(index, tmp_path / "none.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no pictures"):
        search(index, tmp_path / "empty")
    with pytest.raises(UserError, match=r"top is 1000, but .* ask for 1 to"):
        search(index, queries[0], top=1000)


def test_a_gallery_of_plain_pictures_is_searched(model, tiny_street, tmp_path) -> None:
    table = gallery_table(tiny_street / "bounding_box_test", plain=True)
    folder = index_gallery(model, table, tmp_path / "i", asked={"gallery": tiny_street / "bounding_box_test"})
    (entry,) = search(folder, paths(table)[0], top=2)
    assert entry["hits"][0]["path"] == str(paths(table)[0])
    assert entry["pid"] is None and entry["hits"][1]["right"] is None


def test_a_gallery_picture_that_has_gone_is_named(index, queries, tmp_path) -> None:
    entries = search(index, queries[0], top=1)
    entries[0]["hits"][0]["path"] = str(tmp_path / "gone.png")
    with pytest.raises(UserError, match=r"gone\.png does not exist"):
        ranked_sheet(entries)


def test_persons_of_another_split_are_known_too(index, tiny_street) -> None:
    table = pick(gallery_table(tiny_street, "all"), split="train")
    (entry,) = search(index, paths(table)[0], top=1)
    assert entry["pid"] == column(table, "pid")[0]
