"""Made pictures in training: labels by real identities, weight, start and ratio."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from synreid.data.table import pick
from synreid.reid import train as module
from synreid.reid.embed import embed_table, load_model
from synreid.reid.teacher import Teacher
from synreid.reid.train import MODEL, train, wrong_answers
from synreid.stage.errors import UserError
from synreid.stage.files import read_json, write_json
from synreid.stage.folder import RUN


@pytest.fixture(scope="module")
def real(persons):
    return pick(persons, split="train")


@pytest.fixture(scope="module")
def taught(real, small, tmp_path_factory):
    return train(real, None, tmp_path_factory.mktemp("reid") / "teacher", replace(small, steps=3))


def weights_seen(monkeypatch):
    """Record, for each step, how many pictures of the batch are made and what they weigh."""
    seen = []

    def watch(state, pictures, picked, chosen, *rest):
        made = chosen.made[picked]
        with torch.no_grad():
            weight = chosen.targets(
                picked, torch.zeros(len(picked), state.network.classifier.out_features), state.step
            )[1]
        assert (weight[~made] == 1).all()
        seen.append((int(made.sum()), set(weight[made].tolist())))
        return learn(state, pictures, picked, chosen, *rest)

    learn = module.learn
    monkeypatch.setattr(module, "learn", watch)
    return seen


def test_weight_start_and_ratio_reach_every_batch(real, made, small, tmp_path, monkeypatch):
    seen = weights_seen(monkeypatch)
    train(real, made, tmp_path / "x", replace(small, made_weight=0.5, made_start=0.5, made_ratio=1.0))
    assert seen == [(4, {0.0})] * 3 + [(4, {0.5})] * 3


@pytest.mark.parametrize(("given", "silent"), [(None, 2), (0.0, 0)])
def test_the_second_dynamic_kind_has_a_start_of_its_own(given, silent, real, made, small, tmp_path, monkeypatch):
    seen = weights_seen(monkeypatch)
    options = replace(small, made_ratio=1.0, made_start=given)
    train(real, made, tmp_path / "x", options, "mprl-dynamic-2")
    assert seen == [(4, {0.0})] * silent + [(4, {1.0})] * (6 - silent)  # round(0.4 * 6) = 2


def test_what_made_pictures_of_weight_0_are_called_does_not_matter(real, made, small, tmp_path):
    options = replace(small, made_weight=0.0)
    models = [(train(real, made, tmp_path / name, options, name) / MODEL).read_bytes() for name in ("lsro", "pseudo")]
    assert models[0] == models[1]
    assert (train(real, made, tmp_path / "counted", small, "lsro") / MODEL).read_bytes() != models[0]


@pytest.mark.parametrize("labels", ["slsr", "mprl-dynamic-2"])
def test_labels_and_ratio_resume_to_the_same_bytes(labels, real, made, small, taught, tmp_path, cut_off):
    given = {"labels": labels, "teacher": taught if labels == "slsr" else None}
    options = replace(small, made_ratio=0.6, made_weight=0.3)
    whole = train(real, made, tmp_path / "whole", options, **given)
    with cut_off(3):
        train(real, made, tmp_path / "cut", options, **given, checkpoint_seconds=0.0)
    resumed = train(real, made, tmp_path / "cut", options, **given)
    assert (resumed / MODEL).read_bytes() == (whole / MODEL).read_bytes()


@pytest.mark.parametrize(("labels", "classes"), [("extra-class", 6), ("mprl-static", 5)])
def test_classes_are_the_real_identities(labels, classes, real, made, small, taught, tmp_path):
    teacher = taught if labels == "mprl-static" else None
    folder = train(real, made, tmp_path / "x", replace(small, steps=2), labels, teacher=teacher)
    assert read_json(folder / "classes.json")[:5] == [f"p/{k}" for k in range(5)]
    assert read_json(folder / RUN)["classes"] == classes


def test_a_teachers_features_are_those_that_ranking_takes(real, taught):
    np.testing.assert_array_equal(Teacher(taught).embed(real), embed_table(load_model(taught), real))


def test_labels_that_cannot_be_had_are_refused(real, made, small, taught, tmp_path):
    for labels in ("slsr", "mprl-static"):
        with pytest.raises(UserError, match=f"'{labels}' needs a teacher"):
            train(real, made, tmp_path / "x", small, labels)
    with pytest.raises(UserError, match="'lsro' has none"):
        train(real, made, tmp_path / "x", small, "lsro", teacher=taught)
    with pytest.raises(UserError, match=r"'lsro' .* no real training pictures"):
        train(made, None, tmp_path / "x", small, "lsro")
    assert not (tmp_path / "x" / RUN).exists(), "a refused request may be corrected"


def test_a_model_of_before_an_option_came_is_read_with_its_default(real, taught, tmp_path):
    folder = train(real, None, tmp_path / "x", replace(load_model(taught).options, steps=1))
    run = read_json(folder / RUN)
    del run["named"]["made_ratio"]
    write_json(folder / RUN, run)
    assert load_model(folder).options.made_ratio is None


def test_an_answer_is_wrong_where_its_target_is_not_the_highest():
    logits = torch.tensor([[2.0, 1, 0], [2, 1, 0], [2, 1, 0], [2, 1, 0]])
    targets = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1 / 3, 1 / 3, 1 / 3], [0.2, 0.3, 0.5]])
    assert wrong_answers(logits, targets) == 2
