from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from synreid.generate.options import GAN_PRESETS, PERSON_PRESETS, GanOptions, PersonOptions
from synreid.generate.place import start_folder
from synreid.invert.options import ENCODER_PRESETS, EncoderOptions
from synreid.reid.options import PRESETS, ReidOptions
from synreid.select.options import PRESETS as SELECT_PRESETS
from synreid.select.options import SelectOptions
from synreid.stage.errors import UserError
from synreid.study.answer import headline_arm
from synreid.study.arms import arms_of
from synreid.study.recipe import Recipe, load_recipe, recipe_from, shipped_recipes

COMMAND = "train --seed {seed} --steps {steps}"


def test_every_shipped_recipe_is_one() -> None:
    assert set(shipped_recipes()) >= {"demo", "quick", "market-cpu", "thesis-persons"}
    for name in shipped_recipes():
        assert load_recipe(name).name == name


def test_options_reach_their_stages() -> None:
    recipe = load_recipe("thesis-persons")
    assert (recipe.gan.height, recipe.gan.gamma, recipe.persons.persons, recipe.reid.backbone) == (
        128,
        2.0,
        401,
        "resnet50.tv_in1k",
    )
    assert recipe.amounts[-3:] == (280, 300, 320)
    assert recipe.select.ssim_range == 4095


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "gan": {"kimgs": 5}}, "my.yaml has the key gan.kimgs; gan takes cfg, height, .* kimg, "),
        (
            {"name": "x", "keeep": 3},
            "my.yaml has the key keeep, but a recipe takes name, .* keep, .* reference; correct",
        ),
        ({"name": "x", "variations": {"vary": {"q": 1}}}, "key variations.vary.q; variations.vary takes images, "),
        ({"name": "x", "baselines": {"a": {"q": 1}}}, "Option 'q' is not accepted"),
        ({"name": "x", "gan": {"kimg": "much"}}, "kimg"),
        ({"name": "x", "seeds": [1, 1]}, "seeds"),
        ({"name": "x", "amounts": [0]}, "amounts"),
        ({"name": "x", "amounts": [200], "persons": {"persons": 100}}, "200 persons are to be added, but only 100"),
        ({"name": "x", "keep": 30}, "30 pictures"),
        ({"name": "x", "keep": 0}, "keep 0"),
        ({"name": "x", "seeds": [-1]}, "seeds .* must lie in 0 to"),
        ({"name": "x", "seeds": [2**32]}, "seeds .* must lie in 0 to"),
        ({"name": "x", "amounts": [40, 40]}, "different"),
        ({"name": "x", "extra": ["synthetic-only", "synthetic-only"]}, "twice"),
        ({"name": "x", "subset": {"fraction": 0.5, "identities": 5}}, "not both"),
        ({"name": "x", "command": COMMAND, "extra": ["shuffled-labels"]}, "shuffled-labels"),
        ({"name": "x", "command": COMMAND, "extra": ["colour-jitter"]}, "colour-jitter"),
        ({"name": "x", "reid": {"colour_jitter": 1.5}}, "colour_jitter is 1.5"),
        ({"name": "x", "labels": ["lsro", "lsro"]}, "names a strategy twice"),
        ({"name": "x", "labels": ["shuffled"]}, "labels"),
        ({"name": "x", "labels": ["lsro"], "command": COMMAND}, "for our own training, not for command"),
        ({"name": "x", "labels": ["lsro"], "amounts": [], "variations": {}}, "are of artificial persons"),
        ({"name": "x", "selections": {"A b": {}}}, "'A b' of selections"),
        ({"name": "x", "selections": {"a": {}}, "amounts": [], "variations": {}}, "are of artificial persons"),
        ({"name": "x", "arms": [{"persons": 50}]}, "differs in nothing"),
        ({"name": "x", "arms": [{"persons": 7, "labels": "slsr"}]}, "adds 7 persons, but amounts are"),
        ({"name": "x", "arms": [{"selection": "b"}], "selections": {"a": {}}}, "has selection b, but"),
        ({"name": "x", "arms": [{"labels": "slsr"}, {"labels": "slsr", "persons": 50}]}, "names an arm twice"),
        ({"name": "x", "arms": [{"made_ratio": -1}]}, "made_ratio is -1"),
        ({"name": "x", "arms": [{"made_weight": -3}]}, "made_weight is -3"),
        ({"name": "x", "arms": [{"labels": "slsr"}], "command": COMMAND}, "not for command"),
        ({"name": "x", "arms": [{"made_ratio": 0.5}], "command": COMMAND}, "made_ratio is for our own training, not"),
        ({"name": "x", "arms": [{"made_weight": 2}], "command": COMMAND}, "made_weight is for our own training, not"),
        ({"name": "x", "command": "train --seed {seed}"}, "command lacks {steps};"),
        ({"name": "x", "command": "train --steps {steps}"}, "command lacks {seed};"),
        ({"name": "x", "command": "train"}, "command lacks {steps} and {seed};"),
        ({"name": "x", "command": f"{COMMAND} 'my file"}, "command cannot be split into words"),
        ({"name": "x", "reid": {"preset": "best"}}, "presets are thesis, strong"),
        ({"name": "x", "baselines": {"A b": {}}}, "'A b' of baselines"),
        ({"name": "x", "baselines": {"a": {"preset": ["strong"]}}}, "presets are thesis, strong"),
        ({"name": "x", "baselines": {"a": {}}, "command": COMMAND}, "not for command"),
        ({"name": "x", "baselines": {"a": {}}, "amounts": [], "variations": {}}, "trained with artificial persons"),
        ({"name": "x", "selections": {"a": {"ssim": 5.0}}}, "ssim is 5.0"),
        ({"name": "x", "select": {"most_pictures": 5}, "keep": 10}, "most_pictures 5 leaves no person the 10"),
        ({"name": "x", "gan": {"batch": 0}}, "batch is 0"),
        ({"amounts": [5]}, "name"),
    ],
)
def test_wrong_recipe_is_refused_by_what_is_wrong(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe_from(values, "my.yaml")


def test_users_own_command_may_train_what_other_rules_chose() -> None:
    values = {"name": "x", "command": COMMAND, "selections": {"a": {}}, "amounts": [40, 50]}
    recipe = recipe_from({**values, "arms": [{"persons": 40, "selection": "a"}]}, "x")
    assert {"persons-50-by-a", "persons-40-by-a"} < {arm.name for arm in arms_of(recipe)}


def test_unknown_recipe_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="market-cpu"):
        load_recipe("nothing")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(UserError, match="not a recipe"):
        load_recipe(str(tmp_path / "list.yaml"))
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(UserError, match="not readable as YAML"):
        load_recipe(str(tmp_path / "broken.yaml"))


