"""Embedders: shapes, independence of the batch, and that the weights went where they belong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from synreid.data.pixels import pixels
from synreid.data.scan import open_data
from synreid.data.table import column, pick, rows
from synreid.features import embedders, framing
from synreid.stage.errors import UserError


def noise(n: int, height: int = 64, width: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def test_pixels_are_block_means() -> None:
    pictures = noise(3)
    means = pictures.reshape(3, 16, 4, 8, 4, 3).mean((2, 4)).reshape(3, -1) / 255
    np.testing.assert_allclose(embedders.PixelEmbedder().embed(pictures), means, atol=0.51 / 255)


def test_without_weights_pixels_are_taken_and_said(without_weights: None) -> None:
    for default in (embedders.default_quality_embedder, embedders.default_identity_embedder):
        embedder, sentence = default()
        assert embedder.name == "pixels-16x8"
        assert "plain pixels" in sentence
        assert "SYNREID_WEIGHTS" in sentence


def test_key_names_cover_the_network() -> None:
    import timm

    wanted = set(timm.create_model("tf_efficientnet_lite0").state_dict())
    theirs = ["_conv_stem.weight", "_conv_head.weight", "_fc.weight", "_fc.bias"]
    norms = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    theirs += [f"{norm}.{part}" for norm in ("_bn0", "_bn1") for part in norms]
    for block in range(16):
        expand = [] if block == 0 else ["_expand_conv.weight", *(f"_bn0.{part}" for part in norms)]
        inside = [*expand, "_depthwise_conv.weight", "_project_conv.weight"]
        inside += [f"{norm}.{part}" for norm in ("_bn1", "_bn2") for part in norms]
        theirs += [f"_blocks.{block}.{name}" for name in inside]
    assert {embedders._timm_key(key) for key in theirs} == wanted
    assert len(theirs) == len(wanted)


def test_efficientnet_classifies(with_weights: None) -> None:
    data = pytest.importorskip("skimage.data")  # bundled photographs, which ImageNet has classes for
    network = embedders.efficientnet_lite0(classes=1000)
    for picture, classes in ((data.chelsea(), {281, 282, 285}), (data.coffee(), {504, 967, 968})):
        side = min(picture.shape[:2])
        top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
        square = framing.resized(picture[None, top : top + side, left : left + side], 224, 224)
        block = ((torch.from_numpy(square).float() - 127) / 128).permute(0, 3, 1, 2)
        with torch.inference_mode():
            assert int(network(block).argmax()) in classes


@pytest.mark.parametrize(("kind", "size"), [(embedders.EfficientNetLite0, 1280), (embedders.OsnetEmbedder, 512)])
def test_a_row_depends_on_its_picture_only(kind: type, size: int, with_weights: None) -> None:
    pictures, embedder = noise(5), kind()
    together = embedder.embed(pictures)
    assert together.shape == (5, size)
    assert together.dtype == np.float32
    apart = np.concatenate([embedder.embed(pictures[:2]), embedder.embed(pictures[2:])])
    np.testing.assert_allclose(together, apart, atol=1e-3)
    assert embedder.embed(pictures[:0]).shape == (0, size)


def test_osnet_tells_real_persons_apart(pku: Path, with_weights: None) -> None:
    table = pick(open_data(pku), split="train")
    persons = column(table, "pid").astype(str)
    chosen = np.concatenate([np.flatnonzero(persons == name)[:4] for name in np.unique(persons)[:12]])
    table, persons = rows(table, chosen), persons[chosen]
    features = embedders.OsnetEmbedder().embed(pixels(table, 128, 64))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cosine = features @ features.T
    same = (persons[:, None] == persons) & ~np.eye(len(persons), dtype=bool)
    assert cosine[same].mean() > cosine[persons[:, None] != persons].mean() + 0.1


def onnx_file(path: Path, shape: list[int | str], inputs: int = 1) -> Path:
    """A network that adds up to the mean of each channel, 3 features `[N, 3, 1, 1]`."""
    onnx = pytest.importorskip("onnx")
    kind = onnx.TensorProto.FLOAT
    taken = [onnx.helper.make_tensor_value_info(f"in{k}", kind, shape) for k in range(inputs)]
    given = onnx.helper.make_tensor_value_info("out", kind, None)
    nodes = [onnx.helper.make_node("GlobalAveragePool", ["in0"], ["out"])]
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", taken, [given]), opset_imports=opset), path)
    return path


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_a_users_onnx_network_sees_imagenet_values(batch: int | str, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "mine.onnx", [batch, 3, 32, 16])
    embedder = embedders.embedder_by_name(str(path))
    pictures = noise(7)
    halves = pictures.reshape(7, 32, 2, 16, 2, 3).mean((2, 4)).round()  # 64x32 to 32x16
    expected = (halves.mean((1, 2)) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = embedder.embed(pictures)
    np.testing.assert_allclose(found, expected, atol=5e-3)
    assert found.dtype == np.float32
    assert embedder.embed(pictures[:0]).shape == (0, 3)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert embedder.name == f"mine ({digest[:8]})"


def test_another_onnx_file_has_another_fingerprint(tmp_path: Path) -> None:
    first = embedders.embedder_by_name(str(onnx_file(tmp_path / "a.onnx", ["n", 3, 32, 16])))
    second = embedders.embedder_by_name(str(onnx_file(tmp_path / "b.onnx", ["n", 3, 32, 32])))
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize(
    ("shape", "inputs"), [(["n", 3, "h", "w"], 1), (["n", 1, 32, 16], 1), (["n", 3, 32], 1), (["n", 3, 32, 16], 2)]
)
def test_an_onnx_network_of_another_input_is_refused(shape: list[int | str], inputs: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.onnx takes in0 .*must take one float32 input \[N, 3, H, W\]"):
        embedders.embedder_by_name(str(onnx_file(tmp_path / "mine.onnx", shape, inputs)))


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.onnx does not exist"):
        embedders.embedder_by_name(str(tmp_path / "none.onnx"))
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(UserError, match=r"text\.onnx cannot be read as an ONNX network"):
        embedders.embedder_by_name(str(tmp_path / "text.onnx"))
    with pytest.raises(UserError, match=r"'resnet' are not known; choose efficientnet-lite0, inception, osnet, pixels"):
        embedders.embedder_by_name("resnet")


def test_embedders_of_the_list_go_by_their_names(with_weights: None) -> None:
    for name, kind in embedders.EMBEDDERS.items():
        if name != "inception":
            embedder = embedders.embedder_by_name(name)
            assert isinstance(embedder, kind)
            assert embedder.fingerprint
