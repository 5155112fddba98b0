"""Training by the strong recipe's parts: what reaches which loss, resuming, and that it learns."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from synreid.data.table import pick
from synreid.reid import losses as losses_module
from synreid.reid.embed import embed_table, load_model
from synreid.reid.options import ReidOptions
from synreid.reid.train import MODEL, train
from synreid.stage.errors import UserError
from synreid.stage.folder import read_run
from synreid.stage.metrics import read_metrics


@pytest.fixture(scope="module")
def real(persons):
    return pick(persons, split="train")


@pytest.fixture(scope="module")
def strong(shrunk) -> ReidOptions:
    return shrunk("strong")


def test_cut_off_and_resumed_is_as_if_never_cut_off(real, made, strong, tmp_path, cut_off):
    options = replace(strong, held_out=0.1, pooling="gem", dropout=0.2)
    whole = train(real, made, tmp_path / "whole", options)
    with cut_off(4):
        train(real, made, tmp_path / "cut", options, checkpoint_seconds=0.0)
    torch.rand(5)
    np.random.rand(5)
    resumed = train(real, made, tmp_path / "cut", options)
    assert (resumed / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    kept = ("loss", "cross_entropy", "triplet", "centre", "val_loss", "val_error", "lr")
    lines = [[[line[name] for name in kept] for line in read_metrics(folder)] for folder in (whole, resumed)]
    assert lines[0] == lines[1] and len(lines[0]) == 6
    for loss, *parts, _, _, _ in lines[0]:
        assert loss == pytest.approx(sum(parts)) and min(parts) > 0


def test_it_learns(real, strong, tmp_path):
    options = replace(strong, steps=40, lr=3e-3, random_erasing=0.0)
    lines = read_metrics(train(real, None, tmp_path / "x", options))
    for name in ("loss", "cross_entropy", "triplet", "classification_error"):
        first, last = (sum(line[name] for line in part) for part in (lines[:10], lines[-10:]))
        assert last < 0.8 * first, name


@pytest.mark.parametrize(("labels", "certain"), [("new-identity", 8), ("smoothed", 4), ("lsro", 4), ("extra-class", 4)])
def test_metric_losses_see_certain_persons_alone(labels, certain, real, made, strong, tmp_path, monkeypatch):
    seen = []
    forward = losses_module.MetricLosses.forward

    def watch(self, features, persons, weight):
        seen.append(int((persons >= 0).sum()))
        return forward(self, features, persons, weight)

    monkeypatch.setattr(losses_module.MetricLosses, "forward", watch)
    train(real, made, tmp_path / "x", replace(strong, steps=3, made_ratio=1.0), labels)
    assert seen == [certain] * 3


def test_what_made_pictures_of_weight_0_are_called_does_not_matter(real, made, strong, tmp_path):
    options = replace(strong, made_weight=0.0, made_ratio=1.0)
    models = [(train(real, made, tmp_path / name, options, name) / MODEL).read_bytes() for name in ("lsro", "pseudo")]
    assert models[0] == models[1]


def test_a_bnnecks_feature_is_the_backbones_size_and_is_loaded_again(real, persons, strong, tmp_path):
    model = load_model(train(real, None, tmp_path / "x", strong))
    assert model.options == strong
    width = model.network.embedding
    assert width != strong.embedding and model.network.classifier.bias is None
    assert embed_table(model, pick(persons, split="query")).shape == (8, width)


def test_fewer_persons_than_a_batch_holds_leave_the_folder_free(real, strong, small, tmp_path):
    with pytest.raises(UserError, match="there are 5 persons to train on, but a batch holds 8"):
        train(real, None, tmp_path / "x", replace(strong, batch=16))
    train(real, None, tmp_path / "x", replace(small, steps=1))


def test_options_that_came_later_name_a_training_only_where_they_are_used(real, small, strong, tmp_path):
    named = read_run(train(real, None, tmp_path / "x", replace(small, steps=1)), "reid")["named"]
    assert set(named) == set(asdict(small)) - set(small.unnamed) | {"labels"}
    assert {"neck", "optimiser", "triplet", "held_out"} <= set(small.unnamed)
    named = read_run(train(real, None, tmp_path / "y", replace(strong, steps=1)), "reid")["named"]
    assert (named["neck"], named["triplet"], named["optimiser"]) == ("bnneck", 1.0, "adam")
    assert "held_out" not in named
