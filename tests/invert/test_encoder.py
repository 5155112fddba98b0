from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from synreid.generate.generator import Generator
from synreid.generate.network import load_generator, new_generator, save_network
from synreid.generate.options import GanOptions
from synreid.generate.place import generator_fingerprint
from synreid.invert.encoder import ENCODER, Encoder, load_encoder, mean_latent, new_encoder, save_encoder
from synreid.invert.options import ENCODER_PRESETS, EncoderOptions
from synreid.stage.errors import UserError

SMALL = EncoderOptions(channels=4, lpips=0)
SIZES = [(64, 32), (33, 17), (128, 64), (5, 3), (1, 1)]


def generator(seed: int = 0, **options: object) -> Generator:
    torch.manual_seed(seed)
    sizes = {"height": 16, "width": 8, "cmax": 8, "cbase": 128, "w_dim": 8}
    made = new_generator(GanOptions(**{**sizes, **options})).eval().requires_grad_(False)  # type: ignore[arg-type]
    made.mapping.mean.normal_()  # type: ignore[union-attr, operator]
    return made


def pictures(count: int, height: int = 16, width: int = 8) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("num_ws", [2, 3, 10, 16])
def test_one_change_of_style_a_layer(size: tuple[int, int], num_ws: int) -> None:
    change = Encoder(*size, num_ws, 8, SMALL)(torch.zeros(2, 6, *size))
    assert change.shape == (2, num_ws, 8)


@pytest.mark.parametrize("cfg", ["stylegan2", "stylegan3-t"])
def test_inverts_for_every_kind_of_styles(cfg: str) -> None:
    network = generator(cfg=cfg, height=32, width=16)
    w, made = new_encoder(network, SMALL).invert(network, pictures(2, 32, 16), passes=2)
    assert w.shape == (2, network.num_ws, network.w_dim)
    assert torch.equal(made, network.synthesize(w))


def test_coarse_layers_read_the_coarse_map() -> None:
    assert Encoder(64, 32, 10, 8, SMALL).levels == [2, 2, 2, 2, 1, 1, 1, 1, 0, 0]
    assert Encoder(64, 32, 2, 8, SMALL).levels == [2, 1]


def test_every_style_depends_on_every_corner_of_the_picture() -> None:
    encoder = Encoder(33, 17, 8, 4, SMALL)
    for row, col in [(0, 0), (0, 16), (32, 0), (32, 16)]:
        x = torch.zeros(1, 6, 33, 17, requires_grad=True)
        for layer in encoder(x)[0]:
            (slope,) = torch.autograd.grad(layer.square().sum() + layer.sum(), x, retain_graph=True)
            assert slope[0, :, row, col].abs().sum() > 0


def test_begins_at_the_mean_latent_and_stays_near() -> None:
    network = generator()
    encoder = new_encoder(network, EncoderOptions())
    w, made = encoder.invert(network, pictures(3), passes=0)
    assert torch.equal(w, network.mapping.mean.expand(3, network.num_ws, -1))  # type: ignore[union-attr, operator]
    torch.testing.assert_close(made, network.synthesize(w))
    later, _ = encoder.invert(network, pictures(3), passes=1)
    assert 0 < (later - w).abs().max() < 0.1


def test_passes_add_up_what_the_encoder_gives() -> None:
    network = generator()
    encoder = new_encoder(network, SMALL)
    real = pictures(3)
    w, _ = encoder.invert(network, real, passes=3)
    for k in range(3):
        alone = mean_latent(network)[None]
        for _ in range(3):
            seen = torch.cat([real[k : k + 1], network.synthesize(alone)], dim=1)
            alone = alone + encoder(seen)
        torch.testing.assert_close(w[k : k + 1], alone)


