from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
import yaml

from synreid.cli.commands import study as commands
from synreid.data.scan import open_data
from synreid.data.table import column, pick
from synreid.generate.options import GanOptions
from synreid.reid.backbone import build
from synreid.reid.options import ReidOptions
from synreid.reid.train import planned_steps
from synreid.stage.errors import UserError
from synreid.stage.files import read_json, write_json
from synreid.stage.folder import RUN
from synreid.study.arms import arms_of
from synreid.study.counts import Counts
from synreid.study.plan import plan_study
from synreid.study.plan_words import duration, plan_text
from synreid.study.recipe import recipe_from, shipped_recipes
from synreid.study.request import read_request
from synreid.study.sizes import reid_bytes, snapshots
from synreid.study.trial import BEGUN, StepSeconds, _alone, try_steps

REID = {"backbone": "test_resnet", "embedding": 16, "height": 32, "width": 16, "epochs": 2, "batch": 16}
RECIPE = {
    "name": "tiny",
    "persons": {"persons": 6, "images": 5},
    "amounts": [4],
    "keep": 3,
    "seeds": [0, 1],
    "reid": REID,
}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recipe's file; no steps are tried, but re-ID's take half a second and the generator's two."""
    monkeypatch.setattr(
        "synreid.study.plan.try_steps",
        lambda reid, gan: StepSeconds((0.5,) * len(reid), 2.0 if gan is not None else None),
    )
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return str(tmp_path / "recipe.yaml")


def begun(recipe: str, data: Path, out: Path) -> None:
    """Leave in `out` what a study leaves that was cut off after one training of 40 steps in 10 seconds."""
    with read_request(recipe, data, None, None).folder(out):
        done = {
            "stage": "x",
            "version": 1,
            "fingerprint": "",
            "config": {},
            "named": {},
            "inputs": {},
            "outputs": {},
            "finished": "2026-01-01",
            "seconds": 10.0,
            "steps": 40,
        }
        for folder in ("gan", "reid/real/0"):
            (out / folder).mkdir(parents=True)
            write_json(out / folder / RUN, done)
        (out / "reid" / "real" / "1").mkdir(parents=True)
        write_json(out / "reid" / "real" / "1" / RUN, {**done, "finished": None})


def test_times_go_by_a_trial_where_nothing_is_there(recipe: str, tiny_street: Path) -> None:
    plan = plan_study(recipe, tiny_street)
    table = open_data(tiny_street)
    pictures, test = len(pick(table, split="train")), len(pick(table, split=("query", "gallery")))
    real, more = (planned_steps(count, ReidOptions(**REID)) for count in (pictures, pictures + 4 * 3))
    assert {one.arm.name: (one.real, one.made, one.steps) for one in plan.arms} == {
        "real": (pictures, 0, real),
        "real-full": (pictures, 0, real),
        "persons-4": (pictures, 12, more),
        "real-as-4": (pictures, 0, more),
    }
    assert plan.trainings == 8 and plan.query + plan.gallery == test
    left = {one.title: one.seconds for one in plan.left}
    assert left["generator"] == 2.0 * GanOptions().kimg * 1000 / GanOptions().batch
    assert left["re-ID training"] == 0.5 * 2 * (2 * real + 2 * more)
    # seen twice (flip_test) at a third of a training step's share
    assert left["re-ID evaluation"] == pytest.approx(0.5 * 8 * test * 2 / 3 / 16)


