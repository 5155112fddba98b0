"""From the official programs' pickles to a generator's folder of ours: StyleGAN2-ADA (PyTorch) and StyleGAN3, T and R.

The weights are those programs' own; the networks that they are put into are ours, written from the papers. Nothing in
the file is executed (see `pickles`). `benchmarks/official_networks.py` compares the pictures of both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from synreid.generate.discriminator import Discriminator
from synreid.generate.generator import Generator
from synreid.generate.network import new_discriminator, new_generator, save_network
from synreid.generate.options import GanOptions
from synreid.generate.pickles import PickledModule, PickledTensor, read_pickle
from synreid.generate.place import DISCRIMINATOR, GENERATOR, PICTURES, LearnedPictures, save_learned
from synreid.generate.stylegan2 import StyleGAN2
from synreid.generate.stylegan3 import (
    CRITICAL,
    FILTER_SIZE,
    FIRST_CUTOFF,
    FIRST_STOPBAND,
    LAYERS,
    MARGIN,
    OUTPUT_SCALE,
    OVERSAMPLING,
    STOPBAND_GROWTH,
    StyleGAN3,
)
from synreid.stage.errors import UserError
from synreid.stage.files import write_text
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import StageFolder
from synreid.stage.log import say

VERSION = 1
IMPORTED = "imported.txt"
DEEPEST = 8  # modules within modules; official networks have 4
MOST_TENSORS = 5000  # names of them; official networks have a few hundred

Rules = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]


class Unfit(Exception):  # noqa: N818  (it becomes a UserError, or a reason to leave a part out)
    """An official option or tensor without a counterpart in our networks; the text names it."""


@dataclass(frozen=True)
class Part:
    """One thing that the file holds: how many tensors and parameters of it were taken, and what there is to say."""

    name: str
    tensors: int
    parameters: int
    note: str


@dataclass(frozen=True)
class Converted:
    """Our networks with the official weights; no discriminator where it does not fit."""

    options: GanOptions
    generator: Generator
    discriminator: Discriminator | None
    parts: tuple[Part, ...]


def import_official(file: Path, out: Path) -> Path:
    """Write the generator in an official pickle as a folder like `train_gan`'s, and return `out`.

    Writes `generator.safetensors`, `discriminator.safetensors` if that one fits, `imported.txt`, which says what was
    taken, and a `pictures.parquet` that names the file as one whose pictures nobody has listed.
    Raises UserError for a file that holds anything but tensors and plain containers, or a network without equal here.
    """
    try:
        found = convert(read_pickle(file))
    except Unfit as error:
        raise UserError(f"{file} cannot be imported: {error}.") from error
    config, digest = {"file": file, "out": out}, file_digest(file)
    with StageFolder(out, "gan", VERSION, config, {"file": digest}, unnamed=("file", "out")) as folder:
        if not folder.complete:
            networks: dict[str, nn.Module] = {GENERATOR: found.generator}
            if found.discriminator is not None:
                networks[DISCRIMINATOR] = found.discriminator
            for name, network in networks.items():
                save_network(out / name, network, found.options, found.generator.classes)
            save_learned(out, LearnedPictures(frozenset(), frozenset({f"{file.name} ({digest[:16]})"})))
            write_text(out / IMPORTED, table(found.parts) + "\n")
            folder.finish({name: file_digest(out / name) for name in (*networks, PICTURES)}, kimg=None)
    say(table(found.parts))
    return out


def table(parts: Sequence[Part]) -> str:
    """Return the parts as lines of text under a heading."""
    rows = [
        ("part", "tensors", "parameters", ""),
        *((p.name, str(p.tensors), f"{p.parameters:,}", p.note) for p in parts),
    ]
    wide = max(len(row[0]) for row in rows)
    return "\n".join(
        f"{name:{wide}} {tensors:>7} {parameters:>11}  {note}".rstrip() for name, tensors, parameters, note in rows
    )


def convert(content: Any) -> Converted:
    """Return our networks with the weights of what an official pickle holds; raises Unfit."""
    record = content.get("G_ema") if isinstance(content, dict) else None
    if not isinstance(record, PickledModule):
        raise Unfit("it holds no network of the name G_ema")
    tensors = tensors_of(record)
    options, classes = generator_options(record, tensors)
    generator = new_generator(options, classes)
    rules = STYLEGAN2 if isinstance(generator, StyleGAN2) else STYLEGAN3
    ours = renamed(tensors, rules)
    if isinstance(generator, StyleGAN2):
        ours["constant"] = ours["constant"][None]
        if options.noise:
            ours["noise_constant"] = _noise(tensors, len(generator.sizes))
    taken = _fill(generator, ours, "G_ema", f"taken: {options.cfg}, {options.height}x{options.width}")
    if isinstance(generator, StyleGAN3):
        _check_input(tensors)
    discriminator, part = _discriminator(content.get("D"), options, classes)
    return Converted(options, generator, discriminator, (taken, part, *_left(content, tensors)))


def tensors_of(module: PickledModule, depth: int = DEEPEST) -> dict[str, Tensor]:
    """Return all parameters and buffers by their names, inner modules' names before a dot; raises Unfit."""
    found: dict[str, Tensor] = {}
    for name, held in (_inner(module, "_parameters") | _inner(module, "_buffers")).items():
        if isinstance(held, PickledTensor):
            found[name] = held.value
        elif held is not None:
            raise Unfit(f"its parameter {name} is not a tensor")
    for name, inner in _inner(module, "_modules").items():
        if not isinstance(inner, PickledModule) or depth == 0:
            raise Unfit(f"its module {name} is not a network")
        found |= {f"{name}.{key}": value for key, value in tensors_of(inner, depth - 1).items()}
        if len(found) > MOST_TENSORS:
            raise Unfit(f"it names more than {MOST_TENSORS} tensors")
    return found


