from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from synreid.features.embedders import efficientnet_lite0
from synreid.generate import train as training
from synreid.generate.options import GanOptions
from synreid.generate.train import train_gan
from synreid.generate.vision import PROJECTED, Vision


@pytest.fixture(scope="module")
def vision() -> Vision:
    torch.manual_seed(0)
    return Vision()


@pytest.mark.parametrize(("height", "width"), [(64, 32), (128, 48), (32, 16)])
def test_features_come_at_four_scales(height: int, width: int, vision: Vision) -> None:
    found = vision.features(torch.rand(2, 3, height, width))
    assert [part.shape[1] for part in found] == list(PROJECTED)
    assert [part.shape[2] for part in found] == [32, 16, 8, 4]
    assert [logits.shape[1] for logits in vision.judge(found)] == [1, 1, 1, 1]


def test_backbone_sees_what_it_was_trained_on(vision: Vision) -> None:
    bytes_ = torch.randint(0, 256, (2, 3, 128, 64)).float()
    network = efficientnet_lite0()
    x = network.bn1(network.conv_stem((bytes_ - 127) / 128))  # type: ignore[operator]
    for stage in network.blocks:  # type: ignore[union-attr]
        x = stage(x)
    coarsest = vision.projections[-1](x)
    torch.testing.assert_close(vision.features(bytes_ / 127.5 - 1)[-1], coarsest, rtol=1e-3, atol=1e-3)


def test_only_the_heads_learn_and_the_generator_is_reached(vision: Vision) -> None:
    made = torch.rand(4, 3, 32, 16, requires_grad=True)
    with torch.no_grad():
        real = vision.features(torch.rand(4, 3, 32, 16))
    fake = vision.features(made)
    vision.loss(real, fake).backward()
    learning = {name for name, value in vision.named_parameters() if value.grad is not None}
    assert learning == {name for name, _ in vision.named_parameters() if name.startswith("heads.")}
    assert made.grad is None
    vision.zero_grad()
    vision.generator_loss(fake).backward()
    assert made.grad is not None
    assert float(made.grad.abs().sum()) > 0
    assert all(value.grad is None for value in vision.parameters())


def test_heads_learn_to_tell_two_kinds_apart() -> None:
    torch.manual_seed(0)
    vision = Vision()
    bright, dark = torch.full((4, 3, 32, 16), 0.8), torch.full((4, 3, 32, 16), -0.8)
    with torch.no_grad():
        real, fake = vision.features(bright), vision.features(dark)
    adam = torch.optim.Adam(vision.heads.parameters(), lr=1e-3)
    first = float(vision.loss(real, fake).detach())
    for _ in range(15):
        training._descend(adam, vision.loss(real, fake))
    assert float(vision.loss(real, fake).detach()) < 0.5 * first
    assert all(a.mean() > b.mean() for a, b in zip(vision.judge(real), vision.judge(fake), strict=True))


def test_aided_run_resumes_bit_identical(
    tmp_path: Path, train_table: pa.Table, tiny_options: GanOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dataclasses.replace(tiny_options, vision=0.5, kimg=0.048, precision="fp32")
    whole = train_gan(train_table, tmp_path / "whole", options)
    step = training._Training._step

    def stops(self: training._Training) -> dict[str, float]:
        if self.state.step == 3:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training._Training, "_step", stops)
    with pytest.raises(KeyboardInterrupt):
        train_gan(train_table, tmp_path / "cut", options)
    monkeypatch.setattr(training._Training, "_step", step)
    cut = train_gan(train_table, tmp_path / "cut", options)
    plain = train_gan(train_table, tmp_path / "plain", dataclasses.replace(options, vision=0))
    one, two, other = (load_file(folder / "generator.safetensors") for folder in (whole, cut, plain))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
