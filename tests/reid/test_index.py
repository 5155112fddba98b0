"""Indexes of galleries: what is found is what comparing all finds; what does not belong together is refused."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from synreid.data.table import column, paths, pick, read_table
from synreid.reid import index as module
from synreid.reid.embed import embed_files, embed_table, load_model
from synreid.reid.gallery import gallery_table
from synreid.reid.index import FEATURES, as_text, index_gallery, open_index
from synreid.reid.index_options import IndexOptions
from synreid.reid.train import train
from synreid.reid.vectors import Clusters, build_clusters, nearest_exact, read_clusters, recall, write_clusters
from synreid.stage.errors import UserError
from synreid.stage.files import read_json, write_json


@pytest.fixture(scope="session")
def model(persons, small, tmp_path_factory):
    options = replace(small, steps=3, through="20x10")
    return train(pick(persons, split="train"), None, tmp_path_factory.mktemp("index") / "m", options)


@pytest.fixture(scope="session")
def index(model, persons, tmp_path_factory):
    return index_gallery(model, pick(persons, split="gallery"), tmp_path_factory.mktemp("index") / "i")


def clustered(count: int, width: int = 16, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    vectors = draw.standard_normal((count // 10, width)).repeat(10, axis=0) + 0.3 * draw.standard_normal((count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_exact_search_finds_what_sorting_all_products_finds(monkeypatch) -> None:
    draw = np.random.default_rng(0)
    vectors = draw.integers(-3, 4, (60, 4)).astype(np.float32)  # whole numbers: products tie often
    queries = draw.integers(-3, 4, (9, 4)).astype(np.float32)
    monkeypatch.setattr("synreid.reid.vectors.BLOCK_BYTES", 4 * 60 * 2)  # two queries at a time
    products, rows = nearest_exact(vectors, queries, 7)
    for query, found, values in zip(queries, rows, products, strict=True):
        expected = sorted(range(60), key=lambda row: (-float(query @ vectors[row]), row))[:7]
        assert found.tolist() == expected
        assert values.tolist() == [float(query @ vectors[row]) for row in expected]


def test_recall_counts_who_is_as_near_as_the_last_that_should_be_found() -> None:
    exact = np.array([[0.9, 0.8, 0.7, 0.6], [0.9, 0.9, 0.9, 0.9]])
    found = np.array([[0.9, 0.7, 0.6, 0.5], [0.9, 0.9, 0.9, -np.inf]])
    assert recall(found, exact) == 6 / 8


def test_all_clusters_give_the_exact_answer(tmp_path) -> None:
    pytest.importorskip("faiss")
    vectors, queries = clustered(400), clustered(30, seed=1)
    clusters, reached = build_clusters(vectors, IndexOptions(recall=1.0, sample=400))
    write_clusters(clusters, tmp_path / "c.faiss")
    read = read_clusters(tmp_path / "c.faiss")
    assert reached == 1.0 and read.probes == clusters.probes
    read.index.nprobe = read.count
    for ours, theirs in zip(read.nearest(queries, 5), nearest_exact(vectors, queries, 5), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_probes_are_doubled_until_the_recall_is_reached() -> None:
    pytest.importorskip("faiss")
    vectors = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)  # no clusters: hard
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    few, low = build_clusters(vectors, IndexOptions(recall=0.01, sample=300))
    many, high = build_clusters(vectors, IndexOptions(recall=0.95, sample=300))
    assert few.probes == 8 < many.probes
    assert low < 0.95 <= high
    others = [nearest_exact(np.delete(vectors, row, axis=0), vectors[row : row + 1], 10)[0] for row in range(50)]
    found = [np.sort(many.nearest(vectors[row : row + 1], 11)[0][0])[-2::-1][:10] for row in range(50)]
    assert abs(recall(np.stack(found), np.concatenate(others)) - high) < 0.05


def test_where_the_nearest_clusters_hold_too_few_all_are_looked_into() -> None:
    pytest.importorskip("faiss")
    vectors = clustered(400)
    clusters, _ = build_clusters(vectors, IndexOptions(recall=0.01))
    clusters.index.nprobe = 1
    for ours, theirs in zip(clusters.nearest(vectors[:3], 400), nearest_exact(vectors, vectors[:3], 400), strict=True):
        assert (np.sort(ours) == np.sort(theirs)).all() or np.allclose(ours, theirs, atol=1e-6)
    assert clusters.probes == 1


def test_the_index_holds_the_models_features_at_unit_length(index, model, persons) -> None:
    opened, gallery = open_index(index), pick(persons, split="gallery")
    raw = embed_table(load_model(model), gallery)
    np.testing.assert_allclose(opened.features, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-6)
    assert column(opened.table, "path").tolist() == column(gallery, "path").tolist()
    assert opened.run["exact"] and opened.clusters is None
    assert as_text(index) == "16 pictures, 4 persons; every one is compared"


def test_a_large_gallery_is_searched_by_clusters_with_their_recall(model, persons, tmp_path) -> None:
    pytest.importorskip("faiss")
    table = pick(persons, split="train")
    options = IndexOptions(exact_limit=20, recall=1.0)
    folder = index_gallery(model, table, tmp_path / "i", options)
    run, opened = read_json(folder / "run.json"), open_index(folder)
    assert run["recall_at_10"] == 1.0 and not run["exact"]
    assert f"{run['probes']} of {run['clusters']} clusters, recall at 10 1.0000" in as_text(folder)
    similarities, rows = opened.search(opened.features[:4], 1)
    np.testing.assert_allclose(similarities, 1, atol=1e-5)
    assert rows[:, 0].tolist() == [0, 1, 2, 3]


def test_the_same_request_is_not_embedded_again(index, model, persons, monkeypatch) -> None:
    monkeypatch.setattr(module, "embed_table", None)
    assert index_gallery(model, pick(persons, split="gallery"), index) == index
    with pytest.raises(UserError, match="exact_limit was 100000 and is now 50"):
        index_gallery(model, pick(persons, split="gallery"), index, IndexOptions(exact_limit=50))


def test_an_index_that_was_cut_off_goes_on_from_its_last_part(index, model, persons, tmp_path, monkeypatch) -> None:
    table, sizes = pick(persons, split="gallery"), []

    def embedded(loaded, files):
        sizes.append(len(files))
        if len(sizes) == 3:
            raise KeyboardInterrupt
        return embed_files(loaded, files)

    monkeypatch.setattr(module, "PART", 6)
    monkeypatch.setattr(module, "embed_files", embedded)
    with pytest.raises(KeyboardInterrupt):
        index_gallery(model, table, tmp_path / "i")
    folder = index_gallery(model, table, tmp_path / "i")
    assert sizes == [6, 6, 4, 4]
    np.testing.assert_allclose(open_index(folder).features, open_index(index).features, atol=1e-5)
    assert sorted(path.name for path in folder.glob("features*")) == [FEATURES]


def test_an_index_follows_a_gallery_that_was_moved(model, tmp_path) -> None:
    rng = np.random.default_rng(0)
    for name in ("anna/c1.png", "bert/c2.png"):
        (tmp_path / "then" / "set" / name).parent.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 255, (32, 16, 3), np.uint8)).save(tmp_path / "then" / "set" / name)
    table = gallery_table(tmp_path / "then" / "set")
    assert len(table) == 2, "a folder without splits is searched whole"
    out = index_gallery(model, table, tmp_path / "index", asked={"gallery": str(tmp_path / "then" / "set")})
    (tmp_path / "then").rename(tmp_path / "now")
    index_gallery(model, gallery_table(tmp_path / "now" / "set"), out, asked={"gallery": str(tmp_path / "now" / "set")})
    opened = open_index(out)
    assert all(path.exists() for path in paths(opened.table))
    assert opened.run["config"]["gallery"] == str(tmp_path / "now" / "set")


def test_any_folder_of_pictures_is_a_gallery_without_identities(persons, tmp_path) -> None:
    files = [("a.png", 0), ("deep/er/b.PNG", 1), ("deep/c.jpg", 2), (".hidden/d.png", 3)]
    for name, grey in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 16), (grey, grey, grey)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    table = gallery_table(tmp_path, plain=True)
    assert column(table, "path").tolist() == ["a.png", "deep/c.jpg", "deep/er/b.PNG"]
    assert set(column(table, "pid")) == {None}
    shutil.rmtree(tmp_path / "deep")  # which alone would be a person's folder
    assert column(gallery_table(tmp_path), "path").tolist() == ["a.png"]


def test_a_data_sets_gallery_or_all_of_it(tiny_street) -> None:
    splits = Counter(column(gallery_table(tiny_street, "all"), "split").tolist())
    assert set(splits) == {"train", "query", "gallery"}
    gallery = gallery_table(tiny_street)
    assert set(column(gallery, "split")) == {"gallery"} and len(gallery) == splits["gallery"]


def test_galleries_that_cannot_be_searched_are_refused(model, persons, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no pictures"):
        gallery_table(tmp_path / "empty")
    with pytest.raises(UserError, match="empty holds no pictures, nor do the folders in it"):
        gallery_table(tmp_path / "empty", plain=True)
    with pytest.raises(UserError, match="the gallery holds no pictures"):
        index_gallery(model, persons.slice(0, 0), tmp_path / "i")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.jpg").write_bytes(b"text")
    said = r"bad cannot be searched: not a picture \(1\): named as a picture, but none; .*x\.jpg"
    with pytest.raises(UserError, match=said):
        gallery_table(tmp_path / "bad")


def test_features_that_are_no_numbers_are_refused(model, persons, tmp_path, monkeypatch) -> None:
    broken = np.ones((16, 4), dtype=np.float32)
    broken[3, 2] = np.nan
    monkeypatch.setattr(module, "embed_table", lambda *_: broken)
    with pytest.raises(UserError, match=r"not finite for 1 pictures \(the first is gallery_5_3\.png\)"):
        index_gallery(model, pick(persons, split="gallery"), tmp_path / "i")
    assert not (tmp_path / "i" / "run.json").exists()


def test_without_faiss_a_large_gallery_is_refused_before_it_is_embedded(model, persons, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(module, "embed_table", None)
    with pytest.raises(UserError, match=r"pip install 'synreid\[search\]'"):
        index_gallery(model, pick(persons, split="gallery"), tmp_path / "i", IndexOptions(exact_limit=5))


def test_a_damaged_index_is_named(index, persons, tmp_path) -> None:
    with pytest.raises(UserError, match="not the folder of a reid-index run"):
        open_index(tmp_path)

    def copy(name):
        return shutil.copytree(index, tmp_path / name)

    whole = (index / FEATURES).read_bytes()
    cut = copy("cut")
    (cut / FEATURES).write_bytes(whole[:-100])
    with pytest.raises(UserError, match=r"features\.npy has 1,052 of its 1,152 bytes"):
        open_index(cut)
    (cut / FEATURES).unlink()
    with pytest.raises(UserError, match=r"features\.npy has 0 of its 1,152 bytes"):
        open_index(cut)
    fewer = copy("fewer")
    np.save(fewer / FEATURES, np.load(index / FEATURES).reshape(8, 32))  # as many bytes
    with pytest.raises(UserError, match=r"float32 \(8, 32\), but table.parquet has 16 rows"):
        open_index(fewer)
    head = copy("head")
    (head / FEATURES).write_bytes(b"\0" * len(whole))
    with pytest.raises(UserError, match=r"features\.npy is damaged"):
        open_index(head)
    nan = copy("nan")
    (nan / FEATURES).write_bytes(whole[:-4] + np.float32(np.nan).tobytes())
    with pytest.raises(UserError, match=r"features\.npy is damaged: the product of vector 15 and query 0 is not"):
        open_index(nan).search(np.ones((1, 16), dtype=np.float32), 3)
    assert len(read_table(nan / "table.parquet")) == 16


@pytest.mark.parametrize(
    ("part", "value"), [("config", {}), ("config", {"model": "m", "gallery": 3}), ("inputs", {"model": None})]
)
def test_a_record_that_names_no_model_or_gallery_is_refused(part, value, index, tmp_path) -> None:
    folder = shutil.copytree(index, tmp_path / "i")
    write_json(folder / "run.json", read_json(folder / "run.json") | {part: value})
    with pytest.raises(UserError, match=r"run\.json is damaged \(what it was made from\)"):
        open_index(folder)


def test_clusters_of_another_gallery_are_refused(model, persons, tmp_path) -> None:
    pytest.importorskip("faiss")
    parts = [pick(persons, split=split) for split in ("gallery", "query")]
    folders = [index_gallery(model, part, tmp_path / str(len(part)), IndexOptions(exact_limit=5)) for part in parts]
    run, path = read_json(folders[0] / "run.json"), folders[0] / "clusters.faiss"
    shutil.copyfile(folders[1] / "clusters.faiss", path)
    run["bytes"]["clusters.faiss"] = path.stat().st_size  # so that it is not refused for its size
    write_json(folders[0] / "run.json", run)
    with pytest.raises(UserError, match=r"clusters\.faiss does not belong to features\.npy"):
        open_index(folders[0])
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(UserError, match=r"clusters\.faiss is not readable as an index of faiss"):
        open_index(folders[0])


def test_more_than_the_gallery_holds_is_refused(index) -> None:
    opened = open_index(index)
    for top in (0, 17):
        with pytest.raises(UserError, match=f"top is {top}, but .* holds 16 pictures; ask for 1 to 16"):
            opened.search(opened.features[:1], top)


@pytest.mark.parametrize("wrong", [{"exact_limit": 0}, {"sample": 0}, {"recall": 0.0}, {"recall": 1.1}, {"seed": -1}])
def test_options_that_no_index_can_be_built_with(wrong) -> None:
    with pytest.raises(UserError, match=f"index option {next(iter(wrong))} is"):
        IndexOptions(**wrong)


def test_clusters_say_how_many_and_how_wide() -> None:
    pytest.importorskip("faiss")
    clusters, _ = build_clusters(clustered(100), IndexOptions())
    assert isinstance(clusters, Clusters)
    assert (len(clusters), clusters.width, clusters.count) == (100, 16, 40)


def test_a_damaged_part_of_a_cut_off_index_is_named(model, persons, tmp_path, monkeypatch) -> None:
    def cut(*args: object) -> None:
        raise KeyboardInterrupt

    gallery = pick(persons, split="gallery")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "write_table", cut)
        index_gallery(model, gallery, tmp_path / "i")
    (part,) = (tmp_path / "i").glob("features-*.npy")
    for damaged in (np.load(part)[1:], np.load(part).astype(np.float64), np.load(part)[0]):
        np.save(part, damaged)
        with pytest.raises(UserError, match=r"features-000000000\.npy is damaged .* remove it and run"):
            index_gallery(model, gallery, tmp_path / "i")
