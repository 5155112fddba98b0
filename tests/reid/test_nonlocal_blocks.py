"""Non-local blocks: the sum over positions, where they stand, and that a model with them trains, loads and exports."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from synreid.data.table import pick
from synreid.reid.backbone import ReidNetwork, build
from synreid.reid.embed import embed, load_model
from synreid.reid.nonlocal_blocks import NonLocalBlock, insert_non_local_blocks
from synreid.reid.options import ReidOptions
from synreid.reid.train import MODEL, train
from synreid.stage.errors import UserError


@pytest.fixture(scope="module")
def real(persons):
    return pick(persons, split="train")


@pytest.fixture(scope="module")
def agw(shrunk) -> ReidOptions:
    """The preset with the test network, which has one residual block a stage."""
    return shrunk("agw")


def blocks(network: torch.nn.Module) -> list[NonLocalBlock]:
    return [part for part in network.modules() if isinstance(part, NonLocalBlock)]


def wake(network: ReidNetwork) -> ReidNetwork:
    """Give blocks the scale 1, so that they are no longer the identity."""
    for block in blocks(network):
        torch.nn.init.ones_(block.norm.weight)
    return network


@torch.no_grad()
def test_a_block_is_the_sum_over_all_positions():
    torch.manual_seed(0)
    block = NonLocalBlock(6).eval()
    for values in (block.norm.weight, block.norm.bias, block.norm.running_mean):
        torch.nn.init.normal_(values)
    x = torch.randn(2, 6, 3, 2)
    expected = x.clone()
    norm = block.norm.weight / (block.norm.running_var + block.norm.eps).sqrt()

    def linear(conv, vector):
        return conv.weight[:, :, 0, 0] @ vector + conv.bias

    places = [(row, column) for row in range(3) for column in range(2)]
    for picture, maps in enumerate(x):
        for here in places:
            y = torch.zeros(3)
            for there in places:
                alike = linear(block.theta, maps[:, *here]) @ linear(block.phi, maps[:, *there])
                y += alike * linear(block.g, maps[:, *there]) / len(places)
            expected[picture, :, *here] += (linear(block.out, y) - block.norm.running_mean) * norm + block.norm.bias
    torch.testing.assert_close(block(x), expected)
    assert not torch.allclose(expected, x)


@pytest.mark.parametrize(
    ("backbone", "second", "third"), [("resnet50", [2, 3], [3, 4, 5]), ("resnet18", [0, 1], [0, 1])]
)
def test_blocks_stand_behind_the_last_residual_blocks_of_two_stages(backbone, second, third):
    with torch.device("meta"):
        network = timm.create_model(backbone, num_classes=0)
        plain = {name: value.shape for name, value in network.state_dict().items()}
        insert_non_local_blocks(network, ReidOptions(backbone=backbone))
    for stage, after in (("layer1", []), ("layer2", second), ("layer3", third), ("layer4", [])):
        parts = list(network.get_submodule(stage))
        places = [place for place, part in enumerate(parts) if isinstance(part, NonLocalBlock)]
        assert [place - 1 - number for number, place in enumerate(places)] == after
    assert len(blocks(network)) == len(second) + len(third)
    assert plain.items() <= {name: value.shape for name, value in network.state_dict().items()}.items()


@pytest.mark.parametrize("training", [True, False])
def test_at_first_the_network_is_the_one_without(small, training):
    plain, attentive = (build(replace(small, non_local=on), 3).train(training) for on in (False, True))
    x = torch.randn(4, 3, 32, 16)
    assert torch.equal(attentive.backbone(x), plain.backbone(x))
    assert torch.equal(attentive.bottleneck[0].weight, plain.bottleneck[0].weight)
    assert len(blocks(attentive)) == 2
    wake(attentive)
    assert not torch.allclose(attentive.backbone(x), plain.backbone(x))


def test_gradients_reach_the_scale_at_first_and_then_every_weight(small):
    network = build(replace(small, non_local=True), 3).train()
    x = torch.randn(4, 3, 32, 16)

    def reached() -> set[str]:
        network.zero_grad()
        network.backbone(x).square().sum().backward()
        return {name for name, value in network.named_parameters() if value.grad is not None and value.grad.any()}

    inside = {name for name, _ in network.named_parameters() if "non_local" in name}
    offsets = {name for name in inside if name.endswith("out.bias")}  # which the batch norm takes away
    scales = {name for name in inside if "norm" in name}
    assert len(inside) == 20 and inside & reached() == scales
    wake(network)
    assert inside - offsets <= reached()


def test_pretrained_weights_are_those_of_a_network_without(small, tmp_path):
    source = build(replace(small, seed=9), 3).backbone.state_dict()
    safetensors.torch.save_file(source, tmp_path / "w.safetensors")
    options = replace(small, pretrained=str(tmp_path / "w.safetensors"), non_local=True)
    loaded = build(options, 3).backbone.state_dict()
    assert all(torch.equal(loaded[name], source[name]) for name in source)


def test_in_bfloat16_on_thin_maps_it_is_near_float32(small):
    options = replace(small, backbone="resnet18", last_stride=1, non_local=True)
    network = wake(build(options, 3)).to(memory_format=torch.channels_last)
    x = torch.randn(8, 3, 32, 16).contiguous(memory_format=torch.channels_last)
    kinds = []
    for block in blocks(network):  # two on maps of 4x2, two on 2x1
        block.theta.register_forward_hook(lambda module, inputs, output: kinds.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network.train()(x).sum().backward()
        assert kinds == [torch.bfloat16] * 2 + [torch.float32] * 2
        found = network.eval().embed(x).float()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())
    assert torch.nn.functional.cosine_similarity(found, network.embed(x)).min() > 0.99


def test_cut_off_and_resumed_is_as_if_never_cut_off_and_is_loaded_again(real, agw, tmp_path, cut_off):
    whole = train(real, None, tmp_path / "whole", agw)
    with cut_off(4):
        train(real, None, tmp_path / "cut", agw, checkpoint_seconds=0.0)
    resumed = train(real, None, tmp_path / "cut", agw)
    assert (resumed / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    model = load_model(whole, "cpu")
    assert model.options == agw and len(blocks(model.network)) == 2
    assert all(block.norm.weight.abs().min() > 0 for block in blocks(model.network))


def test_a_trained_model_has_the_same_features_as_onnx(real, agw, tmp_path):
    pytest.importorskip("onnx")
    from synreid.reid.onnx import export_onnx

    folder = train(real, None, tmp_path / "m", replace(agw, steps=2, flip_test=True))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 16, 3), dtype=np.uint8)
    before = embed(load_model(folder, "cpu"), pictures)
    weights = safetensors.torch.load_file(folder / MODEL)
    awake = {name: torch.ones_like(weights[name]) for name in weights if name.endswith("non_local_0.norm.weight")}
    safetensors.torch.save_file(weights | awake, folder / MODEL)
    assert len(awake) == 2 and not np.allclose(embed(load_model(folder, "cpu"), pictures), before, rtol=0.01)
    assert export_onnx(folder, tmp_path / "m.onnx") < 1e-4


def test_it_names_a_training_only_where_it_is_used():
    assert "non_local" in ReidOptions().unnamed
    options = ReidOptions(non_local=True)
    assert "non_local" not in options.unnamed and asdict(options)["non_local"] is True


@pytest.mark.parametrize("backbone", ["osnet_x0_25", "mobilenetv3_small_050", "test_vit", "resnetv2_50"])
def test_a_backbone_that_is_no_resnet_is_refused(backbone):
    options = ReidOptions(backbone=backbone, non_local=True, height=64, width=32)
    with pytest.raises(UserError, match=f"non_local is true, but {backbone} is not a ResNet"):
        build(options, 3)
