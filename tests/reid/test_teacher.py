from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from synreid.data.table import pick
from synreid.reid.batches import normalise
from synreid.reid.embed import load_model
from synreid.reid.prepare import prepare
from synreid.reid.teacher import Teacher, logits
from synreid.reid.train import MODEL, train
from synreid.stage.errors import UserError
from synreid.stage.folder import read_run


@pytest.fixture(scope="module")
def real(persons) -> pa.Table:
    return pick(persons, split="train")


@pytest.fixture(scope="module")
def taught(real, small, tmp_path_factory):
    """A model of the real pictures, of another size than the pupils, and through a resolution of its own."""
    options = replace(small, steps=120, height=48, width=24, through="20x10", dropout=0.0)
    return train(real, None, tmp_path_factory.mktemp("reid") / "teacher", options)


def test_logits_are_the_networks_own_on_its_own_kind_of_pictures(taught, made):
    model = load_model(taught)
    pictures = prepare(made, model.options)
    assert pictures.shape == (12, 48, 24, 3)
    with torch.no_grad():
        expected = torch.cat([model.network(normalise(torch.from_numpy(picture[None]))) for picture in pictures])
    np.testing.assert_allclose(logits(model, made), expected, rtol=1e-4, atol=1e-5)


def test_a_teacher_knows_its_own_pictures(taught, real):
    names, answers = Teacher(taught)(real)
    assert answers.shape == (40, 5)
    right = [names[k] == pid for k, pid in zip(answers.argmax(1), real["pid"].to_pylist(), strict=True)]
    assert np.mean(right) > 0.8


@pytest.mark.parametrize("labels", ["smoothed", "teacher"])
def test_soft_labels_train_and_resume_to_the_same_bytes(labels, real, made, small, taught, tmp_path, cut_off):
    given = {"labels": labels, "teacher": taught if labels == "teacher" else None}
    whole = train(real, made, tmp_path / "whole", small, **given)
    hard = train(real, made, tmp_path / "hard", small)
    assert (whole / MODEL).read_bytes() != (hard / MODEL).read_bytes()
    with cut_off(3):
        train(real, made, tmp_path / "cut", small, **given, checkpoint_seconds=0.0)
    assert not (tmp_path / "cut" / MODEL).exists()
    resumed = train(real, made, tmp_path / "cut", small, **given)
    assert (resumed / MODEL).read_bytes() == (whole / MODEL).read_bytes()


def test_another_teacher_is_another_training(real, made, small, taught, tmp_path):
    pupil = train(real, made, tmp_path / "x", small, "teacher", teacher=taught)
    assert set(read_run(pupil, "reid")["inputs"]) == {"pictures", "teacher"}
    other = train(real, None, tmp_path / "other", replace(small, steps=2))
    with pytest.raises(UserError, match=r"teacher was .* and is now"):
        train(real, made, pupil, small, "teacher", teacher=other)
    moved = taught.rename(taught.with_name("moved"))
    assert train(real, made, pupil, small, "teacher", teacher=moved) == pupil
    moved.rename(taught)


def test_what_cannot_teach_is_refused(real, made, small, taught, tmp_path):
    with pytest.raises(UserError, match="needs a teacher"):
        train(real, made, tmp_path / "x", small, "teacher")
    with pytest.raises(UserError, match="'new-identity' has none"):
        train(real, made, tmp_path / "x", small, teacher=taught)
    with pytest.raises(UserError, match="not the folder of a reid run"):
        train(real, made, tmp_path / "x", small, "teacher", teacher=tmp_path)
    with pytest.raises(UserError, match="knows none of the 3 identities"):
        train(made, None, tmp_path / "x", small, "teacher", teacher=taught)
    mixed = train(real, made, tmp_path / "mixed", replace(small, steps=1))
    with pytest.raises(UserError, match="12 made pictures"):
        train(real, made, tmp_path / "x", small, "teacher", teacher=mixed)
    assert not (tmp_path / "x" / "run.json").exists(), "a refused request may be corrected"
