"""A study of variations: its pools, its arms, its controls."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from synreid.data.scan import open_data
from synreid.data.table import TABLE, column, from_columns, pick, read_table
from synreid.report.cost import costs_of
from synreid.report.folder import read_study
from synreid.report.page import write_report
from synreid.select.options import SelectOptions
from synreid.select.run import select
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.study.arms import arms_of, draw_variations
from synreid.study.recipe import recipe_from
from synreid.study.run import run_study
from synreid.study.variations import variation_pools

VARIATIONS: dict[str, object] = {
    "amounts": [2],
    "encoder": {"steps": 2, "batch": 4, "lpips": 0.0, "channels": 8, "precision": "fp32", "validate": 4},
    "refine": {"steps": 2, "batch": 4, "precision": "fp32"},
    "vary": {"images": 4},
}
RECIPE: dict[str, object] = {
    "name": "tiny-variations",
    "amounts": [],
    "variations": VARIATIONS,
    "extra": ["colour-jitter"],
    "select": {"detector": "none", "consistency": -1.0, "duplicates": None},
    "reid": {
        **{"backbone": "test_resnet", "embedding": 16, "height": 32, "width": 16, "epochs": 1, "batch": 16},
        "precision": "fp32",
    },
    "full_resolution": False,
    "seeds": [0, 1],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, tiny_street: Path, tiny_gan: Path) -> Path:
    folder = tmp_path_factory.mktemp("study")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return run_study(str(folder / "recipe.yaml"), tiny_street, folder / "out", tiny_gan)


def test_every_arm_is_trained_for_as_many_steps_as_its_control(study: Path, tiny_street: Path) -> None:
    result = read_json(study / "study.json")
    arms = {arm["name"]: arm for arm in result["arms"]}
    added = {"inversions-2", "variations-2", "selected-2", "soft-2"}
    assert set(arms) == {"real", "real-as-variations-2", "colour-jitter"} | added
    assert arms["colour-jitter"]["steps"] == arms["real-as-variations-2"]["steps"]
    assert read_json(study / "reid" / "colour-jitter" / "0" / "run.json")["config"]["colour_jitter"] == 0.3
    train = pick(open_data(tiny_street), split="train")
    persons = len(set(column(train, "pid")))
    for name in added:
        assert arms[name]["pictures_made"] == 2 * persons and not arms[name]["control"]
        assert arms[name]["steps"] == arms["real-as-variations-2"]["steps"] > arms["real"]["steps"]
        run = read_json(study / "reid" / name / "1" / "run.json")
        assert (run["pictures_real"], run["pictures_made"]) == (len(train), 2 * persons)
        assert run["named"]["labels"] == ("teacher" if name == "soft-2" else "new-identity")
        assert run["classes"] == persons
    assert [arm["name"] for arm in result["arms"] if arm["headline"]] == ["soft-2"]
    assert result["answer"].startswith("Adding 2 variations a person (selected, a teacher's labels) changed mAP by")
    assert result["selection_variations"]["made"] == 4 * persons and result["selection"] == {}
    against = {(row["arm"], row["against"]) for row in result["differences"]}
    assert {("variations-2", "inversions-2"), ("selected-2", "variations-2"), ("soft-2", "selected-2")} < against
    assert {path.name for path in study.iterdir()} >= {"encoder", "latents", "variations", "inversions"}


def test_arms_bear_what_the_pictures_of_their_pool_went_through(study: Path) -> None:
    told = read_study(study)
    latents = told.generator["seconds"] + told.times["encoder"] + told.times["latents"]
    varied = latents + told.times["variations"]
    selected = varied + told.times["judge of selection"] + told.times["selection of variations"]
    shared = {"inversions-2": latents + told.times["inversions"], "variations-2": varied}
    shared |= {"selected-2": selected, "soft-2": selected}
    found = {cost.arm.name: cost.shared for cost in costs_of(told, 30.0) if cost.shared}
    assert found == {name: pytest.approx(seconds) for name, seconds in shared.items()}


def test_the_teacher_is_the_real_arms_model_of_the_same_seed(study: Path) -> None:
    teachers = [read_json(study / "reid" / "soft-2" / str(seed) / "run.json")["inputs"]["teacher"] for seed in (0, 1)]
    assert len(set(teachers)) == 2
    fingerprints = [read_json(study / "reid" / "real" / str(seed) / "run.json")["fingerprint"] for seed in (0, 1)]
    assert all(found in teacher for found, teacher in zip(fingerprints, teachers, strict=True))


def test_the_report_shows_latents_and_variations(study: Path) -> None:
    page = write_report(study).read_text()
    assert "Variations, a row a person" in page and "styles found for them" in page
    assert "Kept variations" in page


def test_inversions_are_of_the_pictures_own(study: Path) -> None:
    table = read_table(study / "inversions" / TABLE)
    firsts = [parents[0]["sha256"] for parents in column(table, "parents")]
    assert len(set(firsts)) == len(firsts)


def test_what_a_person_does_not_have_is_told(tiny_street: Path, tiny_gan: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_street, tmp_path / "data")
    person = sorted((tmp_path / "data" / "bounding_box_train").iterdir())[0].name.split("_")[0]
    for path in sorted((tmp_path / "data" / "bounding_box_train").glob(f"{person}_*"))[2:]:
        path.unlink()
    few = {**VARIATIONS, "amounts": [3], "arms": ["inversion"]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "variations": few, "seeds": [0]}))
    study = run_study(str(tmp_path / "recipe.yaml"), tmp_path / "data", tmp_path / "out", tiny_gan)
    result = read_json(study / "study.json")
    arm = next(arm for arm in result["arms"] if arm["name"] == "inversions-3")
    persons = result["data"]["train_identities"]
    assert arm["pictures_made"] == 3 * persons - 1 == read_json(study / "reid/inversions-3/0/run.json")["pictures_made"]
    assert "1 persons have fewer than 3 inversions; all they have are taken." in result["notes"]


def test_an_amount_that_selection_leaves_nobody_is_refused(
    study: Path, train_table: pa.Table, tiny_gan: Path, tmp_path: Path
) -> None:
    asked = recipe_from(RECIPE, "x").variations
    assert asked is not None
    one_each = SelectOptions(detector="none", identity=False, duplicates=255.0, least_pictures=1)
    with pytest.raises(UserError, match="has 2, but of selected variations no person has more than 1; lower it"):
        variation_pools(
            asked,
            train_table,
            tiny_gan,
            study,
            lambda folder: select(folder, train_table, tmp_path / "select", one_each),
            lambda _, stage: stage(),
        )


def test_a_smaller_draw_lies_within_a_larger_one_and_takes_what_there_is() -> None:
    pids = [*"aaaaabb"]
    pool = from_columns(path=[f"{k}.png" for k in range(7)], sha256=[str(k) for k in range(7)], pid=pids)
    drawn = {amount: set(column(draw_variations(pool, amount, 3), "path")) for amount in (1, 3, 5)}
    assert drawn[1] < drawn[3] < drawn[5] == set(column(pool, "path"))
    counts = np.unique(column(draw_variations(pool, 3, 3), "pid").astype(str), return_counts=True)[1]
    assert counts.tolist() == [3, 2]
    assert drawn[1] != set(column(draw_variations(pool, 1, 4), "path")) or drawn[3] != set(
        column(draw_variations(pool, 3, 5), "path")
    )


def test_arms_of_several_amounts_and_ways() -> None:
    recipe = recipe_from(
        {"name": "x", "amounts": [], "variations": {"amounts": [20, 5], "arms": ["soft", "all"], "labels": "smoothed"}},
        "x",
    )
    arms = {arm.name: arm for arm in arms_of(recipe)}
    names = ["real", "real-full"]
    for amount in (5, 20):
        names += [f"real-as-variations-{amount}", f"variations-{amount}", f"soft-{amount}"]
    assert list(arms) == names
    assert arms["soft-20"].labels == "smoothed" and arms["soft-20"].pool == "selected"
    assert arms["real-as-variations-5"].steps_of == "variations-5"


def test_augmented_real_pictures_stand_beside_the_largest_amount_of_variations() -> None:
    values = {"name": "x", "amounts": [], "extra": ["colour-jitter"], "variations": {"amounts": [5, 20]}}
    arm = arms_of(recipe_from(values, "x"))[-1]
    assert arm.name == "colour-jitter" and arm.changes == {"colour_jitter": 0.3} and arm.control
    assert arm.steps_of == "real-as-variations-20" == arm.against[0]
    with pytest.raises(UserError, match="amounts"):
        recipe_from({**values, "extra": ["colour-jitter", "synthetic-only"]}, "x")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amounts": []}, "variations.amounts"),
        ({"amounts": [30]}, "only 20 are made"),
        ({"arms": []}, "variations.arms"),
        ({"arms": ["all", "all"]}, "variations.arms"),
    ],
)
def test_variations_that_cannot_answer_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        recipe_from({"name": "x", "amounts": [], "variations": change}, "x")
    with pytest.raises(UserError, match="amounts"):
        recipe_from({"name": "x", "amounts": []}, "x")
    with pytest.raises(UserError, match="no style layers"):
        recipe_from({"name": "x", "amounts": [], "variations": {}, "gan": {"cfg": "dcgan"}}, "x")
    with pytest.raises(UserError, match="soft labels are for our own training"):
        recipe_from({"name": "x", "amounts": [], "variations": {}, "command": "train {seed} {steps}"}, "x")
