from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from synreid.cli.main import main
from synreid.data.scan import open_data
from synreid.data.table import column, concat, pick
from synreid.generate.network import load_generator, new_generator, save_network
from synreid.generate.options import GanOptions
from synreid.generate.place import LearnedPictures, learned_pictures, save_learned
from synreid.invert import train as training
from synreid.invert.encoder import ENCODER, load_encoder
from synreid.invert.options import EncoderOptions
from synreid.invert.train import hold_out, train_encoder
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.stage.folder import StageFolder
from synreid.stage.metrics import read_metrics

TINY = EncoderOptions(
    steps=8,
    batch=4,
    accumulate=2,
    passes=2,
    lpips=0.0,
    channels=4,
    validate=8,
    snap=4,
    precision="fp32",
    device="cpu",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, train_table: pa.Table, tiny_gan: Path) -> Path:
    return train_encoder(train_table, tiny_gan, tmp_path_factory.mktemp("encoder") / "encoder", TINY)


@pytest.mark.parametrize("cut", [0, 1, 6])
def test_resumed_run_ends_bit_identical(
    cut: int, tmp_path: Path, train_table: pa.Table, tiny_gan: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = training._Training._gradients

    def stops(self: training._Training) -> dict[str, float]:
        if self.state.step == cut:
            raise KeyboardInterrupt
        return whole(self)

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training._Training, "_gradients", stops)
    with pytest.raises(KeyboardInterrupt):
        train_encoder(train_table, tiny_gan, tmp_path / "encoder", TINY)
    assert (tmp_path / "encoder" / "checkpoint.pt").exists() == (cut > 0)
    monkeypatch.setattr(training._Training, "_gradients", whole)
    train_encoder(train_table, tiny_gan, tmp_path / "encoder", TINY)
    assert (tmp_path / "encoder" / ENCODER).read_bytes() == (trained / ENCODER).read_bytes()
    assert read_metrics(tmp_path / "encoder") == read_metrics(trained)
    for sheet in trained.glob("passes-*.png"):
        assert (tmp_path / "encoder" / sheet.name).read_bytes() == sheet.read_bytes()


