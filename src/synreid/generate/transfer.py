"""Going on from another generator: which weights a network takes over from one that may have another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from synreid.generate.discriminator import Discriminator
from synreid.generate.generator import Generator
from synreid.generate.network import AnyDiscriminator, architecture, load_discriminator, load_generator
from synreid.generate.options import GanOptions
from synreid.generate.place import DISCRIMINATOR, GENERATOR
from synreid.generate.stylegan2 import StyleGAN2
from synreid.stage.errors import UserError

MUST_AGREE = ("cfg", "w_dim", "map_depth", "cmax")


@dataclass(frozen=True)
class Carried:
    """What became of one layer: how many of its tensors were carried over, and why the others were not."""

    network: str
    layer: str
    carried: int
    tensors: int
    why: str


def carry_over(
    start: Path, generator: Generator, discriminator: AnyDiscriminator, options: GanOptions
) -> list[Carried]:
    """Fill both networks with what fits of the ones in `start`, and return what became of each layer.

    StyleGAN2's layers are matched by their height, StyleGAN3's by their number. Finer layers than `start` has keep
    their random weights, but what they add to the picture and to its judgement starts at nothing, so that both
    networks begin as the ones that they grew from. A `start` without a discriminator leaves that one random.
    Raises UserError where `check_start` does.
    """
    check_start(start, options, generator.classes)
    old = load_generator(start)
    names = _places(old, generator)
    rows = _fill("generator", old.state_dict(), generator, names)
    if isinstance(generator, StyleGAN2) and isinstance(old, StyleGAN2):
        for block, (height, _) in zip(generator.blocks, generator.sizes, strict=True):
            if height > old.sizes[-1][0]:
                nn.init.zeros_(block.to_rgb.conv.weight)  # type: ignore[union-attr, arg-type]
    if not (start / DISCRIMINATOR).exists():
        return rows
    judge = load_discriminator(start)
    rows += _fill("discriminator", judge.state_dict(), discriminator, _places(judge, discriminator))
    if isinstance(discriminator, Discriminator) and isinstance(judge, Discriminator):
        finer = sum(height > judge.sizes[0][0] for height, _ in discriminator.sizes)
        if finer:  # the finest of several new blocks reaches the logit through the coarsest of them
            block = discriminator.blocks[finer - 1]
            nn.init.zeros_(block.down.weight)  # type: ignore[union-attr, arg-type]
            nn.init.zeros_(block.skip.weight)  # type: ignore[union-attr, arg-type]
    return rows


def check_start(start: Path, options: GanOptions, wanted: Sequence[str]) -> None:
    """Raise UserError where the generator in `start` differs in more than its size, `cbase`, noise and edges.

    `wanted` are the names of the classes that this training asks for.
    """
    have, classes = architecture(start / GENERATOR)
    for name in MUST_AGREE:
        if have[name] != getattr(options, name):
            raise UserError(
                f"{start} has {name} {have[name]}, but {getattr(options, name)} is asked for; "
                f"ask for {name} {have[name]} or start elsewhere."
            )
    if tuple(classes) != tuple(wanted):
        raise UserError(
            f"{start} knows {len(classes)} classes, but this training asks for {len(wanted)} or others; "
            "give the same pictures and --cond, or start elsewhere."
        )


def table(rows: list[Carried]) -> str:
    """Return a line for each layer that was not wholly carried over, and one that counts the rest."""
    whole = [row for row in rows if row.carried == row.tensors]
    lines = [f"{row.network} {row.layer}: {row.carried} of {row.tensors} tensors, {row.why}" for row in rows]
    partly = [line for line, row in zip(lines, rows, strict=True) if row.carried < row.tensors]
    return "\n".join([f"carried over as they are: {len(whole)} of {len(rows)} layers", *partly])


def _places(old: nn.Module, new: nn.Module) -> dict[str, str]:
    """Return the prefix in `old` of each prefix of `new` that is numbered otherwise, layers matched by their height."""
    if not all(isinstance(network, StyleGAN2 | Discriminator) for network in (old, new)):
        return {}
    heights = [height for height, _ in old.sizes]  # type: ignore[union-attr, misc]
    found = {}
    for number, (height, _) in enumerate(new.sizes):  # type: ignore[union-attr, arg-type, misc]
        place = heights.index(height) if height in heights else None
        for room in ("blocks.", "from_rgb."):
            found[f"{room}{number}."] = "nowhere." if place is None else f"{room}{place}."
    return found


def _fill(name: str, old: dict[str, Tensor], network: nn.Module, places: dict[str, str]) -> list[Carried]:
    """Copy into `network` what fits; a constant of another size is cut or continued around its centre."""
    layers: dict[str, list[str]] = {}
    for key, target in network.state_dict().items():
        prefix = ".".join(key.split(".")[:2]) + "."
        source = old.get(places.get(prefix, prefix) + key[len(prefix) :] if key.startswith(prefix) else key)
        room = key.split(".")[0]
        layer = ".".join(key.split(".")[: {"blocks": 3, "layers": 2}.get(room, 1)])
        with torch.no_grad():
            if source is None:
                why = "no such layer there"
            elif source.shape == target.shape:
                target.copy_(source)
                why = ""
            elif key == "constant" and source.shape[:2] == target.shape[:2]:
                target.copy_(_centred(source, target.shape[2], target.shape[3]))
                why = f"cut to {target.shape[2]}x{target.shape[3]} around its centre"
            else:
                why = f"shape {list(source.shape)} there, {list(target.shape)} here"
        layers.setdefault(layer, []).append(why)
    return [
        Carried(name, layer, whys.count(""), len(whys), "; ".join(sorted({why for why in whys if why})))
        for layer, whys in layers.items()
    ]


def _centred(x: Tensor, height: int, width: int) -> Tensor:
    """Return `x` [1, C, h, w] at [1, C, height, width], the same places around the centre, edges continued."""
    for axis, side in ((2, height), (3, width)):
        have = x.shape[axis]
        place = (torch.arange(side) + (have - side) // 2).clamp(0, have - 1)
        x = x.index_select(axis, place)
    return x
