from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import yaml

from synreid.data.scan import open_data
from synreid.data.table import pick
from synreid.features import registry
from synreid.generate.options import GanOptions
from synreid.generate.train import train_gan
from synreid.reid import train as reid_training
from synreid.report.page import write_report
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.study.plan import plan_study
from synreid.study.run import run_study

RECIPE: dict[str, object] = {
    "name": "tiny",
    "persons": {"persons": 6, "images": 5},
    "select": {"detector": "none", "consistency": -1.0, "duplicates": None},
    "reid": {
        "backbone": "test_resnet",
        "embedding": 16,
        "height": 32,
        "width": 16,
        "epochs": 1,
        "batch": 16,
        "precision": "fp32",
    },
    "subset": {"identities": 6},
    "amounts": [4],
    "keep": 3,
    "extra": ["synthetic-only", "shuffled-labels", "random-erasing", "more-real"],
    "seeds": [0, 1],
    "reference": {
        "source": "somebody",
        "unit": "persons",
        "rows": [{"amount": amount, "rank1": 0.5, "map_trapezoid": 0.4} for amount in (0, 2, 4)],
    },
}


@pytest.fixture(scope="module")
def write_recipe(tiny_options: GanOptions) -> Callable[..., str]:
    gan = {**dataclasses.asdict(tiny_options), "kimg": 0.04}

    def write(folder: Path, **changes: object) -> str:
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump({**RECIPE, "gan": gan, **changes}))
        return str(path)

    return write


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, tiny_street: Path, write_recipe: Callable[..., str]) -> Path:
    folder = tmp_path_factory.mktemp("study")
    return run_study(write_recipe(folder), tiny_street, folder / "out")


def test_study_answers_with_its_controls(study: Path, tiny_street: Path) -> None:
    result = read_json(study / "study.json")
    arms = {arm["name"]: arm for arm in result["arms"]}
    train = 6 * 8
    assert set(arms) == {
        "real",
        "real-full",
        "persons-4",
        "real-as-4",
        "more-real-4",
        "synthetic-only",
        "shuffled-labels",
        "random-erasing",
    }
    assert arms["persons-4"]["pictures_made"] == 12
    assert arms["real-as-4"]["steps"] == arms["persons-4"]["steps"] > arms["real"]["steps"]
    assert arms["real"]["pictures_real"] == train
    assert arms["more-real-4"]["pictures_real"] == train + 12 and not arms["more-real-4"]["pictures_made"]
    assert (result["data"]["left_out_identities"], result["data"]["left_out_pictures"]) == (6, 48)
    assert len(result["results"]) == 16
    assert all(0 <= row["map"] <= 1 for row in result["results"])
    assert "Adding 4 artificial persons changed mAP by" in result["answer"]
    assert 0 <= result["origin"]["auc"] <= 1
    assert result["selection"]["made"] == 30
    told = {(row["score"], row["against"]): row for row in result["calibration"]}
    assert {score for score, _ in told} == {"ssim-255", "ssim-4095", "identity", "duplicates"}  # no detector is asked
    assert told["duplicates", "copy"]["auc"] == 1.0


def test_matched_arms_really_took_as_many_steps(study: Path) -> None:
    for seed in ("0", "1"):
        folders = [study / "reid" / arm / seed for arm in ("persons-4", "real-as-4", "more-real-4")]
        steps = {yaml.safe_load((folder / "config.yaml").read_text())["steps"] for folder in folders}
        assert len(steps) == 1


def test_more_real_persons_are_new_to_the_training(study: Path) -> None:
    few, more = (read_json(study / "reid" / arm / "0" / "classes.json") for arm in ("real", "more-real-4"))
    assert len(few) == 6 and len(more) == 10 and set(few) < set(more)


