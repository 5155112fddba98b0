from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from synreid.data.table import concat, from_columns, pick, rows
from synreid.reid.backbone import build
from synreid.reid.batches import normalise
from synreid.reid.held_out import HeldOut, held_out_rows
from synreid.reid.options import ReidOptions
from synreid.reid.train import train
from synreid.stage.errors import UserError
from synreid.stage.folder import read_run
from synreid.stage.metrics import read_metrics


def table_of(pids, cameras):
    names = [f"{number:03d}" for number in range(len(pids))]
    return from_columns(path=names, sha256=names, pid=pids, camera=cameras)


def test_at_most_one_picture_a_person_is_held_out_and_cameras_have_their_share():
    pids = [f"p{number // 6}" for number in range(240)]
    cameras = ["abc"[number % 6 // 2] if number % 12 < 6 else "a" for number in range(240)]  # a: 160 of 240
    held = held_out_rows(table_of(pids, cameras), ReidOptions(held_out=0.15))
    assert held.sum() == 36
    assert max(Counter(np.array(pids)[held]).values()) == 1
    counts = Counter(np.array(cameras)[held])
    assert counts["a"] in (23, 24, 25) and abs(counts["b"] - counts["c"]) <= 1
    other = held_out_rows(table_of(pids, cameras), ReidOptions(held_out=0.15, seed=1))
    assert not np.array_equal(held, other)


def test_persons_of_one_picture_are_kept_and_the_rest_is_said(capfd):
    pids = ["a", "b", "b", "c", "d", "d"]
    held = held_out_rows(table_of(pids, ["x"] * 6), ReidOptions(held_out=0.9))
    assert sorted(np.array(pids)[held]) == ["b", "d"]
    assert "2 of 6 real training pictures are held out" in capfd.readouterr().err
    assert not held_out_rows(table_of(pids, ["x"] * 6), ReidOptions()).any()


def test_nothing_to_hold_out_is_refused():
    with pytest.raises(UserError, match=r"held_out is 0\.5, but every real picture is the only one"):
        held_out_rows(table_of(["a", "b"], ["x", "x"]), ReidOptions(held_out=0.5))


def test_parents_of_made_pictures_are_not_held_out():
    real = table_of(["a", "a", "b", "b"], ["x"] * 4)
    parent = {"sha256": "000", "role": "person", "weight": 1.0, "layers": []}
    parents = [[{**parent, "sha256": name}] for name in ("000", "002")]
    made = from_columns(
        path=["m0", "m1"], sha256=["m0", "m1"], pid=["a", "b"], origin=["artificial"] * 2, parents=parents
    )
    held = held_out_rows(concat([real, made]), ReidOptions(held_out=0.5))
    assert held.tolist() == [False, True, False, True, False, False]


def test_loss_and_error_are_those_of_every_picture_alone(small):
    options = replace(small, label_smoothing=0.2)
    network = build(options, 3).train()
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (70, 32, 16, 3), dtype=np.uint8))
    persons = np.array(["abc"[number % 3] for number in range(70)], dtype=object)
    found = HeldOut(pictures, persons, ["a", "b", "c"], torch.device("cpu")).measure(network, options, "fp32")
    assert network.training
    network.eval()
    loss = wrong = 0.0
    with torch.no_grad():
        for number, picture in enumerate(pictures):
            logits = network(normalise(picture[None]))[0]
            target = torch.full((3,), 0.2 / 3)
            target[number % 3] += 0.8
            loss -= float((target * logits.log_softmax(0)).sum()) / 70
            wrong += float(logits.argmax() != number % 3) / 70
    assert found == pytest.approx({"val_loss": loss, "val_error": wrong}, rel=1e-4)


def test_curves_hold_them_and_no_held_out_picture_is_trained_on(persons, made, small, tmp_path):
    real = pick(persons, split="train")
    options = replace(small, held_out=0.1)
    folder = train(real, made, tmp_path / "x", options)
    run = read_run(folder, "reid")
    assert (run["pictures_real"], run["pictures_made"], run["pictures_held_out"]) == (36, 12, 4)
    lines = read_metrics(folder)
    assert all({"val_loss", "val_error"} <= set(line) for line in lines)
    held = held_out_rows(concat([real, made]), options)[: len(real)]
    same = train(rows(real, ~held), made, tmp_path / "y", small)
    assert (folder / "model.safetensors").read_bytes() == (same / "model.safetensors").read_bytes()