def test_a_pass_does_not_teach_the_passes_before() -> None:
    network = generator()
    encoder = new_encoder(network, SMALL)
    w, made = (part.clone().requires_grad_() for part in encoder.start(network, 2))
    better, again = encoder.improve(network, pictures(2), w, made)
    (better.sum() + again.sum()).backward()
    assert w.grad is None
    assert made.grad is None
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("size", [(64, 32), (16, 8), (5, 3)])
def test_bfloat16_is_near_float32_and_the_same_twice(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    encoder = Encoder(*size, 6, 8, SMALL)
    x = torch.rand(2, 6, *size)
    exact = encoder(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = [encoder(x) for _ in range(3)]
    assert rough[0].dtype == torch.float32
    assert torch.equal(rough[0], rough[1])
    assert torch.equal(rough[0], rough[2])
    assert (rough[0] - exact).norm() < 0.05 * exact.norm()


def test_pictures_of_another_size_are_refused() -> None:
    network = generator()
    with pytest.raises(ValueError, match="must be"):
        new_encoder(network, SMALL).invert(network, pictures(2, 8, 8), passes=1)


def test_generator_without_style_layers_is_refused() -> None:
    with pytest.raises(UserError, match="no style layers"):
        new_encoder(generator(cfg="dcgan"), SMALL)


@pytest.fixture
def gan(tmp_path: Path) -> Path:
    options = GanOptions(height=16, width=8, cmax=8, cbase=128, w_dim=8)
    save_network(tmp_path / "gan" / "generator.safetensors", generator(), options)
    return tmp_path / "gan"


def test_loaded_encoder_gives_the_same_styles(gan: Path, tmp_path: Path) -> None:
    network = load_generator(gan)
    encoder = new_encoder(network, SMALL)
    for name in ("a", "b"):
        save_encoder(tmp_path / name / ENCODER, encoder, generator_fingerprint(gan))
    assert (tmp_path / "a" / ENCODER).read_bytes() == (tmp_path / "b" / ENCODER).read_bytes()
    loaded = load_encoder(tmp_path / "a", gan)
    assert loaded.options == SMALL
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    expected, _ = encoder.invert(network, pictures(2), passes=2)
    torch.testing.assert_close(loaded.invert(network, pictures(2), passes=2)[0], expected)
    with safe_open(tmp_path / "a" / ENCODER, "pt") as file:
        assert list(file.metadata()) == ["encoder"]
        assert json.loads(file.metadata()["encoder"])["generator"] == generator_fingerprint(gan)


def test_another_generator_is_refused(gan: Path, tmp_path: Path) -> None:
    save_encoder(tmp_path / ENCODER, new_encoder(load_generator(gan), SMALL), "0123456789abcdef")
    with pytest.raises(UserError, match=f"generator 0123456789abcdef, but .* generator {generator_fingerprint(gan)}"):
        load_encoder(tmp_path, gan)


def test_missing_and_damaged_files_are_named(gan: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_encoder(tmp_path, gan)
    (tmp_path / ENCODER).write_bytes(b"nothing")
    with pytest.raises(UserError, match="damaged"):
        load_encoder(tmp_path, gan)
    with pytest.raises(UserError, match="not an encoder"):
        load_encoder(gan / "generator.safetensors", gan)


def test_presets_hold_what_the_thesis_has() -> None:
    thesis = EncoderOptions(**ENCODER_PRESETS["thesis"])
    assert (thesis.batch, thesis.accumulate, thesis.passes, thesis.lr) == (2, 4, 3, 1e-4)
    assert (thesis.lpips, thesis.l2, thesis.identity) == (0.8, 1.0, 0.1)
    default = EncoderOptions()
    assert (default.batch, default.accumulate, default.passes) == (16, 1, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"steps": 0}, {"batch": -1}, {"passes": 0}, {"lr": float("nan")}, {"l2": -1.0}, {"lpips": float("nan")}),
        *({"seed": -1}, {"seed": 2**64}),
    ],
)
def test_values_that_cannot_be_trained_with_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        EncoderOptions(**wrong)  # type: ignore[arg-type]
