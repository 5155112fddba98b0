"""The official programs cannot be run here: their pickles are written by hand, from our networks under their names.

`benchmarks/official_networks.py` runs them, beside the repository, and compares pictures.
"""

from __future__ import annotations

import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from synreid.cli.main import main
from synreid.generate.discriminator import Discriminator
from synreid.generate.generator import Generator
from synreid.generate.network import load_discriminator, load_generator, new_generator
from synreid.generate.official import IMPORTED, import_official
from synreid.generate.options import GanOptions
from synreid.generate.place import learned_pictures
from synreid.generate.sample import StyleSampler
from synreid.generate.stylegan2 import StyleGAN2
from synreid.stage.errors import UserError
from synreid.stage.folder import read_run

SIZE = 16
SMALL = {"height": SIZE, "width": SIZE, "w_dim": 8, "cmax": 6, "cbase": 96}
CFGS = {
    "stylegan2": GanOptions(cfg="stylegan2", noise=True, edges="zero", map_depth=3, **SMALL),  # type: ignore[arg-type]
    "stylegan2, no noise": GanOptions(cfg="stylegan2", edges="zero", map_depth=1, **SMALL),  # type: ignore[arg-type]
    "stylegan3-t": GanOptions(cfg="stylegan3-t", map_depth=2, **SMALL),  # type: ignore[arg-type]
    "stylegan3-r": GanOptions(cfg="stylegan3-r", map_depth=2, **SMALL),  # type: ignore[arg-type]
}


class Module:
    """Pickles as an official network: its class's name, source code and attributes, to be called by its own loader."""

    def __init__(self, class_name: str, tensors: dict[str, Tensor], built: dict[str, Any]) -> None:
        tree: dict[str, dict[str, Tensor]] = {}
        own: dict[str, Tensor] = {}
        for name, value in tensors.items():
            first, _, rest = name.partition(".")
            (tree.setdefault(first, {}) if rest else own)[rest or first] = value
        buffers = {"w_avg", "noise_const", "freqs", "phases", "transform", "magnitude_ema", "resample_filter"}
        self.class_name = class_name
        self.state: dict[str, Any] = {
            "training": False,
            "_parameters": OrderedDict((k, nn.Parameter(v, False)) for k, v in own.items() if k not in buffers),
            "_buffers": OrderedDict((k, v) for k, v in own.items() if k in buffers),
            "_non_persistent_buffers_set": set(),
            "_forward_hooks": OrderedDict(),
            "_modules": OrderedDict((k, Module("Layer", v, built.get(k, {}))) for k, v in tree.items()),
            "weight_gain": np.sqrt(1 / 3),
            "padding": np.array([[3, 4], [5, 6]]),
            "_init_args": (),
            "_init_kwargs": sys.modules["dnnlib.util"].EasyDict(built),
        }

    def __reduce__(self) -> Any:
        source = "raise SystemExit('this must not be run')"
        meta = {"type": "class", "version": 6, "module_src": source, "class_name": self.class_name, "state": self.state}
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