def test_more_real_persons_than_there_are_stop_the_study_before_it_begins(
    tiny_street: Path, tmp_path: Path, write_recipe: Callable[..., str]
) -> None:
    recipe = write_recipe(tmp_path, subset={"identities": 9})
    with pytest.raises(UserError, match=r"4 more real persons with 3 pictures each .* leaves out 3 such persons"):
        run_study(recipe, tiny_street, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_published_numbers_stand_beside_the_arms_that_do_the_same(study: Path) -> None:
    reference = read_json(study / "study.json")["reference"]
    assert [row["arm"] for row in reference["rows"]] == ["real", None, "persons-4"]


def test_plan_is_what_was_run_and_finds_all_of_it(study: Path, tiny_street: Path) -> None:
    plan = plan_study(str(study.parent / "recipe.yaml"), tiny_street, study)
    ran = [
        (arm["name"], arm["pictures_real"], arm["pictures_made"], arm["steps"])
        for arm in read_json(study / "study.json")["arms"]
    ]
    assert [(one.arm.name, one.real, one.made, one.steps) for one in plan.arms] == ran
    assert plan.finished and not plan.left and {one.finished for one in plan.arms} == {2}
    assert {one.state for one in plan.shared} == {"finished"}


def test_finished_study_runs_nothing_again_and_says_so(
    study: Path, tiny_street: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("synreid.study.work.StudyWork.run", lambda self: pytest.fail("ran again"))
    run_study(str(study.parent / "recipe.yaml"), tiny_street, study)
    assert f"all 16 trainings in {study} are finished; nothing is run" in capsys.readouterr().err


def test_times_are_of_all_that_was_done_and_the_same_where_a_study_is_run_again(
    study: Path, tiny_street: Path, tmp_path: Path
) -> None:
    first = read_json(study / "study.json")
    trained = {"generator", "judge of selection", "re-ID", "re-ID evaluation"}
    assert set(first["times"]) == trained | {"calibration of selection", "persons", "selection"}
    assert first["times"]["judge of selection"] == read_json(study / "reid" / "judge" / "run.json")["seconds"]
    evaluations = [row["evaluation_seconds"] for row in first["results"]]
    assert first["times"]["re-ID evaluation"] == round(sum(evaluations), 1) and min(evaluations) > 0
    pools = {arm["name"]: arm["pool"] for arm in first["arms"]}
    assert {name for name, pool in pools.items() if pool} == {"persons-4", "synthetic-only", "shuffled-labels"}
    out = tmp_path / "again"
    shutil.copytree(study, out)
    for name in ("study.json", "results.json"):
        (out / name).unlink()
    assert not plan_study(str(study.parent / "recipe.yaml"), tiny_street, out).finished
    again = read_json(run_study(str(study.parent / "recipe.yaml"), tiny_street, out) / "study.json")
    assert (again["times"], again["results"]) == (first["times"], first["results"])


def test_store_of_curves_is_looked_for_by_a_study_that_is_not_finished(
    study: Path, tiny_street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise UserError("no such store")

    monkeypatch.setattr("synreid.study.run.check_tracking", refuse)
    recipe = str(study.parent / "recipe.yaml")
    run_study(recipe, tiny_street, study)
    with pytest.raises(UserError, match="no such store"):
        run_study(recipe, tiny_street, tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} <= {".lock"}


def test_finished_study_needs_none_of_the_slow_libraries(study: Path, tiny_street: Path) -> None:
    write_report(study)
    given = "study", str(study.parent / "recipe.yaml"), "--data", str(tiny_street), "--out", str(study)
    code = (
        "import contextlib, sys; from synreid.cli.main import main\n"
        "with contextlib.suppress(SystemExit): main(sys.argv[1:])\n"
        "print([name for name in ('torch', 'timm', 'faiss', 'matplotlib', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True)
    assert "report: " in done.stdout and done.stdout.splitlines()[-1] == "[]"


def test_cut_off_study_goes_on_with_what_is_missing(
    study: Path, tiny_street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_recipe: Callable[..., str]
) -> None:
    recipe = write_recipe(tmp_path)
    whole = reid_training.fit
    trained = []

    def counted(*arguments: object) -> None:
        trained.append(1)
        if len(trained) == 4:
            raise KeyboardInterrupt
        whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reid_training, "fit", counted)
    with pytest.raises(KeyboardInterrupt):
        run_study(recipe, tiny_street, tmp_path / "out")
    assert not (tmp_path / "out" / "study.json").exists()
    run_study(recipe, tiny_street, tmp_path / "out")
    assert len(trained) == 1 + 1 + 16  # the judge, the one cut off, and every training once
    again, first = (read_json(folder / "study.json")["results"] for folder in (tmp_path / "out", study))
    assert [(row["arm"], row["seed"], row["map"]) for row in again] == [
        (row["arm"], row["seed"], row["map"]) for row in first
    ]


def test_generator_that_saw_a_test_picture_stops_the_study(
    tiny_street: Path, tmp_path: Path, write_recipe: Callable[..., str], tiny_options: GanOptions
) -> None:
    table = open_data(tiny_street)
    gallery = pick(table, split="gallery")
    leaky = gallery.set_column(gallery.column_names.index("split"), "split", [["train"] * len(gallery)])
    gan = train_gan(leaky, tmp_path / "gan", dataclasses.replace(tiny_options, kimg=0.016))
    with pytest.raises(UserError, match=r"learned from .*\.jpg, a test picture"):
        run_study(write_recipe(tmp_path), tiny_street, tmp_path / "out", gan)
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {".lock"}, "the folder is free for another request"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"select": {"detector": "yolov4-tiny"}}, "yolov4-tiny"),
        ({"selections": {"other": {"detector": "yolov4-tiny"}}}, "yolov4-tiny"),
        ({"baselines": {"strong": {"backbone": "resnet19"}}}, "'resnet19' is not a timm network"),
        ({"baselines": {"strong": {"pretrained": "timm"}}}, "pretrained weights of resnet18 could not be downloaded"),
    ],
)
def test_networks_that_cannot_be_had_stop_the_study_before_the_generator(
    changes: dict[str, object],
    said: str,
    tiny_street: Path,
    tmp_path: Path,
    write_recipe: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    create = timm.create_model
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path))  # which holds none
    monkeypatch.setattr(registry.pooch, "retrieve", no_network)
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: no_network() if k.get("pretrained") else create(*a, **k))
    monkeypatch.setattr("synreid.study.work.train_gan", lambda *_: pytest.fail("the generator was begun"))
    with pytest.raises(UserError, match=said):
        run_study(write_recipe(tmp_path, **changes), tiny_street, tmp_path / "out")