def _inner(module: PickledModule, room: str) -> dict[str, Any]:
    held = module.state.get(room, {})
    if not isinstance(held, dict) or not all(isinstance(name, str) for name in held):
        raise Unfit(f"its {module.class_name} is no network: it has no {room}")
    return held


FREE = object()  # an option that is read elsewhere, that the tensors' shapes speak of, or that no picture depends on
OF_MAPPING: dict[str, object] = {
    **dict.fromkeys(("z_dim", "c_dim", "w_dim", "num_ws", "num_layers", "w_avg_beta"), FREE),
    **{"embed_features": FREE, "layer_features": FREE, "activation": "lrelu", "lr_multiplier": 0.01},
}
_OF_BOTH: dict[str, object] = {
    **dict.fromkeys(("w_dim", "img_resolution", "channel_base", "channel_max", "num_fp16_res", "conv_clamp"), FREE),
    "img_channels": 3,
}
OF_STYLEGAN2: dict[str, object] = {
    **_OF_BOTH,
    **dict.fromkeys(("use_noise", "fp16_channels_last", "fused_modconv_default"), FREE),
    **{"architecture": "skip", "resample_filter": [1, 3, 3, 1], "kernel_size": 3, "activation": "lrelu"},
}
OF_STYLEGAN3: dict[str, object] = {
    **_OF_BOTH,
    **dict.fromkeys(("conv_kernel", "use_radial_filters", "magnitude_ema_beta"), FREE),
    **{"num_layers": LAYERS, "num_critical": CRITICAL, "first_cutoff": FIRST_CUTOFF, "first_stopband": FIRST_STOPBAND},
    **{"last_stopband_rel": STOPBAND_GROWTH, "margin_size": MARGIN, "output_scale": OUTPUT_SCALE},
    **{"filter_size": FILTER_SIZE, "lrelu_upsampling": OVERSAMPLING},
}
OF_DISCRIMINATOR: dict[str, object] = {
    **dict.fromkeys(("c_dim", "channel_base", "channel_max", "num_fp16_res", "conv_clamp", "cmap_dim"), FREE),
    **dict.fromkeys(("block_kwargs", "mapping_kwargs", "epilogue_kwargs"), FREE),
    **{"img_channels": 3, "architecture": "resnet"},
}
OF_BLOCKS: dict[str, object] = {
    **{"activation": "lrelu", "resample_filter": [1, 3, 3, 1], "fp16_channels_last": FREE, "freeze_layers": FREE},
}
OF_EPILOGUE: dict[str, object] = {"mbstd_group_size": FREE, "mbstd_num_channels": 1, "activation": "lrelu"}