def test_what_is_finished_is_found_and_times_go_by_it(recipe: str, tiny_street: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    begun(recipe, tiny_street, out)
    before = sorted(out.rglob("*"))
    plan = plan_study(recipe, tiny_street, out)
    assert sorted(out.rglob("*")) == before
    states = {one.title: one.state for one in plan.shared}
    assert (states["generator"], states["persons"]) == ("finished", "to do")
    assert [one.finished for one in plan.arms] == [1, 0, 0, 0]
    left = {one.title: one for one in plan.left}
    steps = sum((2 - one.finished) * one.steps for one in plan.arms)
    assert left["re-ID training"].seconds == pytest.approx(steps * 10 / 40)
    assert "generator" not in left
    assert "1 of 2" in plan_text(plan, out) and "by what is finished" in plan_text(plan, out)


def test_generator_that_was_killed_goes_by_its_checkpoint(recipe: str, tiny_street: Path, tmp_path: Path) -> None:
    gan = tmp_path / "out" / "gan"
    begun(recipe, tiny_street, tmp_path / "out")
    run = {**read_json(gan / RUN), "finished": None, "seconds": 60.0}
    options = GanOptions()
    write_json(gan / RUN, {**run, "kimg": 64 * options.batch / 1000})
    lost = {"step": 640, "kimg": 640 * options.batch / 1000}  # after the checkpoint, so to be done again
    (gan / "metrics.jsonl").write_text(json.dumps(lost) + "\n")
    left = plan_study(recipe, tiny_street, tmp_path / "out").left[0]
    assert (left.title, left.step_seconds) == ("generator", pytest.approx(60 / 64))
    assert left.steps == round(options.kimg * 1000 / options.batch - 64)
    write_json(gan / RUN, {**run, "seconds": 600.0})  # of a study that is older than this
    assert plan_study(recipe, tiny_street, tmp_path / "out").left[0].step_seconds == pytest.approx(600 / 640)


@pytest.mark.parametrize(("change", "message"), [({"keep": 2}, "something other than this study")])
def test_a_folder_of_another_study_is_refused(
    recipe: str, tiny_street: Path, tmp_path: Path, change: dict[str, int], message: str
) -> None:
    begun(recipe, tiny_street, tmp_path / "out")
    Path(recipe).write_text(yaml.safe_dump({**RECIPE, **change}))
    with pytest.raises(UserError, match=message):
        plan_study(recipe, tiny_street, tmp_path / "out")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "photo.png").touch()
    with pytest.raises(UserError, match="not empty and not a study's folder"):
        plan_study(recipe, tiny_street, tmp_path / "strange")


def test_street_is_counted_without_drawing_it(recipe: str, tmp_path: Path, tiny_street: Path) -> None:
    Path(recipe).write_text(yaml.safe_dump({**RECIPE, "street": {"persons": 12, "test_persons": 6, "pictures": 8}}))
    unseen, seen = plan_study(recipe, None), plan_study(recipe, tiny_street)
    assert unseen == seen
    tables = (read_request(recipe, None, None, None).pictures, open_data(tiny_street))
    assert len({len(set(column(table, "camera"))) for table in tables}) == 1


def test_variations_that_pictures_cannot_give_are_refused_at_once(recipe: str, tiny_street: Path) -> None:
    varied = {"amounts": [9], "arms": ["all"], "vary": {"images": 9, "ways": ["inversion"]}}
    Path(recipe).write_text(yaml.safe_dump({"name": "x", "amounts": [], "variations": varied}))
    with pytest.raises(UserError, match="give at most 8 that differ by inversion"):
        read_request(recipe, tiny_street, None, None)


def test_room_of_models_is_that_of_each_of_them() -> None:
    values = {
        **RECIPE,
        "extra": ["synthetic-only"],
        "labels": ["lsro"],
        "baselines": {"other": {**REID, "embedding": 8}},
    }
    recipe = recipe_from(values, "x")
    counts = Counts(recipe, tuple(arms_of(recipe)), pictures=96, persons=12)
    total = 0
    for arm in counts.arms:
        classes = {"synthetic-only": 4, "persons-4": 16, "other-persons-4": 16}.get(arm.name, 12)
        weights = build(counts.reid(arm), classes).state_dict().values()
        total += sum(value.numel() * value.element_size() for value in weights)
    assert reid_bytes(counts) == 2 * total


def test_snapshots_are_as_many_as_training_leaves(tiny_gan: Path, tiny_options: GanOptions) -> None:
    assert snapshots(tiny_options) == len(list(tiny_gan.glob("generator-*.safetensors")))


def test_a_few_steps_are_tried_in_a_process_of_their_own() -> None:
    found = try_steps([ReidOptions(**REID)], None, seconds=100.0)  # far less, where nothing else runs
    assert found.reid[0] is not None and 0 < found.reid[0] < 100
    assert found.generator is None


def test_a_generator_is_tried_too(monkeypatch: pytest.MonkeyPatch, tiny_options: GanOptions) -> None:
    def here(
        run: Callable[..., None], table: pa.Table, folder: Path, options: object, *_: object, **__: object
    ) -> None:
        folder.mkdir()
        run(table, folder, options)

    monkeypatch.setattr("synreid.study.trial._alone", here)
    found = try_steps([], tiny_options)
    assert found.generator is not None and 0 <= found.generator < 100


def test_what_does_not_end_in_time_stays_unknown(monkeypatch: pytest.MonkeyPatch, tiny_options: GanOptions) -> None:
    monkeypatch.setattr("synreid.study.trial._alone", lambda run, table, folder, *rest, **least: folder.mkdir())
    assert try_steps([ReidOptions(**REID)], tiny_options) == StepSeconds((None,), None)


