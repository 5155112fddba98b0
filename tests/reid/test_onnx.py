"""The model as an ONNX file gives the model's features, from pixels on."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch

from synreid.data.decode import read_picture
from synreid.data.table import paths, pick
from synreid.features.embedders import embedder_by_name
from synreid.reid import onnx as module
from synreid.reid.embed import ReidEmbedder, embed, load_model, model_mark
from synreid.reid.onnx import export_onnx
from synreid.reid.train import train
from synreid.stage.errors import UserError

pytest.importorskip("onnx")


def trained(persons, small, folder, **changed):
    return train(pick(persons, split="train"), None, folder, replace(small, **{"steps": 3, **changed}))


@pytest.fixture(scope="module")
def model(persons, small, tmp_path_factory):
    return trained(persons, small, tmp_path_factory.mktemp("onnx") / "m", through="20x10")


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "reid.onnx"
    assert export_onnx(model, path) < 1e-4
    return path


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 5])
def test_any_number_of_pictures_has_the_models_features(file, model, count) -> None:
    session = onnxruntime.InferenceSession(str(file))
    (found,) = session.run(None, {"pictures": noise(count)})
    expected = embed(load_model(model, "cpu"), noise(count))
    assert found.dtype == np.float32 and found.shape == (count, 16)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.sqrt(np.square(expected).mean()))


def test_without_the_flip_test_the_mirror_image_is_left_out(persons, small, tmp_path) -> None:
    folder = trained(persons, small, tmp_path / "m", flip_test=False)
    export_onnx(folder, tmp_path / "one.onnx")
    (found,) = onnxruntime.InferenceSession(str(tmp_path / "one.onnx")).run(None, {"pictures": noise(3)})
    np.testing.assert_allclose(found, embed(load_model(folder, "cpu"), noise(3), flip=False), rtol=1e-3, atol=1e-4)


def test_a_network_with_attention_can_be_exported(persons, small, tmp_path) -> None:
    folder = trained(persons, small, tmp_path / "m", backbone="test_vit", height=64, width=32, steps=1)
    assert export_onnx(folder, tmp_path / "vit.onnx") < 1e-4


def test_the_file_is_an_embedder_that_sees_what_the_model_sees(file, model, persons) -> None:
    pictures = np.stack([read_picture(path) for path in paths(pick(persons, split="query"))])  # 40x20
    embedder = embedder_by_name(str(file))
    expected = ReidEmbedder(model, "cpu").embed(pictures)
    np.testing.assert_allclose(embedder.embed(pictures), expected, rtol=1e-3, atol=1e-4)
    assert embedder.embed(pictures[:0]).shape == (0, 16)


def test_the_file_says_what_it_is(file, model) -> None:
    said = onnxruntime.InferenceSession(str(file)).get_modelmeta().custom_metadata_map
    assert said["classes"] == "5" and said["through"] == "20x10" and said["fingerprint"] == model_mark(model)
    assert "uint8 RGB [N, 32, 16, 3]" in said["input"] and "resize to 20x10 (bicubic" in said["input"]
    assert "[N, 16]" in said["output"] and "mirror image" in said["output"]
    assert "licence binds their use; they started from random weights." in said["licence"]


def test_a_file_that_differs_from_the_model_is_not_written(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "normalise", lambda pictures: pictures.float().permute(0, 3, 1, 2) / 64)
    with pytest.raises(UserError, match=r"differ by .* nothing was written"):
        export_onnx(model, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_numbers_are_not_exported(persons, small, tmp_path) -> None:
    folder = trained(persons, small, tmp_path / "m", steps=1)
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["bottleneck.0.bias"] = torch.full_like(weights["bottleneck.0.bias"], torch.nan)
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserError, match="differ by nan"):
        export_onnx(folder, tmp_path / "x.onnx")


def test_what_stands_in_the_way_is_said(model, tmp_path, monkeypatch) -> None:
    with pytest.raises(UserError, match=r"x\.pt does not end in \.onnx"):
        export_onnx(model, tmp_path / "x.pt")
    with pytest.raises(UserError, match="not the folder of a reid run"):
        export_onnx(tmp_path, tmp_path / "x.onnx")
    with monkeypatch.context() as patch:
        patch.setattr(torch.onnx, "export", lambda *_, **__: 1 / 0)
        with pytest.raises(UserError, match=r"test_resnet cannot be exported as ONNX \(ZeroDivisionError"):
            export_onnx(model, tmp_path / "x.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'synreid\[onnx\]'"):
        export_onnx(model, tmp_path / "x.onnx")
