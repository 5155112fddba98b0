"""What a folder is taken for, whose pictures are hidden, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from synreid.app.folder import find_material
from synreid.app.ranking import examples
from synreid.report.facts import is_drawn
from synreid.report.folder import read_study
from synreid.stage.errors import UserError
from synreid.stage.files import read_json, write_json


def test_study_has_all_parts(made_study: Path) -> None:
    found = find_material(made_study)
    assert list(found.generators) == ["gan"] and list(found.selections) == ["select"]
    assert list(found.models) == ["real pictures, seed 0"]
    assert list(found.galleries) == ["gallery of street", "kept by select"]
    assert found.study is not None and found.report == made_study / "report.html"
    assert found.drawn and all(gallery.visible.all() for gallery in found.galleries.values())


@pytest.mark.parametrize("stage", ["gan", "select", "persons"])
def test_one_stage_shows_its_part(made_study: Path, stage: str) -> None:
    found = find_material(made_study / stage)
    assert bool(found.generators) == (stage == "gan") and bool(found.selections) == (stage != "gan")
    assert not found.models and found.study is None and not found.drawn


def test_model_searches_in_data(made_study: Path, tiny_street: Path) -> None:
    model = made_study / "reid" / "real" / "0"
    found = find_material(model, tiny_street)
    assert list(found.models) == ["0"] and list(found.galleries) == ["gallery of street"]
    assert not found.galleries["gallery of street"].visible.any()  # nobody says that these are drawn
    assert find_material(model, tiny_street, show_real=True).galleries["gallery of street"].visible.all()
    with pytest.raises(UserError, match="name pictures by --data"):
        find_material(model)


def test_shipped_generator_is_found_by_name() -> None:
    found = find_material(Path("street"))
    assert list(found.generators) == ["street"] and found.drawn


def test_pictures_of_real_persons_are_hidden(copied: Callable[..., Path], made_study: Path) -> None:
    study = copied(real=True)
    found = find_material(study, study / "street")
    assert not found.drawn
    assert {name: gallery.visible.all() for name, gallery in found.galleries.items()} == {
        "gallery of street": False,
        "kept by select": True,
    }
    varied = pa.table({"origin": ["artificial", "variation", "real"]})
    assert found.may_be_shown(varied).tolist() == [True, False, False]
    assert find_material(made_study).may_be_shown(varied).all()


def test_generator_from_elsewhere_may_have_seen_real_persons(copied: Callable[..., Path]) -> None:
    study = copied()
    (study / "config.yaml").write_text("data: null\ngan: /somewhere\n", encoding="utf-8")
    assert not find_material(study).drawn


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(("start", "drawn"), [(None, True), ("street", True), ("/runs/market-gan", False)])
def test_generator_that_began_from_others_may_show_real_persons(
    copied: Callable[..., Path], start: str | None, drawn: bool, finished: bool
) -> None:
    study = copied()
    if finished:
        write_json(study / "study.json", {**read_json(study / "study.json"), "generator": {"start": start}})
    else:
        (study / "study.json").unlink()
    (study / "recipe.yaml").write_text(yaml.safe_dump({"name": "tiny", "gan": {"start": start}}), encoding="utf-8")
    found = find_material(study)
    assert found.drawn == drawn
    varied = pa.table({"origin": ["artificial", "variation", "real"]})
    assert found.may_be_shown(varied).tolist() == [True, drawn, drawn]
    if finished:
        assert is_drawn(read_study(study)) == drawn  # the report says the same


def test_drawn_study_without_its_street_searches_in_what_is_left(copied: Callable[..., Path]) -> None:
    study = copied()
    shutil.rmtree(study / "street")
    found = find_material(study)
    assert list(found.galleries) == ["kept by select"] and found.drawn
    assert len(examples(found)) == len(found.galleries["kept by select"].table)


def test_unfinished_parts_are_left_out_and_said(copied: Callable[..., Path]) -> None:
    study = copied()
    (study / "study.json").unlink()
    write_json(study / "select" / "run.json", {**read_json(study / "select" / "run.json"), "finished": None})
    found = find_material(study)
    assert not found.selections and found.study is None
    assert [text.split(" ")[0] for text in found.left_out] == ["The", "select"]
    assert list(found.galleries) == ["gallery of street", "made pictures"]


def test_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        find_material(tmp_path / "nowhere")


def test_folder_without_anything_is_one_sentence(tmp_path: Path, tiny_street: Path) -> None:
    with pytest.raises(UserError, match="holds nothing to show"):
        find_material(tmp_path)
    with pytest.raises(UserError, match="no re-ID model"):
        find_material(tmp_path, tiny_street)


def test_lost_persons_are_one_sentence(copied: Callable[..., Path]) -> None:
    study = copied()
    (study / "persons").rename(study / "gone")
    config = study / "select" / "config.yaml"
    config.write_text("persons: /nowhere/persons\n", encoding="utf-8")
    with pytest.raises(UserError, match="which is gone"):
        find_material(study)