@pytest.mark.parametrize(
    ("ended", "found"),
    [
        ({"first": 5.0}, StepSeconds((), 5.0, at_most=True)),
        ({"first": 5.0, "1": 3.0}, StepSeconds((), 3.0, at_most=True)),
        ({"first": 5.0, "1": 3.0, "4": 9.0}, StepSeconds((), 2.0)),
        ({"first": 5.0, "1": 3.0, "4": 2.0}, StepSeconds((), 3.0, at_most=True)),  # a hiccup in the shorter one
    ],
)
def test_generators_step_goes_by_what_ended_of_its_trial(
    ended: dict[str, float], found: StepSeconds, monkeypatch: pytest.MonkeyPatch, tiny_options: GanOptions
) -> None:
    def leave(run: object, table: pa.Table, folder: Path, *rest: object, **least: Path) -> None:
        for name, seconds in ended.items():
            write_json(folder / name / RUN, {"finished": "2026-01-01", "seconds": seconds})

    monkeypatch.setattr("synreid.study.trial._alone", leave)
    assert try_steps([], tiny_options) == found


def test_trial_lasts_until_the_least_of_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "trial"
    waits: list[float] = []

    class Late:
        """A process whose training has ended after as many waits as its time and three more."""

        def start(self) -> None:
            (folder / BEGUN).touch()

        def is_alive(self) -> bool:
            return True

        def join(self, seconds: float | None = None) -> None:
            waits.append(seconds or 0.0)
            if len(waits) == 4:
                write_json(folder / "first" / RUN, {"finished": "2026-01-01", "seconds": 20.0})

        def kill(self) -> None:
            assert (folder / "first" / RUN).exists()

    context = SimpleNamespace(Process=lambda **_: Late())
    monkeypatch.setattr("synreid.study.trial.multiprocessing.get_context", lambda _: context)
    _alone(lambda *_: None, pa.table({}), folder, None, seconds=10.0, least=folder / "first")
    assert waits == [10.0, 0.1, 0.1, 0.1, 0.0]


def test_what_is_not_known_is_named_beside_the_sum(
    recipe: str, tiny_street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "without what else is done once." in plan_text(plan_study(recipe, tiny_street))
    monkeypatch.setattr("synreid.study.plan.try_steps", lambda reid, gan: StepSeconds((0.5,), None))
    assert "without the generator and what else is done once." in plan_text(plan_study(recipe, tiny_street))
    monkeypatch.setattr("synreid.study.plan.try_steps", lambda reid, gan: StepSeconds((0.5,), 2.0, at_most=True))
    shown = plan_text(plan_study(recipe, tiny_street))
    assert "2 s a step, by a trial of one step, so at most." in shown
    # 16 pictures a batch, of whose step a picture that is seen twice takes two thirds
    assert "48 pictures/s, reckoned from training by a trial." in shown


def test_command_prints_the_plan_and_makes_nothing(
    recipe: str, tiny_street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.study(recipe, data=tiny_street, out=tmp_path / "out", plan=True)
    shown = capsys.readouterr().out
    assert "4 arms with 2 seeds are 8 trainings" in shown and str(tmp_path) in shown
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="needs --out"):
        commands.study(recipe, data=tiny_street)


def test_help_names_every_shipped_recipe() -> None:
    assert all(f" {name}," in commands.study.__doc__.replace("(", " ").replace(")", ",") for name in shipped_recipes())


@pytest.mark.parametrize(
    ("seconds", "shown"), [(12.4, "12 s"), (119, "119 s"), (420, "7 min"), (7200, "2 h"), (12 * 86_400, "12 days")]
)
def test_duration_has_a_unit_that_suits_it(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize("text", ["[]", "{}"])
def test_a_damaged_record_is_an_error(recipe: str, tiny_street: Path, tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    begun(recipe, tiny_street, out)
    (out / "reid" / "real" / "0" / "run.json").write_text(text)
    with pytest.raises(UserError, match="run its stage again"):
        plan_study(recipe, tiny_street, out)


def test_missing_weights_are_an_error_before_anything_is_run(
    recipe: str, tiny_street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNREID_WEIGHTS", str(tmp_path))
    strong = {"preset": "strong", "backbone": "osnet_x0_25", "pretrained": "msmt17", "last_stride": None}
    Path(recipe).write_text(yaml.safe_dump({**RECIPE, "baselines": {"strong": strong}}))
    with pytest.raises(UserError, match="SYNREID_WEIGHTS"):
        read_request(recipe, tiny_street, None, None)
