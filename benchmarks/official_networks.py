"""Whether an imported generator makes the official program's pictures, for StyleGAN3 T and R, StyleGAN2 and ADA's.

    python benchmarks/official_networks.py --peer DIR

`DIR` holds checkouts of NVlabs/stylegan3 and NVlabs/stylegan2-ada-pytorch, named `stylegan3` and `stylegan2-ada` (both
non-commercial: they are run from there, in a process of their own, and nothing of them is kept here). No official
weights are needed: that process builds the official networks, gives every parameter and buffer random values, writes
the pickle as the official training loop does, and makes pictures; this one imports the pickle and makes them again. To
reach, in float32: a largest difference of 1e-3 of the pictures' standard deviation.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from packaging.version import parse as parse_version
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from synreid.generate.discriminator import DiscriminatorBlock
from synreid.generate.layers import activate, blur
from synreid.generate.network import load_discriminator, load_generator
from synreid.generate.official import import_official
from synreid.generate.place import DISCRIMINATOR
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

TO_REACH = 1e-3
CFGS = ("stylegan3-t", "stylegan3-r", "stylegan2", "stylegan2-ada")
CASES = tuple((cfg, size, classes) for cfg in CFGS for size in (64, 128) for classes in (0, 5)) + tuple(
    (cfg, 256, 0) for cfg in CFGS
)
CBASE, CMAX, W_DIM, BATCH, PSI = 2048, 32, 64, 4, 0.7
RESULT = Path(__file__).parent.parent / "results" / "generate" / "official-networks.json"


def official_networks(checkout: Path, cfg: str, size: int, classes: int) -> tuple[Any, Any]:
    """Return the official generator and discriminator, options as from the official `train.py` but few channels."""
    sys.path.insert(0, str(checkout))
    # the one thing that they take from setuptools, which a new environment does not have
    sys.modules["pkg_resources"] = SimpleNamespace(parse_version=parse_version)  # type: ignore[assignment]
    import dnnlib  # type: ignore[import-not-found]

    wide = 2 if cfg == "stylegan3-r" else 1
    channels = {"channel_base": CBASE * wide, "channel_max": CMAX * wide}
    shape = {"c_dim": classes, "img_resolution": size, "img_channels": 3}
    named = {"stylegan2-ada": "networks", "stylegan2": "networks_stylegan2"}.get(cfg, "networks_stylegan3")
    options: dict[str, Any] = {"z_dim": W_DIM, "w_dim": W_DIM, "mapping_kwargs": dnnlib.EasyDict()}
    if cfg == "stylegan2-ada":
        options["synthesis_kwargs"] = dnnlib.EasyDict(**channels, num_fp16_res=4, conv_clamp=256)
        options["mapping_kwargs"].num_layers = 8
    else:
        options |= channels
    if cfg == "stylegan3-r":
        options |= {"conv_kernel": 1, "use_radial_filters": True}
    if cfg.startswith("stylegan3"):
        options["magnitude_ema_beta"] = 0.5 ** (32 / 20e3)
    G = importlib.import_module(f"training.{named}").Generator(**options, **shape)
    judge = "networks" if cfg == "stylegan2-ada" else "networks_stylegan2"
    plain = {name: dnnlib.EasyDict() for name in ("block_kwargs", "mapping_kwargs", "epilogue_kwargs")}
    plain["epilogue_kwargs"].mbstd_group_size = 4
    D = importlib.import_module(f"training.{judge}").Discriminator(
        channel_base=CBASE, channel_max=CMAX, **plain, **shape
    )
    return G, D


@torch.no_grad()
def randomise(network: nn.Module, seed: int) -> None:
    """Give every parameter and buffer random values, so that one in a wrong place is seen.

    Left are the resampling filters, which our network does not read, and the transform of StyleGAN3's input, which an
    import wants to be the identity.
    """
    rng = torch.Generator().manual_seed(seed)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=rng)

    for name, value in network.named_parameters():
        spread = value.std().item() if value.numel() > 1 else 0.0
        weak = "mapping.fc" in name and name.endswith("bias")  # is used times 0.01
        value.copy_(value.mean() + normal(value) * (30.0 if weak else spread or 0.3))
    for name, value in network.named_buffers():
        leaf = name.rpartition(".")[2]
        if leaf in ("noise_const", "w_avg"):
            value.copy_(normal(value))
        elif leaf == "phases":
            value.copy_(torch.rand(value.shape, generator=rng))
        elif leaf == "magnitude_ema":
            value.copy_(0.5 + 1.5 * torch.rand(value.shape, generator=rng))
        elif leaf == "freqs":  # within what the input may hold: 2 cycles a picture
            radius, direction = 2 * torch.rand(len(value), 1, generator=rng), F.normalize(normal(value))
            value.copy_(radius * direction)
        else:
            assert leaf in ("resample_filter", "up_filter", "down_filter", "transform"), name


@torch.no_grad()
def child(asked: str) -> None:
    """Write the pickle of random official networks, and what they make of random z, into a folder."""
    checkout, cfg, size, classes, seed, folder = json.loads(asked)
    torch.manual_seed(seed)
    G, D = (network.eval().requires_grad_(False) for network in official_networks(Path(checkout), cfg, size, classes))
    randomise(G, seed)
    randomise(D, seed + 1)
    average = copy.deepcopy(G)
    randomise(G, seed + 2)  # the training weights, which must not be taken
    held = {"G": G, "D": D, "G_ema": average, "augment_pipe": None, "training_set_kwargs": {"path": "none"}}
    with open(Path(folder) / "network.pkl", "wb") as file:
        pickle.dump(held, file)
    rng = torch.Generator().manual_seed(seed + 3)
    z = torch.randn(BATCH, W_DIM, generator=rng)
    number = torch.randint(max(1, classes), (BATCH,), generator=rng)
    c = F.one_hot(number, classes).float() if classes else torch.zeros(BATCH, 0)
    w = average.mapping(z, c)
    truncated = average.mapping(z, c, truncation_psi=PSI)
    mixed = torch.stack([w[torch.randperm(BATCH, generator=rng), place] for place in range(average.num_ws)], 1)

    def pictures(w: Tensor) -> Tensor:
        return average.synthesis(w, noise_mode="const", force_fp32=True).contiguous()

    made = {"from w": pictures(mixed), "from z": pictures(w), "from z, truncated": pictures(truncated)}
    shown = made["from w"].clamp(-3, 3)
    logits = D(shown, c, force_fp32=True).squeeze(1)
    save_file(
        {"z": z, "classes": number, "w": w.contiguous(), "mixed": mixed, "truncated": truncated.contiguous(), **made}
        | {"shown": shown, "logits": logits},
        Path(folder) / "expected.safetensors",
    )


def difference(ours: Tensor, theirs: Tensor) -> dict[str, float]:
    """Return the largest absolute difference, the official values' standard deviation, and the ratio of both."""
    largest, deviation = (ours - theirs).abs().max().item(), theirs.std().item()
    return {"largest": largest, "standard_deviation": round(deviation, 4), "relative": largest / deviation}