def test_time_is_kept_with_every_checkpoint(
    tmp_path: Path, train_table: pa.Table, tiny_gan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, steps = tmp_path / "encoder" / "checkpoint.pt", []
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(
        StageFolder, "keep_time", lambda _: steps.append(torch.load(checkpoint, weights_only=True)["step"])
    )
    train_encoder(train_table, tiny_gan, tmp_path / "encoder", TINY)
    assert steps == list(range(8))


def test_run_leaves_what_others_need(trained: Path, train_table: pa.Table, tiny_gan: Path) -> None:
    encoder = load_encoder(trained, tiny_gan)
    network = load_generator(tiny_gan)
    w, made = encoder.invert(network, torch.zeros(2, 3, 16, 8), passes=2)
    assert w.shape == (2, network.num_ws, network.w_dim)
    assert made.shape == (2, 3, 16, 8)
    assert learned_pictures(trained).digests == set(column(train_table, "sha256"))
    assert sorted(path.name for path in trained.glob("passes-*.png")) == [f"passes-{n:06d}.png" for n in (0, 4, 8)]
    assert not (trained / "checkpoint.pt").exists()
    run = read_json(trained / "run.json")
    assert run["steps"] == 8
    assert set(run["outputs"]) == {ENCODER, "pictures.parquet"}
    assert list((trained / "tensorboard").iterdir())


def test_generator_stays_as_it_is(
    tmp_path: Path, train_table: pa.Table, tiny_gan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in tiny_gan.iterdir() if path.is_file()}
    seen = []
    finish = training._Training.finish
    monkeypatch.setattr(
        training._Training, "finish", lambda self, learned: (seen.append(self.generator), finish(self, learned))[1]
    )
    train_encoder(train_table, tiny_gan, tmp_path / "encoder", TINY)
    assert {path.name: path.read_bytes() for path in tiny_gan.iterdir() if path.is_file()} == before
    kept = load_file(tiny_gan / "generator.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in seen[0].state_dict().items())


def test_loss_falls_on_persons_who_were_held_out(tmp_path: Path, train_table: pa.Table, tiny_gan: Path) -> None:
    options = dataclasses.replace(TINY, steps=30, batch=8, accumulate=1, lr=5e-3, snap=30, channels=8)
    out = train_encoder(train_table, tiny_gan, tmp_path / "encoder", options)
    first, last = (line["val_l2"] for line in read_metrics(out) if "val_l2" in line)
    assert last < 0.9 * first


def test_every_weight_is_trained(trained: Path, tiny_gan: Path) -> None:
    start = training.new_encoder(load_generator(tiny_gan), TINY).state_dict()
    ended = load_encoder(trained, tiny_gan).state_dict()
    assert all(not torch.equal(start[name], ended[name]) for name in start)


def test_gradients_are_the_sum_over_passes_and_the_mean_over_batches(
    tmp_path: Path, train_table: pa.Table, tiny_gan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[torch.Tensor]] = []

    def look(self: training._Training) -> None:
        self._gradients()
        got = [p.grad.clone() for p in self.state.encoder.parameters() if p.grad is not None]
        encoder, generator = self.state.encoder, self.generator
        encoder.zero_grad()
        real = torch.cat(self._batches())
        mean = generator.mapping.mean  # type: ignore[union-attr]
        w = mean.expand(len(real), generator.num_ws, -1)  # type: ignore[operator]
        total = torch.zeros(())
        for _ in range(2):
            w = w + encoder(torch.cat([real, generator.synthesize(w)], dim=1))
            far = (w - mean).square().mean(dim=(1, 2))
            total = total + ((generator.synthesize(w) - real).square().mean(dim=(1, 2, 3)) + 0.005 * far).mean()
            w = w.detach()
        total.backward()
        found.append(got)
        found.append([p.grad for p in encoder.parameters() if p.grad is not None])

    monkeypatch.setattr(training._Training, "run", look)
    train_encoder(train_table, tiny_gan, tmp_path / "encoder", TINY)
    assert len(found[0]) > 10
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-6)


def test_held_out_persons_are_never_learned_from(train_table: pa.Table) -> None:
    learning, held = hold_out(train_table, seed=0)
    assert len(learning) + len(held) == len(train_table)
    assert len(set(column(held, "pid"))) == 1  # a tenth of twelve
    assert not set(column(held, "pid")) & set(column(learning, "pid"))
    assert {tuple(sorted(set(column(hold_out(train_table, seed)[1], "pid")))) for seed in range(8)} != {
        tuple(sorted(set(column(held, "pid"))))
    }


def test_only_the_training_split_is_looked_at(tmp_path: Path, tiny_street: Path, tiny_gan: Path, trained: Path) -> None:
    data = open_data(tiny_street)
    assert set(column(data, "split")) > {"train"}
    out = train_encoder(data, tiny_gan, tmp_path / "encoder", TINY)
    assert (out / ENCODER).read_bytes() == (trained / ENCODER).read_bytes()
    assert learned_pictures(out).digests == set(column(pick(data, split="train"), "sha256"))


def test_generator_that_knows_a_test_picture_is_refused(tmp_path: Path, tiny_street: Path, tiny_gan: Path) -> None:
    data = open_data(tiny_street)
    query = str(column(pick(data, split="query"), "sha256")[0])
    shutil.copytree(tiny_gan, tmp_path / "gan")
    save_learned(tmp_path / "gan", learned_pictures(tiny_gan) | LearnedPictures(frozenset([query])))
    with pytest.raises(UserError, match="a query picture"):
        train_encoder(data, tmp_path / "gan", tmp_path / "encoder", TINY)
    assert not (tmp_path / "encoder").exists()


def test_sheet_shows_the_real_picture_and_every_pass(trained: Path) -> None:
    page = np.asarray(Image.open(trained / "passes-000008.png").convert("RGB"))
    _, width, _ = page.shape
    cell = 8 * 8  # eight pixels wide, enlarged eight times
    assert 3 * cell <= width < 4 * cell + 60


def test_too_few_pictures_and_persons_are_refused(tmp_path: Path, train_table: pa.Table, tiny_gan: Path) -> None:
    first = str(column(train_table, "pid")[0])
    one = pick(train_table, pid=first)
    with pytest.raises(UserError, match="names 1 of the two persons"):
        train_encoder(one, tiny_gan, tmp_path / "a", TINY)
    second = pick(train_table, pid=str(column(train_table, "pid")[-1]))
    few = concat([one.slice(0, 2), second.slice(0, 2)])
    with pytest.raises(UserError, match="holds 4 pictures, 2 without the persons held out, fewer than a batch of 4"):
        train_encoder(few, tiny_gan, tmp_path / "b", TINY)
    assert not list(tmp_path.iterdir())


def test_generator_without_style_layers_is_refused(tmp_path: Path, train_table: pa.Table) -> None:
    options = GanOptions(cfg="dcgan", height=16, width=8, cmax=8, cbase=128, w_dim=8)
    save_network(tmp_path / "gan" / "generator.safetensors", new_generator(options), options)
    with pytest.raises(UserError, match="no style layers"):
        train_encoder(train_table, tmp_path / "gan", tmp_path / "encoder", TINY)


def test_loss_that_is_not_finite_stops_and_keeps_a_good_checkpoint(
    tmp_path: Path, train_table: pa.Table, tiny_gan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(UserError, match="not finite at step 1;"):
        train_encoder(train_table, tiny_gan, tmp_path / "encoder", dataclasses.replace(TINY, lr=1e30, snap=100))
    kept = torch.load(tmp_path / "encoder" / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 0
    assert all(torch.isfinite(value).all() for value in kept["encoder"].values())
    assert not (tmp_path / "encoder" / ENCODER).exists()


def test_folder_of_another_generator_is_refused(trained: Path, train_table: pa.Table, tiny_gan: Path) -> None:
    snapshot = tiny_gan / "generator-00000.0.safetensors"
    with pytest.raises(UserError, match="gan was"):
        train_encoder(train_table, snapshot, trained, TINY)
    with pytest.raises(UserError, match="was trained with generator"):
        load_encoder(trained, snapshot)


def test_snapshot_file_and_mirrored_pictures(tmp_path: Path, train_table: pa.Table, tiny_gan: Path) -> None:
    snapshot = tiny_gan / "generator-00000.2.safetensors"
    plain = dataclasses.replace(TINY, steps=1)
    found = []
    for mirror in (True, False):
        options = dataclasses.replace(plain, mirror=mirror)
        found.append(load_file(train_encoder(train_table, snapshot, tmp_path / str(mirror), options) / ENCODER))
    assert any(not torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_damaged_checkpoint_is_named(
    tmp_path: Path, train_table: pa.Table, tiny_gan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: training._Training) -> dict[str, float]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training._Training, "_gradients", stop)
        train_encoder(train_table, tiny_gan, tmp_path / "b", TINY)
    (tmp_path / "b" / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged"):
        train_encoder(train_table, tiny_gan, tmp_path / "b", TINY)


def test_command_trains_and_its_config_trains_again(
    tmp_path: Path, tiny_street: Path, tiny_gan: Path, trained: Path
) -> None:
    words = [word for key, value in dataclasses.asdict(TINY).items() for word in (f"--{key}", str(value).lower())]
    for asked in (
        ["--data", str(tiny_street), "--gan", str(tiny_gan), "--out", str(tmp_path / "a"), *words],
        ["--config", str(tmp_path / "config.yaml")],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["encoder", "train", *asked])
        assert stopped.value.code == 0
        config = yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "out": str(tmp_path / "b")}))
    for name in ("a", "b"):
        assert (tmp_path / name / ENCODER).read_bytes() == (trained / ENCODER).read_bytes()