@pytest.fixture(autouse=True)
def official(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand-ins for the two names of the official programs that their pickles call."""

    def reconstruct(meta: object) -> None:
        raise AssertionError("nothing of the file may be called")

    reconstruct.__module__, reconstruct.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
    easy = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
    for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["torch_utils.persistence"], reconstruct.__qualname__, reconstruct, raising=False)
    monkeypatch.setattr(sys.modules["dnnlib.util"], "EasyDict", easy, raising=False)
    yield


def mapping_names(generator: Generator) -> dict[str, Tensor]:
    mapping = generator.mapping
    named = {"mapping.w_avg": mapping.mean}
    for number, layer in enumerate(mapping.layers):  # type: ignore[arg-type, union-attr]
        named |= {f"mapping.fc{number}.weight": layer.weight, f"mapping.fc{number}.bias": layer.bias}
    if generator.classes:
        named |= {"mapping.embed.weight": mapping.embed.weight, "mapping.embed.bias": mapping.embed.bias}  # type: ignore[union-attr]
    return named  # type: ignore[return-value]


def stylegan2_names(generator: Any) -> dict[str, Tensor]:
    """Return the tensors of a StyleGAN2 under the names that the official program has for them."""
    named = {"synthesis.b4.const": generator.constant[0]}
    noise = list(generator._split(None))
    for block, (height, width) in zip(generator.blocks, generator.sizes, strict=True):
        at = f"synthesis.b{height}"
        named[f"{at}.resample_filter"] = torch.ones(4, 4)
        for name, layer in (("conv0", block.up), ("conv1", block.layer)):
            if layer is None:
                continue
            named |= {f"{at}.{name}.weight": layer.conv.weight, f"{at}.{name}.bias": layer.bias}
            named |= {f"{at}.{name}.affine.{leaf}": getattr(layer.conv.style, leaf) for leaf in ("weight", "bias")}
            constant = noise.pop(0)
            if generator.noise:
                named[f"{at}.{name}.noise_strength"] = layer.noise_strength
                named[f"{at}.{name}.noise_const"] = constant.reshape(height, width)
        named |= {f"{at}.torgb.weight": block.to_rgb.conv.weight, f"{at}.torgb.bias": block.to_rgb.bias}
        named |= {f"{at}.torgb.affine.{leaf}": getattr(block.to_rgb.conv.style, leaf) for leaf in ("weight", "bias")}
    return named


def stylegan3_names(generator: Any) -> dict[str, Tensor]:
    """Return the tensors of a StyleGAN3 under the names that the official program has for them."""
    of_input = generator.input
    named = {"synthesis.input.freqs": of_input.frequencies, "synthesis.input.phases": of_input.phases}
    named |= {"synthesis.input.transform": torch.eye(3), "synthesis.input.weight": of_input.weight}
    named |= {f"synthesis.input.affine.{leaf}": getattr(of_input.affine, leaf) for leaf in ("weight", "bias")}
    for number, layer in enumerate([*generator.layers, generator.to_rgb]):
        at = f"synthesis.L{number}_{52 if number < 14 else 16}_{layer.weight.shape[0]}"
        named |= {f"{at}.{leaf}": getattr(layer, leaf) for leaf in ("weight", "bias")}
        named |= {f"{at}.affine.{leaf}": getattr(layer.affine, leaf) for leaf in ("weight", "bias")}
        named[f"{at}.magnitude_ema"] = layer.magnitude
    return named


def discriminator_names(network: Discriminator) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    parts: list[tuple[str, Any]] = [(f"b{SIZE}.fromrgb", network.from_rgb[0])]
    for block, (height, _) in zip(network.blocks, network.sizes, strict=False):
        parts += [(f"b{height}.conv0", block.conv), (f"b{height}.conv1", block.down), (f"b{height}.skip", block.skip)]  # type: ignore[union-attr]
    parts += [("b4.conv", network.conv), ("b4.fc", network.hidden), ("b4.out", network.logit)]
    for name, layer in parts:
        named[f"{name}.weight"] = layer.weight
        if layer.bias is not None:
            named[f"{name}.bias"] = layer.bias
    return named


@cache
@torch.no_grad()
def random_generator(options: GanOptions, classes: int = 0) -> Generator:
    """Return a generator of which no value is the one that it would start with."""
    torch.manual_seed(1)
    generator = new_generator(options, [str(number) for number in range(classes)]).eval()
    for name, value in generator.state_dict().items():
        if name != "input.frequencies":
            value.add_(torch.rand_like(value) * 0.5)
    return generator


def built_with(options: GanOptions, classes: int = 0) -> dict[str, Any]:
    """Return the options that the official program would build such a generator with."""
    wide = 2 if options.cfg == "stylegan3-r" else 1
    synthesis: dict[str, Any] = {"w_dim": options.w_dim, "img_resolution": SIZE, "img_channels": 3, "num_fp16_res": 4}
    synthesis |= {"channel_base": options.cbase * wide, "channel_max": options.cmax * wide, "conv_clamp": 256}
    if options.cfg == "stylegan2":
        synthesis |= {"use_noise": options.noise, "architecture": "skip", "resample_filter": [1, 3, 3, 1]}
    if options.cfg == "stylegan3-r":
        synthesis |= {"conv_kernel": 1, "use_radial_filters": True, "first_stopband": np.float64(2**2.1)}
    mapping = {"z_dim": options.w_dim, "c_dim": classes, "w_dim": options.w_dim, "num_ws": 16, "num_layers": 2}
    return {"mapping": mapping, "synthesis": synthesis}


def held_by(options: GanOptions, classes: int = 0) -> tuple[Generator, dict[str, Tensor], dict[str, Any]]:
    generator = random_generator(options, classes)
    names = stylegan2_names(generator) if isinstance(generator, StyleGAN2) else stylegan3_names(generator)
    return generator, mapping_names(generator) | names, built_with(options, classes)


def judge_of(options: GanOptions) -> tuple[Discriminator, Module]:
    torch.manual_seed(2)
    network = Discriminator(options).eval()
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.mul_(0.0) if name.startswith("from_rgb") and ".0." not in name else value.add_(0.1)
    built = {"c_dim": 0, "img_resolution": SIZE, "img_channels": 3, "channel_base": options.cbase, "block_kwargs": {}}
    built |= {"channel_max": options.cmax, "epilogue_kwargs": {"mbstd_group_size": 4}}
    return network, Module("Discriminator", discriminator_names(network), built)


def written(tmp_path: Path, tensors: dict[str, Tensor], built: dict[str, Any], judge: object = None) -> Path:
    path = tmp_path / "network-snapshot-000000.pkl"
    average = Module("Generator", {name: value.detach().clone() for name, value in tensors.items()}, built)
    learning = Module("Generator", {name: value.detach() + 1 for name, value in tensors.items()}, built)
    content = {"G": learning, "D": judge, "G_ema": average, "augment_pipe": None}
    path.write_bytes(pickle.dumps(content | {"training_set_kwargs": {"path": "faces.zip", "use_labels": False}}))
    return path


@pytest.mark.parametrize("cfg", CFGS)
@pytest.mark.parametrize("classes", [0, 3])
def test_the_imported_generator_makes_the_same_pictures(cfg: str, classes: int, tmp_path: Path) -> None:
    generator, tensors, built = held_by(CFGS[cfg], classes)
    folder = import_official(written(tmp_path, tensors, built), tmp_path / "gan")
    found = load_generator(folder)
    z = torch.randn(3, generator.w_dim, generator=torch.Generator().manual_seed(0))
    wanted = torch.tensor([2, 0, 1]) if classes else None
    with torch.no_grad():
        w = generator.styles(z, 0.7, wanted)
        torch.testing.assert_close(found.styles(z, 0.7, wanted), w, rtol=0, atol=0)
        another = torch.randn(w.shape, generator=torch.Generator().manual_seed(1))  # its own style in every layer
        torch.testing.assert_close(found.synthesize(another), generator.synthesize(another), rtol=0, atol=0)
    assert type(found) is type(generator)
    assert found.classes == generator.classes
    assert StyleSampler.load(folder).synthesize(w, [0, 1, 2]).shape == (3, SIZE, SIZE, 3)


def test_the_folder_says_what_was_taken_and_what_was_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = CFGS["stylegan2"]
    generator, tensors, built = held_by(options)
    judge, module = judge_of(options)
    path, out = written(tmp_path, tensors, built, module), tmp_path / "gan"
    with pytest.raises(SystemExit) as stopped:
        main(["gan", "import", str(path), "--out", str(out)])
    assert stopped.value.code == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(out)
    said = (out / IMPORTED).read_text()
    count = sum(value.numel() for value in generator.parameters())
    lines = {line.split()[0]: line for line in said.splitlines()}
    assert f" {len(generator.state_dict())} " in lines["G_ema"]
    assert f" {count:,} " in lines["G_ema"]
    assert f" {len(discriminator_names(judge)) + 4} " in lines["D"]
    assert "left" in lines["G"]
    assert "left" in lines["training_set_kwargs"]
    assert "augment_pipe" not in lines
    names = {f"{name}.safetensors" for name in ("generator", "discriminator")} | {"pictures.parquet"}
    assert read_run(out, "gan")["outputs"].keys() == names
    before = (out / "run.json").read_bytes()
    import_official(path, out)
    assert (out / "run.json").read_bytes() == before  # complete: nothing is written again
    assert learned_pictures(out).digests == frozenset()
    assert [name.split()[0] for name in learned_pictures(out).unlisted] == [path.name]


def test_the_discriminator_judges_as_ours_with_its_weights(tmp_path: Path) -> None:
    options = CFGS["stylegan3-t"]
    _, tensors, built = held_by(options)
    judge, module = judge_of(options)
    found = load_discriminator(import_official(written(tmp_path, tensors, built, module), tmp_path / "gan"))
    x = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(found(x), judge(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "skip"}, "architecture is 'skip'"),
        ({"img_resolution": 32}, "32 pixels"),
        ({"channel_max": 4, "unheard": 1}, "'unheard' is unknown"),
        ({"epilogue_kwargs": {"mbstd_num_channels": 2}}, "mbstd_num_channels is 2"),
    ],
)
def test_a_discriminator_that_does_not_fit_is_left_with_a_reason(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    options = CFGS["stylegan2"]
    _, tensors, built = held_by(options)
    _, module = judge_of(options)
    module.state["_init_kwargs"] |= change
    out = import_official(written(tmp_path, tensors, built, module), tmp_path / "gan")
    assert said in (out / IMPORTED).read_text()
    assert not (out / "discriminator.safetensors").exists()


SYNTHESIS, MAPPING = "synthesis", "mapping"
REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("stylegan2", SYNTHESIS, {"architecture": "orig"}, "architecture is 'orig'"),
    ("stylegan2", SYNTHESIS, {"img_channels": 1}, "img_channels is 1"),
    ("stylegan2", SYNTHESIS, {"resample_filter": [1, 2, 1]}, "resample_filter is a list"),
    ("stylegan2", SYNTHESIS, {"img_resolution": 48}, "img_resolution 48 is no power of two"),
    ("stylegan2", SYNTHESIS, {"channel_max": 5}, "shape"),
    ("stylegan2", SYNTHESIS, {"channel_base": 2**23, "channel_max": 2**20}, "ask for other tensors"),
    ("stylegan2", SYNTHESIS, {"channel_base": float("nan")}, "channel_base is nan"),
    ("stylegan2", SYNTHESIS, {"use_noise": False}, "which our network has no place for"),
    ("stylegan2", MAPPING, {"z_dim": 16}, "z_dim is 16 and its w_dim 8"),
    ("stylegan2", MAPPING, {"activation": "relu"}, "activation is 'relu'"),
    ("stylegan2", MAPPING, {"lr_multiplier": 0.1}, "lr_multiplier is 0.1"),
    ("stylegan3-t", SYNTHESIS, {"num_layers": 10}, "num_layers is 10, but can only be 14"),
    ("stylegan3-t", SYNTHESIS, {"first_cutoff": 3}, "first_cutoff is 3"),
    ("stylegan3-t", SYNTHESIS, {"filter_size": 8}, "filter_size is 8"),
    ("stylegan3-t", SYNTHESIS, {"use_radial_filters": True}, "neither config T nor R"),
    ("stylegan3-t", SYNTHESIS, {"rotation": "\x1b[2J"}, r"option 'rotation' is unknown"),
    ("stylegan3-r", SYNTHESIS, {"channel_max": 13}, "not even"),
]


@pytest.mark.parametrize(("cfg", "part", "change", "said"), REFUSED, ids=[said for *_, said in REFUSED])
def test_an_option_without_a_counterpart_is_refused_by_name(
    cfg: str, part: str, change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    _, tensors, built = held_by(CFGS[cfg])
    built[part] |= change
    with pytest.raises(UserError, match=said):
        import_official(written(tmp_path, tensors, built), tmp_path / "gan")
    assert not (tmp_path / "gan").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"synthesis.L3_52_6.bias": torch.zeros(7)}, r"shape \[7\] where our layers.3.bias has \[6\]"),
        ({"synthesis.L3_52_6.extra": torch.zeros(7)}, "'layers.3.extra', which our network has no place for"),
        ({"synthesis.L3_53_6.bias": torch.zeros(6)}, r"holds 'synthesis\.L3_5\d_6\.bias' twice"),
        ({"mapping.fc0.bias": torch.full((8,), torch.nan)}, "not finite"),
        ({"mapping.fc0.bias": torch.zeros(8, dtype=torch.int64)}, "not finite|whole"),
        ({"mapping.fc0.bias": None}, r"nothing for our mapping\.layers\.0\.bias"),
        ({"synthesis.input.transform": torch.eye(3).flip(0)}, "moves the picture"),
        ({"synthesis.input.freqs": torch.full((6, 2), 3.0)}, "above 2 cycles"),
        ({"synthesis.input.freqs": None, "synthesis.b4.const": None}, "neither StyleGAN2 nor StyleGAN3"),
    ],
)
def test_a_tensor_without_a_counterpart_is_refused_by_name(
    change: dict[str, Tensor | None], said: str, tmp_path: Path
) -> None:
    _, tensors, built = held_by(CFGS["stylegan3-t"])
    tensors = {name: value for name, value in (tensors | change).items() if value is not None}
    with pytest.raises(UserError, match=said):
        import_official(written(tmp_path, tensors, built), tmp_path / "gan")


@pytest.mark.parametrize("content", [{"G": 1}, [], "text", {"G_ema": {"weight": torch.ones(1)}}])
def test_a_pickle_without_a_generator_is_refused(content: object, tmp_path: Path) -> None:
    path = tmp_path / "other.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=r"other\.pkl.*G_ema"):
        import_official(path, tmp_path / "gan")


def test_modules_within_modules_without_end_are_refused(tmp_path: Path) -> None:
    endless = Module("Endless", {}, {})
    for _ in range(20):
        endless, before = Module("Endless", {}, {}), endless
        endless.state["_modules"]["a"] = before
    path = tmp_path / "other.pkl"
    path.write_bytes(pickle.dumps({"G_ema": endless}))
    with pytest.raises(UserError, match="module a is not a network"):
        import_official(path, tmp_path / "gan")