@torch.no_grad()
def measure(peer: Path, cfg: str, size: int, classes: int, seed: int) -> dict[str, Any]:
    """Return how far our pictures, styles and logits are from the official ones."""
    checkout = peer / ("stylegan2-ada" if cfg == "stylegan2-ada" else "stylegan3")
    with tempfile.TemporaryDirectory() as folder:
        asked = json.dumps([str(checkout.resolve()), cfg, size, classes, seed, folder])
        subprocess.run([sys.executable, __file__, "--child", asked], check=True, capture_output=True)
        expected = load_file(Path(folder) / "expected.safetensors")
        gan = import_official(Path(folder) / "network.pkl", Path(folder) / "gan")
        generator = load_generator(gan)
        judge = load_discriminator(gan) if (gan / DISCRIMINATOR).exists() else None
    z, number = expected["z"], expected["classes"]
    w, truncated = generator.styles(z, 1.0, number), generator.styles(z, PSI, number)
    found: dict[str, Any] = {"cfg": cfg, "size": f"{size}x{size}", "classes": classes}
    found["styles"] = difference(w, expected["w"])
    found["styles, truncated"] = difference(truncated, expected["truncated"])
    found["pictures from w, another in every layer"] = difference(
        generator.synthesize(expected["mixed"]), expected["from w"]
    )
    found["pictures from z"] = difference(generator.synthesize(w), expected["from z"])
    found[f"pictures from z, truncation {PSI}"] = difference(
        generator.synthesize(truncated), expected["from z, truncated"]
    )
    worst = max(value["relative"] for name, value in found.items() if name.startswith("pictures"))
    found |= {"worst": worst, "reached": worst <= TO_REACH}
    if judge is not None:
        logits = judge(expected["shown"])
        with_their_filter = official_halving(judge, expected["shown"])
        found["logits"] = difference(logits, expected["logits"])
        found["logits, had our discriminator their filter"] = difference(with_their_filter, expected["logits"])
    return found


def official_halving(judge: nn.Module, pictures: Tensor) -> Tensor:
    """Return our logits if what skips a block were filtered with [1, 3, 3, 1] as there, not by means of 2x2 pixels."""
    ours = DiscriminatorBlock.forward

    def theirs(self: DiscriminatorBlock, x: Tensor) -> Tensor:
        y = activate(self.down(activate(self.conv(x))))
        skip = F.conv2d(blur(x, pad=1)[:, :, ::2, ::2], self.skip.weight * self.skip.scale)
        return (skip + y) / 2**0.5

    DiscriminatorBlock.forward = theirs  # type: ignore[method-assign]
    try:
        return judge(pictures)
    finally:
        DiscriminatorBlock.forward = ours  # type: ignore[method-assign]


def main() -> None:
    """Compare all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, help="folder with the checkouts `stylegan3` and `stylegan2-ada`")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return
    if given.peer is None:
        say("not run: it takes --peer DIR")
        return
    values = []
    for seed, (cfg, size, classes) in enumerate(CASES):
        values.append(measure(given.peer, cfg, size, classes, seed))
        say(f"{cfg} {size} {classes}: {values[-1]['worst']:.1e}")
    write_json(
        RESULT,
        {
            "what": "imported generators against the official programs, random values, the same w or z, float32: "
            "largest absolute difference of pictures, and that over their standard deviation; goal 1e-3",
            "command": "python benchmarks/official_networks.py --peer DIR",
            "channels": f"min({CBASE} / height, {CMAX}), config R twice; w of {W_DIM}; {BATCH} pictures",
            "patched": "pkg_resources.parse_version, which setuptools no longer brings along, is packaging's; the "
            "custom operations fall back to the official reference implementations by themselves on a CPU",
            "not_compared": "clamping at 256 (conv_clamp), which these activations do not reach, and random noise",
            "values": values,
            "worst": max(value["worst"] for value in values),
            "seeds": list(range(len(CASES))),
            "reached": all(value["reached"] for value in values),
            "machine": machine(),
        },
    )


if __name__ == "__main__":
    main()
