"""A generator on disk: its networks as safetensors, and the digests of every picture it has learned from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from synreid.generate.options import GanOptions
from synreid.generate.stylegan2 import Discriminator, Generator, resolutions
from synreid.generate.stylegan3 import AliasFreeGenerator
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path
from synreid.stage.fingerprint import file_digest, fingerprint

GENERATOR = "generator.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
PICTURES = "pictures.parquet"
SHIPPED = Path(__file__).parent / "shipped"
ARCHITECTURE = ("network", "height", "width", "w_dim", "mapping_layers", "channels", "channels_base", "noise")

Network = TypeVar("Network", bound=nn.Module)
StyleGenerator = Generator | AliasFreeGenerator


@dataclass(frozen=True)
class LearnedPictures:
    """The SHA-256 digests of the pictures that a generator learned from, its predecessors' included."""

    digests: frozenset[str]

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name this set."""
        return fingerprint(sorted(self.digests))


def new_generator(options: GanOptions) -> StyleGenerator:
    """Return the generator that `options.network` names, with random weights."""
    if options.network == "stylegan2":
        return Generator(options)
    return AliasFreeGenerator(options, radial=options.network == "stylegan3-r")


def start_folder(start: str | None) -> Path | None:
    """Return the folder that `start` names: a shipped generator (`street`) or a path. Raises UserError if neither."""
    if start is None:
        return None
    folder = SHIPPED / start if (SHIPPED / start).is_dir() else Path(start)
    if not (folder / GENERATOR).exists():
        shipped = ", ".join(sorted(path.name for path in SHIPPED.iterdir())) if SHIPPED.is_dir() else "none"
        raise UserError(f"start {start} is neither a shipped generator ({shipped}) nor a folder with {GENERATOR}.")
    return folder


def save_networks(
    folder: Path, options: GanOptions, generator: StyleGenerator, discriminator: Discriminator, learned: LearnedPictures
) -> dict[str, str]:
    """Write both networks and the list of pictures; returns each file's SHA-256."""
    _save(folder / GENERATOR, generator, options)
    _save(folder / DISCRIMINATOR, discriminator, options)
    digests = pa.array([bytes.fromhex(digest) for digest in sorted(learned.digests)], pa.binary(32))
    with atomic_path(folder / PICTURES) as temporary:
        pq.write_table(pa.table({"sha256": digests}), temporary, compression="none")
    return {name: file_digest(folder / name) for name in (GENERATOR, DISCRIMINATOR, PICTURES)}


def learned_pictures(folder: Path) -> LearnedPictures:
    """Return what the generator in `folder` learned from; raises UserError where the list is missing."""
    path = folder / PICTURES
    if not path.exists():
        raise UserError(f"{path} is missing, so nobody can tell which pictures this generator saw; train it again.")
    return LearnedPictures(frozenset(value.hex() for value in pq.read_table(path)["sha256"].to_pylist()))


def load_generator(folder: Path) -> StyleGenerator:
    """Return the generator in `folder` in float32, for evaluation; raises UserError for a missing or damaged file."""
    return _load(Path(folder) / GENERATOR, new_generator)


def load_discriminator(folder: Path) -> Discriminator:
    """Return the discriminator in `folder`, as `load_generator` does."""
    return _load(Path(folder) / DISCRIMINATOR, Discriminator)


def carry_over(start: Path, generator: StyleGenerator, discriminator: Discriminator, options: GanOptions) -> None:
    """Fill both networks with the weights in `start`, which may have a half, a quarter ... of their size.

    Finer layers keep their random weights, but what they add to the picture and to its judgement starts at nothing,
    so that both networks begin as the ones that they grew from. Raises UserError where the architectures differ in
    anything else.
    """
    for name in ARCHITECTURE:
        have, wanted = _architecture(start / GENERATOR)[name], getattr(options, name)
        coarser = name in ("height", "width") and (have, 0) in [divmod(wanted, 2**k) for k in range(1, 10)]
        if have != wanted and not coarser:
            raise UserError(
                f"{start} has {name} {have}, but {wanted} is asked for; ask for {name} {have} or start elsewhere."
            )
    coarse, judge = load_generator(start), load_discriminator(start)
    discriminator_sizes = [len(resolutions(network.height, network.width)) for network in (generator, coarse)]
    finer = discriminator_sizes[0] - discriminator_sizes[1]
    if finer and not isinstance(generator, Generator):
        raise UserError(
            f"{start} is of another size, from which only stylegan2 goes on; ask for {coarse.height}x{coarse.width}."
        )
    generator.load_state_dict(coarse.state_dict(), strict=False)
    with torch.no_grad():
        if finer and isinstance(generator, Generator):
            for block in generator.blocks[-finer:]:
                block.to_rgb.conv.weight.zero_()  # type: ignore[union-attr, operator]
        if finer:  # the finest of several new blocks reaches the logit through the coarsest of them
            block = discriminator.blocks[finer - 1]
            block.down.weight.zero_()  # type: ignore[union-attr, operator]
            block.skip.weight.zero_()  # type: ignore[union-attr, operator]
    discriminator.load_state_dict(_deeper(judge.state_dict(), finer), strict=False)


def _deeper(state: dict[str, torch.Tensor], finer: int) -> dict[str, torch.Tensor]:
    """Rename a discriminator's parts, counted from the finest, for one that begins with `finer` more of them."""
    renamed = {}
    for name, tensor in state.items():
        room, _, rest = name.partition(".")
        if room in ("blocks", "from_rgb"):
            number, _, leaf = rest.partition(".")
            name = f"{room}.{int(number) + finer}.{leaf}"
        renamed[name] = tensor
    return renamed


def generator_fingerprint(folder: Path) -> str:
    """Return the first 16 hexadecimal digits of the generator's SHA-256."""
    return file_digest(Path(folder) / GENERATOR)[:16]


def _save(path: Path, network: nn.Module, options: GanOptions) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    architecture = {name: getattr(options, name) for name in ARCHITECTURE}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, {"network": options.network, "options": json.dumps(architecture)}))


def _architecture(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"{path} does not exist; name the folder of a finished gan train run.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            found: dict[str, Any] = {"network": metadata["network"], **json.loads(metadata["options"])}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged or not a generator of ours ({error}); train it again.") from error
    return found


def _load(path: Path, kind: Callable[[GanOptions], Network]) -> Network:
    network = kind(dataclasses.replace(GanOptions(), **_architecture(path)))
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    except RuntimeError as error:
        raise UserError(f"{path} is of another version of SynReID's networks; train it again.") from error
    return network.eval().requires_grad_(False)


def halve(folder: Path) -> None:
    """Store both networks of `folder` in half precision, which is how generators are shipped."""
    for name in (GENERATOR, DISCRIMINATOR):
        path = folder / name
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        tensors = {key: value.to(torch.float16) for key, value in load_file(path).items()}
        with atomic_path(path) as temporary:
            temporary.write_bytes(save(tensors, metadata))