def generator_options(record: PickledModule, tensors: Mapping[str, Tensor]) -> tuple[GanOptions, tuple[str, ...]]:
    """Return the options and classes of our generator that equals the official one; raises Unfit where none does."""
    parts = _inner(record, "_modules")
    mapping, synthesis = (asked(parts.get(name), name) for name in ("mapping", "synthesis"))
    check_options(mapping, OF_MAPPING, "the mapping's")
    z_dim, w_dim = (_whole(mapping, name) for name in ("z_dim", "w_dim"))
    if z_dim != w_dim:
        raise Unfit(f"its z_dim is {z_dim} and its w_dim {w_dim}, which are one size here")
    resolution = _whole(synthesis, "img_resolution")
    if resolution & (resolution - 1) or not 8 <= resolution <= 4096:
        raise Unfit(f"its img_resolution {resolution} is no power of two from 8 to 4096")
    cfg: Literal["stylegan2", "stylegan3-t", "stylegan3-r"] = "stylegan2"
    wide, noise = 1, False
    if "synthesis.input.freqs" in tensors:
        check_options(synthesis, OF_STYLEGAN3, "StyleGAN3's")
        kind = (_whole(synthesis, "conv_kernel", 3), bool(synthesis.get("use_radial_filters", False)))
        if kind not in ((3, False), (1, True)):
            raise Unfit(f"its conv_kernel {kind[0]} with use_radial_filters {kind[1]} is neither config T nor R")
        wide = 2 if kind[1] else 1
        cfg = "stylegan3-r" if kind[1] else "stylegan3-t"
    elif "synthesis.b4.const" not in tensors:
        raise Unfit("its G_ema is neither StyleGAN2 nor StyleGAN3")
    else:
        check_options(synthesis, OF_STYLEGAN2, "StyleGAN2's")
        noise = bool(synthesis.get("use_noise", True))
    cbase, cmax = _whole(synthesis, "channel_base", 32768), _whole(synthesis, "channel_max", 512)
    if cbase % wide or cmax % wide:
        raise Unfit(f"its channel_base {cbase} and channel_max {cmax} are not even, which config R's have to be")
    classes = _whole(mapping, "c_dim", 0)
    depth = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in tensors)
    first = tensors.get("mapping.fc0.weight", torch.empty(0)).shape
    held = max(max(value.shape, default=0) for value in tensors.values() if value.ndim > 1)
    if (
        first != (w_dim, w_dim * (2 if classes else 1))
        or max(classes, min(cmax, cbase // 4)) > held
        or depth > DEEPEST**2
    ):
        raise Unfit("its options ask for other tensors than it holds")  # before memory is taken for them
    options = GanOptions(
        cfg=cfg,
        height=resolution,
        width=resolution,
        w_dim=w_dim,
        map_depth=depth,
        cbase=cbase // wide,
        cmax=cmax // wide,
        noise=noise,
        edges="zero",
    )
    return options, tuple(str(number) for number in range(classes))


def asked(module: object, name: str) -> dict[str, Any]:
    """Return the options that an official network was built with; raises Unfit."""
    if isinstance(module, PickledModule):
        options = module.state.get("_init_kwargs")
        if isinstance(options, dict) and not module.state.get("_init_args"):
            return options
    raise Unfit(f"it does not say what its {name} was built with")


def check_options(options: Mapping[str, object], known: Mapping[str, object], whose: str) -> None:
    """Raise Unfit for the first option that our networks have no equal to."""
    for name, value in options.items():
        if name not in known:
            raise Unfit(f"{whose} option {_shown(name)} is unknown here")
        expected = known[name]
        if isinstance(expected, float):
            same = isinstance(value, int | float) and math.isclose(value, expected)
        else:
            same = expected is FREE or value == expected
        if not same:
            raise Unfit(f"{whose} option {name} is {_shown(value)}, but can only be {expected} here")


def _whole(options: Mapping[str, object], name: str, default: int | None = None) -> int:
    value = options.get(name, default)
    if not isinstance(value, int | float) or not 0 <= value < 2**24 or value != int(value):
        raise Unfit(f"its option {name} is {_shown(value)}, which is no size")
    return int(value)


def _shown(value: object) -> str:
    return ascii(value)[:60] if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"


MAPPED: Rules = ((r"^mapping\.fc(\d+)\.", r"mapping.layers.\1."), (r"^mapping\.w_avg$", "mapping.mean"))
STYLEGAN2: Rules = (
    *MAPPED,
    (r"^synthesis\.b4\.const$", "constant"),
    (r"^synthesis\.b(\d{1,4})\.", lambda found: f"blocks.{int(found[1]).bit_length() - 3}."),  # 4 is number 0
    (r"\.conv0\.", ".up."),
    (r"\.conv1\.", ".layer."),
    (r"\.torgb\.", ".to_rgb."),
    (r"\.affine\.", ".conv.style."),
    (r"^(blocks\.\d+\.\w+)\.weight$", r"\1.conv.weight"),
)
STYLEGAN3: Rules = (
    *MAPPED,
    (r"^synthesis\.input\.freqs$", "input.frequencies"),
    (rf"^synthesis\.L{LAYERS}_\d+_\d+\.", "to_rgb."),
    (r"^synthesis\.L(\d+)_\d+_\d+\.", r"layers.\1."),
    (r"\.magnitude_ema$", ".magnitude"),
    (r"^synthesis\.", ""),
)
COMPUTED = re.compile(r"(^|\.)(resample_filter|up_filter|down_filter)$|^synthesis\.input\.transform$")
NOISE = re.compile(r"\.noise_const$")


def of_discriminator(resolution: int) -> Rules:
    """Return the rules for the names of a discriminator of pictures of that size."""

    def block(found: re.Match[str]) -> str:
        return f"blocks.{resolution.bit_length() - int(found[1]).bit_length()}."

    return (
        (r"^b4\.(conv|fc|out)\.", lambda found: {"conv": "conv.", "fc": "hidden.", "out": "logit."}[found[1]]),
        (rf"^b{resolution}\.fromrgb\.", "from_rgb.0."),
        (r"^b(\d{1,4})\.", block),
        (r"\.conv0\.", ".conv."),
        (r"\.conv1\.", ".down."),
    )


def renamed(tensors: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Return tensors by our names, without filters and constant noise; raises Unfit where two get one name."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if COMPUTED.search(name) or NOISE.search(name):
            continue
        ours = name
        for pattern, replacement in rules:
            ours = re.sub(pattern, replacement, ours)
        if ours in found:
            raise Unfit(f"it holds {_shown(name)} twice")
        found[ours] = value
    return found


def _noise(tensors: Mapping[str, Tensor], sizes: int) -> Tensor:
    """Return the constant noise of all layers, flat, the coarsest first."""
    names = [f"synthesis.b{4 << size}.conv{layer}.noise_const" for size in range(sizes) for layer in (0, 1)][1:]
    if missing := [name for name in names if name not in tensors]:
        raise Unfit(f"it has no {missing[0]}")
    return torch.cat([tensors[name].flatten() for name in names])


def _check_input(tensors: Mapping[str, Tensor]) -> None:
    """Raise Unfit for an input of StyleGAN3 that was set to move the picture, or whose waves are above its band."""
    transform = tensors.get("synthesis.input.transform")
    if transform is not None and not torch.equal(transform.float(), torch.eye(3)):
        raise Unfit("its synthesis.input.transform moves the picture; set it to the identity and save the file again")
    frequencies = tensors["synthesis.input.freqs"]
    if frequencies.norm(dim=1).max() > FIRST_CUTOFF * 1.001:
        raise Unfit(f"its synthesis.input.freqs are above {FIRST_CUTOFF:g} cycles a picture, and would be damped there")


def _fill(network: nn.Module, ours: Mapping[str, Tensor], name: str, note: str) -> Part:
    """Load the tensors, all of them and nothing else; raises Unfit."""
    wanted = network.state_dict()
    for key in [*wanted, *ours]:
        if key not in ours:
            raise Unfit(f"{name} has nothing for our {key}")
        if key not in wanted:
            raise Unfit(f"{name} has {_shown(key)}, which our network has no place for")
        value, shape = ours[key], list(wanted[key].shape)
        if list(value.shape) != shape:
            raise Unfit(f"{name} has shape {list(value.shape)} where our {key} has {shape}")
        if not value.is_floating_point() or not value.isfinite().all():
            raise Unfit(f"{name} has numbers that are not finite for our {key}")
    network.load_state_dict({key: value.float() for key, value in ours.items()})
    network.eval().requires_grad_(False)
    return Part(name, len(ours), sum(parameter.numel() for parameter in network.parameters()), note)


def _discriminator(record: object, options: GanOptions, classes: Sequence[str]) -> tuple[Discriminator | None, Part]:
    """Return our discriminator with the official weights, whose judgement is close but not the same."""
    try:
        return _filled_discriminator(record, options, classes)
    except Unfit as error:
        return None, Part("D", 0, 0, f"left: {error}")


def _filled_discriminator(record: object, options: GanOptions, classes: Sequence[str]) -> tuple[Discriminator, Part]:
    if not isinstance(record, PickledModule):
        raise Unfit("the file holds no discriminator")
    if classes:
        raise Unfit("one with classes maps them through layers that ours does not have")
    built = dict(asked(record, "discriminator"))
    if _whole(built, "img_resolution") != options.height:
        raise Unfit(f"it judges pictures of {built['img_resolution']} pixels")
    del built["img_resolution"]
    check_options(built, OF_DISCRIMINATOR, "its")
    for room, known in (("block_kwargs", OF_BLOCKS), ("epilogue_kwargs", OF_EPILOGUE)):
        check_options(built.get(room) or {}, known, f"its {room}'")
    network = new_discriminator(options, classes)
    assert isinstance(network, Discriminator)
    ours = renamed(tensors_of(record), of_discriminator(options.height))
    added = {name: torch.zeros_like(value) for name, value in network.state_dict().items() if _ADDED.match(name)}
    part = _fill(
        network, ours | added, "D", "taken, approximately: ours halves what skips a block by means of 2x2 pixels"
    )
    return network, part


_ADDED = re.compile(r"from_rgb\.[1-9]")


def _left(content: dict[Any, Any], tensors: Mapping[str, Tensor]) -> list[Part]:
    """Return what was not taken, and why."""
    computed = [name for name in tensors if COMPUTED.search(name)]
    parts = [Part("G_ema's filters", 0, 0, f"left: {len(computed)} tensors that our network works out itself")]
    parts.append(Part("G_ema's conv_clamp", 0, 0, "left: what is beyond it (256, as a rule) is not cut off here"))
    for key, held in content.items():
        if key in ("G_ema", "D") or held is None:
            continue
        parts.append(Part(_shown(key).strip("'"), 0, 0, f"left: {_WHY.get(key, 'unknown here')}"))
    return parts


_WHY = {
    "G": "the weights that G_ema is the average of",
    "augment_pipe": "our training has its own",
    "training_set_kwargs": "it does not list the pictures, so no study can be kept clear of them",
}