def test_every_study_has_its_controls() -> None:
    recipe = load_recipe("thesis-persons")
    arms = {arm.name: arm for arm in arms_of(recipe)}
    assert "real" in arms and len(arms) == 1 + 2 * 16
    for amount in recipe.amounts:
        assert arms[f"real-as-{amount}"].steps_of == f"persons-{amount}"
        assert arms[f"real-as-{amount}"].persons == 0
        assert arms[f"persons-{amount}"].against == (f"real-as-{amount}", "real")


def test_pictures_as_they_are_have_an_arm_where_the_recipe_asks() -> None:
    arms = {arm.name: arm for arm in arms_of(recipe_from({"name": "x", "full_resolution": True}, "x"))}
    assert arms["real-full"].resolution == "full"
    assert "real-full" not in {arm.name for arm in arms_of(load_recipe("thesis-persons"))}


def test_other_selections_are_arms_with_pools_of_their_own() -> None:
    arms = {arm.name: arm for arm in arms_of(recipe_from({"name": "x", "amounts": [50], "selections": {"a": {}}}, "x"))}
    arm = arms["persons-50-by-a"]
    assert (arm.persons, arm.pool, arm.against) == (50, "persons-by-a", ("real-as-50", "persons-50"))


def test_spelled_out_arms_are_held_against_those_that_differ_in_one_thing() -> None:
    spelled = [{"labels": "slsr", "selection": "a"}, {"persons": 20, "made_ratio": 0.5}]
    changes = {"amounts": [50, 20], "labels": ["slsr"], "selections": {"a": {}}, "arms": spelled}
    arms = {arm.name: arm for arm in arms_of(recipe_from({"name": "x", **changes}, "x"))}
    both = arms["persons-50-slsr-by-a"]
    assert (both.persons, both.pool, both.labels) == (50, "persons-by-a", "slsr")
    assert both.against == ("real-as-50", "persons-50-by-a", "persons-50-slsr")
    half = arms["persons-20-ratio-0.5"]
    assert (half.persons, half.pool, half.changes) == (20, "persons", {"made_ratio": 0.5})
    assert half.against == ("real-as-20", "persons-20")