def test_more_persons_than_selection_leaves_is_refused(
    tiny_street: Path, tmp_path: Path, write_recipe: Callable[..., str]
) -> None:
    recipe = write_recipe(
        tmp_path, amounts=[6], keep=5, select={"detector": "none", "identity": False, "duplicates": 200.0}
    )
    with pytest.raises(UserError, match=r"duplicates|such persons"):
        run_study(recipe, tiny_street, tmp_path / "out")


def test_users_own_command_takes_the_place_of_training(
    tiny_street: Path, tmp_path: Path, write_recipe: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "mine.py"
    command = f"{sys.executable} {script} {{train}} {{query}} {{gallery}} {{out}} {{seed}} {{steps}}"
    recipe = write_recipe(tmp_path, command=command, extra=[], full_resolution=False)
    script.write_text("raise SystemExit('not yet')")
    with pytest.raises(UserError, match="not yet"):
        run_study(recipe, tiny_street, tmp_path / "out")
    script.write_text(
        "import csv, sys, numpy as np\n"
        "from pathlib import Path\n"
        "train, query, gallery, out, seed, steps = sys.argv[1:]\n"
        "assert len(list(csv.DictReader(open(train)))) > 0\n"
        "Path(out, 'steps').write_text(steps)\n"
        "for name, path in (('query', query), ('gallery', gallery)):\n"
        "    rows = list(csv.DictReader(open(path)))\n"
        "    np.save(Path(out) / f'{name}.npy', np.array([[hash(r['pid']) % 97, int(seed), 1] for r in rows], float))\n"
    )
    out = run_study(recipe, tiny_street, tmp_path / "out")
    assert "training 6 of 6" in (said := capsys.readouterr().err) and "about 0 min" not in said
    result = read_json(out / "study.json")
    assert len(result["results"]) == 6
    assert {row["arm"] for row in result["results"]} == {"real", "persons-4", "real-as-4"}
    steps = {arm: int((out / "reid" / arm / "1" / "steps").read_text()) for arm in ("real", "persons-4", "real-as-4")}
    assert steps["real-as-4"] == steps["persons-4"] > steps["real"]
    script.write_text("raise SystemExit('another way')")
    for go in (run_study, plan_study):
        with pytest.raises(
            UserError, match=r"mine\.py, which command names, is not what it was when .*out was trained"
        ):
            go(recipe, tiny_street, out)


def test_other_labels_and_selections_are_arms_and_teachers_the_real_arms_models(
    tiny_street: Path, tiny_gan: Path, tmp_path: Path, write_recipe: Callable[..., str]
) -> None:
    anything = {"detector": "none", "identity": False, "duplicates": None, "least_pictures": 1}
    changes = {"labels": ["lsro", "slsr"], "selections": {"nothing": anything}}
    recipe = write_recipe(tmp_path, **changes, subset={}, extra=[], full_resolution=False, seeds=[0])
    study = run_study(recipe, tiny_street, tmp_path / "out", tiny_gan)
    result = read_json(study / "study.json")
    persons = result["data"]["train_identities"]
    arms = {arm["name"]: arm for arm in result["arms"]}
    others = {"persons-4-lsro", "persons-4-slsr", "persons-4-by-nothing"}
    assert set(arms) == {"real", "persons-4", "real-as-4"} | others
    everything = result["selection_by_nothing"]
    assert everything["kept"] == everything["made"] == result["selection"]["made"]
    real = read_json(study / "reid" / "real" / "0" / "run.json")
    for labels in ("lsro", "slsr"):
        run = read_json(study / "reid" / f"persons-4-{labels}" / "0" / "run.json")
        assert (run["named"]["labels"], run["classes"], run["pictures_made"]) == (labels, persons, 12)
        assert real["fingerprint"] in run["inputs"].get("teacher", "") or labels == "lsro"
        assert arms[f"persons-4-{labels}"]["steps"] == arms["persons-4"]["steps"]
    against = {(row["arm"], row["against"]) for row in result["differences"]}
    assert {("persons-4-slsr", "real-as-4"), ("persons-4-slsr", "persons-4")} < against
    assert [arm["name"] for arm in result["arms"] if arm["headline"]] == ["persons-4"]


def test_recipe_without_pictures_asks_for_them(tmp_path: Path, write_recipe: Callable[..., str]) -> None:
    with pytest.raises(UserError, match="--data"):
        run_study(write_recipe(tmp_path), None, tmp_path / "out")
