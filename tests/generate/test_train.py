from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from synreid.data.table import column
from synreid.generate import train as training
from synreid.generate.layers import upsample
from synreid.generate.network import learned_pictures, load_discriminator, load_generator
from synreid.generate.options import GanOptions
from synreid.generate.train import train_gan
from synreid.stage.errors import UserError
from synreid.stage.metrics import read_metrics


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {**load_file(folder / "generator.safetensors"), **load_file(folder / "discriminator.safetensors")}


@pytest.mark.parametrize("cut", [1, 5, 7])
def test_resumed_run_ends_bit_identical(
    cut: int,
    tmp_path: Path,
    train_table: pa.Table,
    tiny_gan: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_options: GanOptions,
) -> None:
    whole = training._Training._step

    def stops(self: training._Training) -> dict[str, float]:
        if self.state.step == cut:
            raise KeyboardInterrupt
        return whole(self)

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training._Training, "_step", stops)
    with pytest.raises(KeyboardInterrupt):
        train_gan(train_table, tmp_path / "gan", tiny_options)
    monkeypatch.setattr(training._Training, "_step", whole)
    train_gan(train_table, tmp_path / "gan", tiny_options)
    resumed, uninterrupted = weights(tmp_path / "gan"), weights(tiny_gan)
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in resumed)
    steps = [line["step"] for line in read_metrics(tmp_path / "gan")]
    assert steps == [line["step"] for line in read_metrics(tiny_gan)]


def test_run_leaves_what_others_need(tiny_gan: Path, train_table: pa.Table) -> None:
    assert learned_pictures(tiny_gan).digests == set(column(train_table, "sha256"))
    assert len(list(tiny_gan.glob("samples-*.png"))) == 3
    assert (tiny_gan / "real.png").exists()
    assert not (tiny_gan / "checkpoint.pt").exists()


def test_training_changes_every_weight_of_the_average(tiny_gan: Path, tiny_options: GanOptions) -> None:
    torch.manual_seed(tiny_options.seed)
    start = training.new_generator(tiny_options).state_dict()
    trained = load_generator(tiny_gan).state_dict()
    assert all(not torch.equal(start[name], trained[name]) for name in start)


def test_every_picture_is_shown_once_a_pass(train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions) -> None:
    class Shown(training._Training):
        def __init__(self) -> None:
            self.options = dataclasses.replace(tiny_options, mirror=False)
            self.pictures = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 3, 16, 8)
            self.device = torch.device("cpu")

    run = Shown()
    seen = []
    for step in range(5):  # 40 pictures of 20: two passes
        run.state = type("S", (), {"step": step})()  # type: ignore[assignment]
        seen += ((run._real(torch.Generator())[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(20))
    assert seen[:20] != seen[20:]


def test_start_from_another_run_counts_its_pictures(
    tiny_gan: Path, train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    few = train_table.slice(0, 10)
    out = train_gan(few, tmp_path / "b", dataclasses.replace(tiny_options, start=str(tiny_gan), kimg=0.016))
    assert learned_pictures(out).digests == set(column(train_table, "sha256"))


def test_start_of_another_architecture_is_refused(
    tiny_gan: Path, train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    with pytest.raises(UserError, match="has channels 8, but 4 is asked for"):
        train_gan(train_table, tmp_path / "b", dataclasses.replace(tiny_options, start=str(tiny_gan), channels=4))


def test_too_few_pictures_are_refused(train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions) -> None:
    with pytest.raises(UserError, match="3 pictures, fewer than a batch of 8"):
        train_gan(train_table.slice(0, 3), tmp_path / "b", tiny_options)


def test_loss_that_is_not_finite_stops_and_names_the_step(
    train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    with pytest.raises(UserError, match="not finite at step"):
        train_gan(train_table, tmp_path / "b", dataclasses.replace(tiny_options, lr_g=1e30, lr_d=1e30))


def test_damaged_checkpoint_is_named(
    train_table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_options: GanOptions
) -> None:
    def stop(self: training._Training) -> dict[str, float]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training._Training, "_step", stop)
        train_gan(train_table, tmp_path / "b", tiny_options)
    (tmp_path / "b" / "checkpoint.pt").write_bytes(np.random.default_rng(0).bytes(1000))
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged"):
        train_gan(train_table, tmp_path / "b", tiny_options)


def test_growing_starts_from_the_pictures_and_the_judgement_of_the_coarser_size(
    tiny_gan: Path, train_table: pa.Table, tiny_options: GanOptions
) -> None:
    finer = dataclasses.replace(tiny_options, height=64, width=32, start=str(tiny_gan))
    state = training.new_state(finer, tiny_gan, torch.device("cpu"))
    coarse = load_generator(tiny_gan)
    w = coarse.styles(torch.randn(2, 8, generator=torch.Generator().manual_seed(0)))
    wide = torch.cat([w, torch.randn(2, state.generator.num_ws - w.shape[1], 8)], dim=1)
    before = upsample(upsample(coarse.synthesize(w, torch.zeros(2, 0))))
    made = state.generator.synthesize(wide, torch.zeros(2, 0))
    bias = sum(block.to_rgb.bias.abs().sum() for block in state.generator.blocks[3:])
    assert float(bias.detach()) == 0
    torch.testing.assert_close(made.detach(), before, rtol=1e-3, atol=1e-4)
    pictures = torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    old = load_discriminator(tiny_gan)(functional.avg_pool2d(pictures, 4))
    torch.testing.assert_close(state.discriminator(pictures).detach(), old, rtol=1e-3, atol=1e-4)
    step_after_growing(state.discriminator, pictures)
    assert all(parameter.grad.abs().max() > 0 for parameter in state.discriminator.parameters())


def step_after_growing(discriminator: torch.nn.Module, pictures: torch.Tensor) -> None:
    """Descend once, so that the parts that start at nothing pass gradients on, and compute the gradients anew."""
    optimiser = torch.optim.SGD(discriminator.parameters(), lr=1.0)
    for _ in range(2):
        optimiser.zero_grad()
        discriminator(pictures).square().mean().backward()
        optimiser.step()


def test_growing_run_trains_every_size(train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions) -> None:
    out = train_gan(train_table, tmp_path / "g", dataclasses.replace(tiny_options, grow=(0.016,), kimg=0.016))
    assert load_generator(out / "grow-8x4").height == 8
    assert load_generator(out).height == 16