def test_a_list_and_a_spelled_out_arm_make_the_same_arm_once() -> None:
    for spelled in ({"labels": "slsr"}, {"labels": "slsr", "persons": 50}):
        recipe = recipe_from({"name": "x", "labels": ["slsr"], "arms": [spelled]}, "x")
        assert [arm.name for arm in arms_of(recipe)].count("persons-50-slsr") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"selections": {"a": {}, "a-weight-2": {}}, "arms": [{"selection": "a", "made_weight": 2}]},
        {"amounts": [40], "selections": {"real": {}}, "baselines": {"persons-40-by": {}}},
    ],
)
def test_two_arms_of_one_name_are_an_error(changes: dict) -> None:
    with pytest.raises(UserError, match="two arms would be called persons-"):
        arms_of(recipe_from({"name": "x", **changes}, "x"))


def test_other_baselines_repeat_the_arms_of_persons() -> None:
    strong = {"preset": "strong", "backbone": "resnet18", "epochs": 2}
    recipe = recipe_from({"name": "x", "labels": ["slsr"], "baselines": {"strong": strong}}, "x")
    assert recipe.baselines["strong"] == ReidOptions(**{**PRESETS["strong"], "backbone": "resnet18", "epochs": 2})
    arms = {arm.name: arm for arm in arms_of(recipe) if arm.baseline == "strong"}
    assert list(arms) == ["strong-real", "strong-persons-50", "strong-real-as-50"]
    assert arms["strong-persons-50"].against == ("strong-real-as-50", "strong-real")
    assert arms["strong-real-as-50"].steps_of == "strong-persons-50"


def test_labels_are_arms_of_the_largest_amount() -> None:
    recipe = recipe_from({"name": "x", "amounts": [50, 20], "labels": ["lsro", "teacher"]}, "x")
    arms = {arm.name: arm for arm in arms_of(recipe)}
    plain = list(arms_of(recipe_from({"name": "x", "amounts": [50, 20]}, "x")))
    assert list(arms) == [*(arm.name for arm in plain), "persons-50-lsro", "persons-50-teacher"]
    for name in ("lsro", "teacher"):
        arm = arms[f"persons-50-{name}"]
        assert (arm.persons, arm.labels, arm.steps_of, arm.pool) == (50, name, None, "persons")
        assert arm.against == ("real-as-50", "persons-50") and not arm.control
    assert headline_arm(list(arms.values())).name == "persons-50"


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_finds_the_generator_that_it_starts_from(name: str) -> None:
    start = load_recipe(name).gan.start
    assert start is None or start_folder(start) is not None


@pytest.mark.parametrize("name", ["thesis-persons", "thesis-variations"])
def test_the_thesis_recipes_are_its_presets(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.gan == GanOptions(**GAN_PRESETS["thesis"])
    assert recipe.select == SelectOptions(**SELECT_PRESETS["thesis"])
    assert recipe.reid == ReidOptions(**PRESETS["thesis"])
    if recipe.variations is None:
        assert recipe.persons == PersonOptions(**PERSON_PRESETS["thesis"])
    else:
        encoder = recipe.variations.encoder
        preset = EncoderOptions(**ENCODER_PRESETS["thesis"], steps=220_000 // 4, snap=encoder.snap)
        assert encoder == replace(preset, batch=preset.batch * preset.accumulate, accumulate=1)  # the same step


def test_a_study_on_several_devices_is_told_to_train_before() -> None:
    with pytest.raises(UserError, match="trains its generator on one device"):
        Recipe(name="x", gan=GanOptions(gpus=2))
