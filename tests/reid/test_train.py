from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import yaml

from synreid.data.table import pick, rows
from synreid.reid import train as module
from synreid.reid.train import MODEL, planned_steps, train
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.stage.folder import StageFolder, read_run
from synreid.stage.metrics import read_metrics


@pytest.fixture(scope="module")
def trained(persons, made, small, tmp_path_factory) -> Path:
    return train(pick(persons, split="train"), made, tmp_path_factory.mktemp("reid") / "whole", small)


def test_a_finished_folder_holds_model_classes_metrics_and_what_was_asked(trained, small):
    run = read_run(trained, "reid")
    assert (run["steps"], run["pictures_real"], run["pictures_made"], run["classes"]) == (6, 40, 12, 8)
    assert read_json(trained / "classes.json")[0] == "made/p/20"
    lines = read_metrics(trained)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "classification_error", "lr", "pictures_per_second"} <= set(lines[0])
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert type(small)(**{name: config[name] for name in asdict(small)}) == small
    assert not (trained / "checkpoint.pt").exists()


def test_same_seed_same_bytes_other_seed_other_bytes(trained, persons, made, small, tmp_path):
    again = train(pick(persons, split="train"), made, tmp_path / "again", small)
    assert (again / MODEL).read_bytes() == (trained / MODEL).read_bytes()
    other = train(pick(persons, split="train"), made, tmp_path / "other", replace(small, seed=1))
    assert (other / MODEL).read_bytes() != (trained / MODEL).read_bytes()


def test_cut_off_and_resumed_is_as_if_never_cut_off(trained, persons, made, small, tmp_path, monkeypatch, cut_off):
    learn = module.learn
    with cut_off(4):
        train(pick(persons, split="train"), made, tmp_path / "cut", small, checkpoint_seconds=0.0)
    assert not (tmp_path / "cut" / MODEL).exists()
    torch.rand(5)  # the process that goes on is elsewhere in its random numbers
    steps = []
    monkeypatch.setattr(module, "learn", lambda state, *rest: (steps.append(state.step), learn(state, *rest))[1])
    resumed = train(pick(persons, split="train"), made, tmp_path / "cut", small)
    assert steps == [4, 5]
    assert (resumed / MODEL).read_bytes() == (trained / MODEL).read_bytes()
    losses = [[line["loss"] for line in read_metrics(folder)] for folder in (resumed, trained)]
    assert losses[0] == losses[1]


def test_time_is_kept_with_every_checkpoint(persons, made, small, tmp_path, monkeypatch):
    checkpoint, steps = tmp_path / "m" / "checkpoint.pt", []
    monkeypatch.setattr(
        StageFolder, "keep_time", lambda _: steps.append(torch.load(checkpoint, weights_only=True)["step"])
    )
    train(pick(persons, split="train"), made, tmp_path / "m", small, checkpoint_seconds=0.0)
    assert steps == [1, 2, 3, 4, 5]


def test_a_complete_folder_is_not_trained_again_and_another_request_is_refused(
    trained, persons, made, small, monkeypatch
):
    monkeypatch.setattr(module, "learn", None)
    assert train(pick(persons, split="train"), made, trained, small) == trained
    with pytest.raises(UserError, match="another configuration"):
        train(pick(persons, split="train"), None, trained, small)


def test_it_learns(persons, small, tmp_path):
    folder = train(pick(persons, split="train"), None, tmp_path / "x", replace(small, steps=60, dropout=0.0))
    lines = read_metrics(folder)
    assert sum(line["classification_error"] for line in lines[-10:]) / 10 < 0.1 < lines[0]["classification_error"]
    assert {round(line["lr"], 6) for line in lines[:40]} == {0.05}
    assert {round(line["lr"], 6) for line in lines[40:]} == {0.005}


@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_reduced_precision_trains_too(persons, small, tmp_path, precision):
    folder = train(pick(persons, split="train"), None, tmp_path / "x", replace(small, steps=2, precision=precision))
    assert read_run(folder, "reid")["precision"] in ("bf16", "fp32")


def test_steps_follow_epochs_or_are_given(small):
    assert planned_steps(100, replace(small, steps=None, epochs=2, batch=16)) == 13
    assert planned_steps(100, replace(small, steps=7)) == 7


def test_a_test_picture_among_the_training_pictures_stops_the_run_with_its_name(persons, small, tmp_path):
    with pytest.raises(UserError, match=r"query_5_0\.png is a query picture"):
        train(persons, None, tmp_path / "x", small)


def test_data_that_cannot_be_trained_on(persons, small, tmp_path):
    real = pick(persons, split="train")
    with pytest.raises(UserError, match="no training pictures"):
        train(rows(real, []), None, tmp_path / "x", small)
    with pytest.raises(UserError, match="1 identity"):
        train(rows(real, range(8)), None, tmp_path / "x", small)
    with pytest.raises(UserError, match="label strategy 'soft' does not exist"):
        train(real, None, tmp_path / "x", small, labels="soft")


def test_a_loss_that_is_not_finite_stops_with_the_step(persons, small, tmp_path):
    with pytest.raises(UserError, match=r"loss is (nan|inf) at step \d+ of 6"):
        train(pick(persons, split="train"), None, tmp_path / "x", replace(small, lr=1e20))


def test_a_damaged_checkpoint_is_named(persons, small, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "fit", lambda *rest: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(pick(persons, split="train"), None, tmp_path / "x", small)
    (tmp_path / "x" / "checkpoint.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged"):
        train(pick(persons, split="train"), None, tmp_path / "x", small)
