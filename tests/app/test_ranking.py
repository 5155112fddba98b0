"""The page's ranked lists are those of `reid search`; what is handed in is checked first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synreid.app import ranking
from synreid.app.folder import find_material
from synreid.app.ranking import Searcher, checked_upload, examples
from synreid.data.decode import read_picture
from synreid.reid.gallery import gallery_table
from synreid.reid.index import index_gallery
from synreid.reid.search import search
from synreid.stage.errors import UserError

MODEL, GALLERY = "real pictures, seed 0", "gallery of street"


@pytest.fixture(scope="module")
def index(made_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, table = made_study / "reid" / "real" / "0", gallery_table(made_study / "street")
    return index_gallery(model, table, tmp_path_factory.mktemp("index") / "i")


@pytest.fixture
def query(made_study: Path) -> Path:
    return sorted((made_study / "street" / "query").iterdir())[0]


def test_list_is_that_of_reid_search(made_study: Path, index: Path, query: Path, tmp_path: Path) -> None:
    searcher = Searcher(find_material(made_study), tmp_path)
    wanted = search(index, query, top=7)[0]["hits"]
    found = searcher.search(MODEL, GALLERY, query, 7)
    assert [(hit.rank, hit.pid, hit.camera) for hit in found] == [(h["rank"], h["pid"], h["camera"]) for h in wanted]
    np.testing.assert_allclose([h.similarity for h in found], [h["similarity"] for h in wanted], atol=1e-5)
    for hit, entry in zip(found, wanted, strict=True):
        assert hit.picture is not None and (hit.picture == read_picture(Path(entry["path"]))).all()
    assert len(searcher.search(MODEL, GALLERY, query, 10_000)) == len(gallery_table(made_study / "street"))


def test_real_pictures_are_ranked_but_not_given_out(copied: Callable[..., Path], query: Path, tmp_path: Path) -> None:
    study = copied(real=True)
    for show_real in (False, True):
        material = find_material(study, study / "street", show_real)
        hits = Searcher(material, tmp_path / str(show_real)).search(MODEL, GALLERY, query, 3)
        assert [hit.picture is not None for hit in hits] == [show_real] * 3
        assert all(hit.pid for hit in hits)
    hidden = examples(find_material(study, study / "street"))
    assert hidden and all("persons" in path.parts for path in hidden)


def test_ready_index_is_searched_by_its_own_model_only(
    made_study: Path, index: Path, query: Path, tmp_path: Path, copied: Callable[..., Path]
) -> None:
    material = find_material(index)
    (model,), (gallery,) = material.models, material.galleries
    hits = Searcher(material, tmp_path).search(model, gallery, query, 2)
    assert [hit.picture for hit in hits] == [None, None]
    assert not list(tmp_path.glob("index-*"))
    other = copied() / "reid" / "real" / "0"
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    material.models[model] = other
    with pytest.raises(UserError, match="was not made with the model"):
        Searcher(material, tmp_path).search(model, gallery, query, 2)


def test_unknown_gallery_is_one_sentence(made_study: Path, query: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose a model and a gallery"):
        Searcher(find_material(made_study), tmp_path).search(MODEL, "/etc", query, 2)


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    Image.new("RGB", (8, 16), (10, 20, 30)).save(folder / "person.png")
    (folder / "words.jpg").write_text("no picture", encoding="utf-8")
    noise = np.random.default_rng(0).integers(0, 256, (64, 32, 3), np.uint8)
    Image.fromarray(noise).save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:2000])
    return folder


def test_upload_is_decoded(uploads: Path) -> None:
    assert checked_upload(uploads / "person.png", uploads).shape == (16, 8, 3)


@pytest.mark.parametrize(("name", "why"), [("words.jpg", "is not a picture"), ("cut.png", "is damaged")])
def test_bad_upload_is_one_sentence_without_our_folder(uploads: Path, name: str, why: str) -> None:
    with pytest.raises(UserError, match=f"^{name} {why}") as refused:
        checked_upload(uploads / name, uploads)
    assert str(uploads) not in str(refused.value)


def test_path_is_refused(uploads: Path, tmp_path: Path) -> None:
    outside = tmp_path / "other.png"
    Image.new("RGB", (8, 16)).save(outside)
    (uploads / "link.png").symlink_to(outside)
    for path in (outside, uploads / ".." / "other.png", uploads / "link.png"):
        with pytest.raises(UserError, match="A path is not a picture"):
            checked_upload(path, uploads)
    with pytest.raises(UserError, match="Choose a picture"):
        checked_upload(None, uploads)


def test_too_large_is_refused_before_it_is_decoded(uploads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "MAX_BYTES", 10)
    monkeypatch.setattr(ranking, "read_picture", lambda path: pytest.fail("decoded"))
    with pytest.raises(UserError, match="more than"):
        checked_upload(uploads / "person.png", uploads)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused(uploads: Path) -> None:
    Image.new("1", (10_000, 10_000)).save(uploads / "bomb.png")
    with pytest.raises(UserError, match=r"bomb\.png has too many pixels"):
        checked_upload(uploads / "bomb.png", uploads)
