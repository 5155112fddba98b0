from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from synreid.data.table import pick
from synreid.features import registry
from synreid.reid.backbone import build
from synreid.reid.batches import normalise
from synreid.reid.embed import load_model
from synreid.reid.options import ReidOptions
from synreid.reid.osnet import WIDTHS, LiteConv, OmniScaleBlock, OSNet, load_onnx, unfold
from synreid.reid.prepare import prepare
from synreid.reid.train import train
from synreid.stage.errors import UserError

needs_weights = pytest.mark.skipif(not registry.have("osnet-x0.25-msmt17"), reason="OSNet's weights are not here")


@pytest.mark.parametrize(("name", "millions"), [("osnet_x1_0", 2.2), ("osnet_x0_75", 1.3), ("osnet_x0_5", 0.6)])
def test_networks_are_as_large_as_the_papers(name, millions):
    network = OSNet(WIDTHS[name]).eval()
    assert sum(value.numel() for value in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    assert network(torch.zeros(1, 3, 64, 32)).shape == (1, 512)


def test_streams_see_three_to_nine_pixels():
    block = OmniScaleBlock(16, 16)
    for stream, size in ((block.conv2a, 3), (block.conv2b, 5), (block.conv2c, 7), (block.conv2d, 9)):
        for module in stream.modules():
            if isinstance(module, LiteConv):
                torch.nn.init.ones_(module.conv1.weight)
                torch.nn.init.ones_(module.conv2.weight)
        spot = torch.zeros(1, 4, 21, 21)
        spot[:, :, 10, 10] = 1
        assert int((stream.eval()(spot)[0, 0] > 0).sum()) == size**2


def test_a_folded_norm_is_unfolded_to_the_same_answers():
    network = OSNet(0.25)
    x = torch.randn(8, 3, 64, 32)
    for module in network.modules():  # norms that do nothing but add a bias, as folding leaves them
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, 0, 0.1)
    with torch.no_grad():
        expected = network.eval()(x)
        unfold(network, x)
        torch.testing.assert_close(network(x), expected, rtol=1e-3, atol=1e-4)
        network.train().fc.eval()
        torch.testing.assert_close(network(x), expected, rtol=1e-3, atol=1e-4)


@needs_weights
def test_published_weights_answer_as_their_onnx_file_does():
    path = registry.locate("osnet-x0.25-msmt17")
    network = OSNet(0.25)
    load_onnx(network, path)
    x = np.random.default_rng(0).normal(size=(2, 3, 256, 128)).astype(np.float32)
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"images": x})[0]
    with torch.no_grad():
        answers = network.eval()(torch.from_numpy(x)).numpy()
    assert np.abs(answers - expected).max() < 1e-4 * np.abs(expected).max()


def maps(network: OSNet, x: torch.Tensor) -> torch.Tensor:
    """The last maps, before the linear layer, whose norm is not folded and moves in training."""
    return network.conv5(network.conv4(network.conv3(network.conv2(network.maxpool(network.conv1(x))))))


@needs_weights
def test_a_training_from_published_weights_begins_where_they_are(persons, tmp_path):
    real = pick(persons, split="train")
    options = ReidOptions(
        backbone="osnet_x0_25", pretrained="msmt17", height=64, width=32, batch=8, steps=1, lr=1e-9, precision="fp32"
    )
    trained = load_model(train(real, None, tmp_path / "x", options)).network.backbone
    known = OSNet(0.25)
    load_onnx(known, registry.locate("osnet-x0.25-msmt17"))
    x = normalise(torch.from_numpy(prepare(real, options)))
    with torch.no_grad():
        expected = maps(known.eval(), x)
        assert (maps(trained, x) - expected).square().mean() < 0.01 * expected.square().mean()


@needs_weights
def test_weights_of_another_network_are_refused(small):
    with pytest.raises(UserError, match="weights are osnet_x0_25's, but the backbone is osnet_x1_0"):
        build(replace(small, backbone="osnet_x1_0", pretrained="msmt17"), 3)
    path = registry.locate("osnet-x0.25-msmt17")
    with pytest.raises(UserError, match="does not hold the weights of this OSNet"):
        build(replace(small, backbone="osnet_x0_5", pretrained=str(path)), 3)
    with pytest.raises(UserError, match="ONNX file, which OSNet alone"):
        build(replace(small, pretrained=str(path)), 3)


def test_timm_has_no_osnet(small):
    with pytest.raises(UserError, match="timm has no osnet_x1_0"):
        build(replace(small, backbone="osnet_x1_0", pretrained="timm"), 3)
