"""A generator on disk: its networks as safetensors, and the digests of every picture it has learned from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import nn

from synreid.generate.dcgan import DCGAN, DCGANDiscriminator
from synreid.generate.discriminator import Discriminator
from synreid.generate.generator import Generator
from synreid.generate.options import GanOptions
from synreid.generate.place import DISCRIMINATOR, GENERATOR, PICTURES, LearnedPictures, generator_file, save_learned
from synreid.generate.stylegan2 import StyleGAN2
from synreid.generate.stylegan3 import StyleGAN3
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import file_digest
from synreid.stage.tensors import DAMAGED, read_header, write_tensors

HEADER = "architecture"  # key of a network file's metadata
ARCHITECTURE = ("cfg", "height", "width", "w_dim", "map_depth", "cmax", "cbase", "noise", "edges", "cond")
LARGEST = {"height": 4096, "width": 4096, "w_dim": 8192, "map_depth": 64, "cmax": 8192, "cbase": 2**20}
"""Sizes up to which a file is believed: a damaged one could ask for layers without end."""

Network = TypeVar("Network", bound=nn.Module)
AnyDiscriminator = Discriminator | DCGANDiscriminator


def new_generator(options: GanOptions, classes: Sequence[str] = ()) -> Generator:
    """Return the generator that `options.cfg` names, with random weights; `classes` names those it is asked for by."""
    kind = {"stylegan2": StyleGAN2, "dcgan": DCGAN}.get(options.cfg, StyleGAN3)
    return kind(options, classes)


def new_discriminator(options: GanOptions, classes: Sequence[str] = ()) -> AnyDiscriminator:
    """Return the discriminator that trains `options.cfg`, with random weights."""
    kind = DCGANDiscriminator if options.cfg == "dcgan" else Discriminator
    return kind(options, len(classes))


def save_networks(
    folder: Path, options: GanOptions, generator: Generator, discriminator: AnyDiscriminator, learned: LearnedPictures
) -> dict[str, str]:
    """Write both networks and the list of pictures; returns each file's SHA-256."""
    save_network(folder / GENERATOR, generator, options, generator.classes)
    save_network(folder / DISCRIMINATOR, discriminator, options, generator.classes)
    save_learned(folder, learned)
    return {name: file_digest(folder / name) for name in (GENERATOR, DISCRIMINATOR, PICTURES)}


def save_network(path: Path, network: nn.Module, options: GanOptions, classes: Sequence[str] = ()) -> None:
    """Write one network's weights, with what it takes to build it again in the file's header."""
    wanted = {**{name: getattr(options, name) for name in ARCHITECTURE}, "classes": list(classes)}
    write_tensors(path, network.state_dict(), HEADER, wanted)


def load_generator(folder: Path) -> Generator:
    """Return the generator in `folder` in float32, for evaluation.

    `folder` may also be the file of one snapshot. Raises UserError for a missing or damaged file.
    """
    return _load(generator_file(Path(folder)), new_generator)


def load_discriminator(folder: Path) -> AnyDiscriminator:
    """Return the discriminator in `folder`, as `load_generator` does."""
    return _load(Path(folder) / DISCRIMINATOR, new_discriminator)


def architecture(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the options in ARCHITECTURE and the classes that a network's file was written with.

    Raises UserError for a file that is missing, cut short or not one of ours.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; name the folder of a finished gan train run.")
    try:
        found = read_header(path, HEADER)
        for name, most in LARGEST.items():
            if not 1 <= found[name] <= most:
                raise ValueError(f"its {name} is not in 1 to {most}")
        return {name: found[name] for name in ARCHITECTURE}, list(found["classes"])
    except DAMAGED as error:
        raise UserError(f"{path} is damaged or not a generator of ours ({error}); train it again.") from error


def halve(folder: Path) -> None:
    """Store both networks of `folder` in half precision, which is how generators are shipped."""
    for name in (GENERATOR, DISCRIMINATOR):
        path = folder / name
        tensors = {key: value.to(torch.float16) for key, value in load_file(path).items()}
        write_tensors(path, tensors, HEADER, read_header(path, HEADER))


def _load(path: Path, kind: Callable[[GanOptions, Sequence[str]], Network]) -> Network:
    options, classes = architecture(path)
    try:
        network = kind(dataclasses.replace(GanOptions(), **options), classes)
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
    except DAMAGED as error:
        raise UserError(f"{path} is damaged or not a generator of ours ({error}); train it again.") from error
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{path} is of another version of SynReID's networks; train it again.") from error
    return network.eval().requires_grad_(False)
