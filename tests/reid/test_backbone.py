from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from synreid.reid.backbone import build
from synreid.reid.options import ReidOptions
from synreid.stage.errors import UserError


def test_the_feature_is_the_bottleneck_and_the_logits_are_the_classes(small):
    network = build(small, 7).eval()
    pictures = torch.randn(2, 3, 32, 16)
    assert network.embed(pictures).shape == (2, 16)
    assert network(pictures).shape == (2, 7)


def test_arms_with_more_classes_start_from_the_same_network(small):
    few, many = build(small, 3).state_dict(), build(small, 30).state_dict()
    assert [name for name in few if not name.startswith("classifier") and not torch.equal(few[name], many[name])] == []
    other = build(replace(small, seed=1), 3).state_dict()
    assert not torch.equal(few["bottleneck.0.weight"], other["bottleneck.0.weight"])


def test_build_leaves_the_callers_random_numbers_alone(small):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    build(small, 3)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_a_file_are_loaded_under_common_prefixes(small, tmp_path: Path, suffix):
    source = build(replace(small, seed=9), 3).backbone.state_dict()
    state = {f"module.{name}": value for name, value in source.items()} | {"fc.weight": torch.zeros(2)}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": state}, path)
    else:
        safetensors.torch.save_file(state, path)
    loaded = build(replace(small, pretrained=str(path)), 3).backbone.state_dict()
    assert all(torch.equal(loaded[name], source[name]) for name in source)


class Unsafe:
    def __reduce__(self):
        return print, ("this must never run",)


def test_weights_that_cannot_be_had_are_named(small, tmp_path: Path, capsys):
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    torch.save(Unsafe(), tmp_path / "unsafe.pth")
    for name, match in (("other", "does not hold the weights"), ("unsafe", "not a readable"), ("no", "does not exist")):
        with pytest.raises(UserError, match=match):
            build(replace(small, pretrained=str(tmp_path / f"{name}.pth")), 3)
    assert "never run" not in capsys.readouterr().out


def test_no_network_is_said_clearly(small, monkeypatch):
    def create(name, pretrained, **rest):
        raise ConnectionError("no route")

    monkeypatch.setattr("timm.create_model", create)
    with pytest.raises(UserError, match="could not be downloaded"):
        build(replace(small, pretrained="timm"), 3)


def test_an_unknown_backbone_is_named(small):
    with pytest.raises(UserError, match="'resnet19' is not a timm network"):
        build(replace(small, backbone="resnet19"), 3)


def test_a_transformer_is_built_for_the_options_size():
    network = build(ReidOptions(backbone="test_vit", height=64, width=32), 3).eval()
    assert network.embed(torch.zeros(1, 3, 64, 32)).shape == (1, 512)


def test_maps_one_pixel_wide_stay_out_of_bfloat16():
    network = build(ReidOptions(backbone="resnet18", height=64, width=32), 3).train()
    kinds = {}
    for name in ("layer1.0.conv1", "layer3.1.conv2", "layer4.0.conv1", "layer4.0.downsample.0", "layer4.1.conv2"):
        network.backbone.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: kinds.update({name: (tuple(output.shape[2:]), output.dtype)})
        )
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(4, 3, 64, 32)).sum().backward()
    assert kinds == {
        "layer1.0.conv1": ((16, 8), torch.bfloat16),
        "layer3.1.conv2": ((4, 2), torch.bfloat16),
        "layer4.0.conv1": ((2, 1), torch.float32),
        "layer4.0.downsample.0": ((2, 1), torch.float32),
        "layer4.1.conv2": ((2, 1), torch.float32),
    }
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())
