from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from synreid.features import registry
from synreid.features.embedders import EfficientNetLite0, efficientnet_lite0
from synreid.reid.backbone import GeneralisedMean, build
from synreid.reid.batches import normalise
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


def test_a_backbone_that_timm_cannot_build_is_named(small):
    with pytest.raises(UserError, match=r"backbone resnet18\.foo cannot be built at 32x16 .Invalid pretrained tag"):
        build(replace(small, backbone="resnet18.foo"), 3)


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


def test_the_generalised_mean_is_the_average_at_1_and_nears_the_largest():
    maps = torch.rand(3, 5, 4, 2)
    torch.testing.assert_close(GeneralisedMean(1.0)(maps), maps.mean((2, 3)))
    expected = [[sum(value**3 for value in one.flatten().tolist()) / 8 for one in picture] for picture in maps]
    torch.testing.assert_close(GeneralisedMean()(maps), torch.tensor(expected) ** (1 / 3))
    torch.testing.assert_close(GeneralisedMean(200.0)(maps), maps.amax((2, 3)), rtol=0.02, atol=0.0)
    power = GeneralisedMean()
    power(maps).sum().backward()
    assert power.power.grad.abs() > 0


def test_a_backbone_pools_by_the_generalised_mean(small):
    plain, gem = build(small, 3), build(replace(small, pooling="gem"), 3)
    x = torch.randn(2, 3, 32, 16)
    gem.eval().backbone.global_pool.power.data.fill_(1.0)
    torch.testing.assert_close(gem.embed(x), plain.eval().embed(x))
    with pytest.raises(UserError, match="pooling is 'gem', but test_vit does not pool"):
        build(ReidOptions(backbone="test_vit", height=64, width=32, pooling="gem"), 3)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_without_the_last_stride_maps_are_twice_as_large_and_weights_the_same(backbone):
    options = ReidOptions(backbone=backbone, height=64, width=32)
    shapes, states = [], []
    for network in (build(options, 3), build(replace(options, last_stride=1), 3)):
        shapes.append(network.backbone.forward_features(torch.zeros(1, 3, 64, 32)).shape[2:])
        states.append(network.state_dict())
    assert [tuple(shape) for shape in shapes] == [(2, 1), (4, 2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_last_stride_that_is_not_there_is_refused():
    for backbone in ("mobilenetv3_small_050", "resnet18d"):
        with pytest.raises(UserError, match=f"last_stride is 1, but {backbone} is not a plain ResNet"):
            build(ReidOptions(backbone=backbone, last_stride=1), 3)


def test_the_bnneck_is_a_batch_norm_between_feature_and_classes(small):
    network = build(replace(small, neck="bnneck", dropout=0.0), 7).train()
    x = torch.randn(6, 3, 32, 16)
    before, logits = network.answers(x)
    torch.testing.assert_close(before, network.backbone(x))
    centred = (before - before.mean(0)) / (before.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(logits, centred @ network.classifier.weight.T)
    network.eval()
    torch.testing.assert_close(network.classifier(network.embed(x)), network(x))


def test_losses_on_pairs_see_the_bottleneck_before_its_norm(small):
    network = build(small, 7).eval()
    x = torch.randn(2, 3, 32, 16)
    torch.testing.assert_close(network.answers(x)[0], network.bottleneck[0](network.backbone(x)))


@pytest.mark.skipif(not registry.have("efficientnet-lite0"), reason="EfficientNet-Lite0's weights are not here")
def test_imagenets_weights_know_this_rooms_normalisation():
    options = ReidOptions(backbone="tf_efficientnet_lite0", pretrained="imagenet", height=128, width=64)
    pictures = torch.randint(0, 256, (2, 128, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ours, source = build(options, 3).eval().backbone, efficientnet_lite0()
    with torch.no_grad():
        stem = ours.bn1(ours.conv_stem(normalise(pictures)))
        expected = source.bn1(source.conv_stem((pictures.permute(0, 3, 1, 2).float() - 127) / 128))
        # all but the border, where the padding is of another colour
        torch.testing.assert_close(stem[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1], rtol=1e-3, atol=1e-3)
        whole = torch.from_numpy(EfficientNetLite0("cpu").embed(pictures.numpy()))
        assert torch.nn.functional.cosine_similarity(ours(normalise(pictures)), whole).min() > 0.95


def test_weights_by_name_are_of_one_backbone(small):
    with pytest.raises(UserError, match="weights are tf_efficientnet_lite0's, but the backbone is test_resnet"):
        build(replace(small, pretrained="imagenet"), 3)
