from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from synreid.data.decode import read_picture
from synreid.data.table import paths, pick
from synreid.reid import embed as module
from synreid.reid.embed import ReidEmbedder, embed, embed_table, load_model
from synreid.reid.prepare import prepare
from synreid.reid.train import train
from synreid.stage.errors import UserError


@pytest.fixture(scope="module")
def folder(persons, small, tmp_path_factory):
    options = replace(small, steps=3, through="20x10")
    return train(pick(persons, split="train"), None, tmp_path_factory.mktemp("reid") / "m", options)


def test_flipped_features_are_the_sum_of_both_sides(folder, persons):
    model = load_model(folder)
    pictures = prepare(pick(persons, split="query"), model.options)
    both = embed(model, pictures)
    sides = embed(model, pictures, flip=False) + embed(model, pictures[:, :, ::-1], flip=False)
    np.testing.assert_allclose(both, sides, rtol=1e-4, atol=1e-5)
    assert both.dtype == np.float32 and both.shape == (8, 16)


def test_a_picture_has_its_feature_whatever_stands_beside_it(folder, persons, monkeypatch):
    model = load_model(folder)
    table = pick(persons, split="gallery")
    whole = embed_table(model, table)
    monkeypatch.setattr(module, "BLOCK", 5)
    np.testing.assert_allclose(embed_table(model, table), whole, rtol=1e-4, atol=1e-5)


def test_pictures_of_any_size_are_prepared_as_the_training_pictures_were(folder, persons):
    table = pick(persons, split="query")
    embedder = ReidEmbedder(folder)
    raw = np.stack([read_picture(path) for path in paths(table)])
    np.testing.assert_allclose(embedder.embed(raw), embed_table(embedder.model, table), rtol=1e-4, atol=1e-5)
    assert embedder.embed(raw[:0]).shape == (0, 16)
    assert "test_resnet 32x16" in embedder.name


def test_through_takes_away_what_the_smaller_size_cannot_hold(persons, small):
    table = pick(persons, split="query")
    sharp, soft = prepare(table, small), prepare(table, replace(small, through="20x10"))
    assert sharp.shape == soft.shape == (8, 32, 16, 3)
    detail = [np.abs(np.diff(pictures.astype(float), axis=2)).mean() for pictures in (sharp, soft)]
    assert detail[1] < 0.7 * detail[0]


def test_the_loaded_network_has_the_weights_of_the_file(folder):
    loaded, written = load_model(folder).network.state_dict(), load_file(folder / "model.safetensors")
    assert loaded.keys() == written.keys()
    assert all(torch.equal(loaded[name], written[name]) for name in written)


def test_other_weights_of_the_same_options_are_another_model(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    name = next(name for name, value in weights.items() if value.is_floating_point())
    save_file({**weights, name: weights[name] + 1}, other / "model.safetensors")
    assert load_model(other).fingerprint != load_model(folder).fingerprint
    assert load_model(shutil.copytree(folder, tmp_path / "same")).fingerprint == load_model(folder).fingerprint


def test_a_damaged_model_is_named(folder, persons, small, tmp_path):
    with pytest.raises(UserError, match="not the folder of a reid run"):
        load_model(tmp_path)
    other = train(pick(persons, split="train"), None, tmp_path / "m", replace(small, steps=1))
    (other / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match="missing or damaged"):
        load_model(other)
