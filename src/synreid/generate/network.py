"""A generator on disk: its networks as safetensors, and the digests of every picture it has learned from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from torch import nn

from synreid.generate.dcgan import DCGAN, DCGANDiscriminator
from synreid.generate.discriminator import Discriminator
from synreid.generate.generator import Generator
from synreid.generate.options import GanOptions
from synreid.generate.stylegan2 import StyleGAN2
from synreid.generate.stylegan3 import StyleGAN3
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path
from synreid.stage.fingerprint import file_digest, fingerprint
from synreid.stage.folder import RUN, read_run
from synreid.stage.tensors import DAMAGED, read_header, write_tensors

GENERATOR = "generator.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
PICTURES = "pictures.parquet"
HEADER = "architecture"  # key of a network file's metadata
UNLISTED = "unlisted"  # key of that file's metadata
SHIPPED = Path(__file__).parent / "shipped"
ARCHITECTURE = ("cfg", "height", "width", "w_dim", "map_depth", "cmax", "cbase", "noise", "edges", "cond")
LARGEST = {"height": 4096, "width": 4096, "w_dim": 8192, "map_depth": 64, "cmax": 8192, "cbase": 2**20}
"""Sizes up to which a file is believed: a damaged one could ask for layers without end."""

Network = TypeVar("Network", bound=nn.Module)
AnyDiscriminator = Discriminator | DCGANDiscriminator


@dataclass(frozen=True)
class LearnedPictures:
    """The SHA-256 digests of the pictures that a generator learned from, its predecessors' included.

    `unlisted` names predecessors whose pictures nobody has listed, such as an imported file.
    """

    digests: frozenset[str]
    unlisted: frozenset[str] = frozenset()

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name this set."""
        return fingerprint(sorted(self.digests), sorted(self.unlisted))

    def __or__(self, other: LearnedPictures) -> LearnedPictures:
        return LearnedPictures(self.digests | other.digests, self.unlisted | other.unlisted)


def new_generator(options: GanOptions, classes: Sequence[str] = ()) -> Generator:
    """Return the generator that `options.cfg` names, with random weights; `classes` names those it is asked for by."""
    kind = {"stylegan2": StyleGAN2, "dcgan": DCGAN}.get(options.cfg, StyleGAN3)
    return kind(options, classes)


def new_discriminator(options: GanOptions, classes: Sequence[str] = ()) -> AnyDiscriminator:
    """Return the discriminator that trains `options.cfg`, with random weights."""
    kind = DCGANDiscriminator if options.cfg == "dcgan" else Discriminator
    return kind(options, len(classes))


def start_folder(start: str | None) -> Path | None:
    """Return the folder that `start` names: a shipped generator (`street`) or a path. Raises UserError if neither."""
    if start is None:
        return None
    folder = Path(start)
    if not (folder / GENERATOR).exists() and (SHIPPED / start).is_dir():
        folder = SHIPPED / start
    if not (folder / GENERATOR).exists():
        shipped = ", ".join(sorted(path.name for path in SHIPPED.iterdir())) if SHIPPED.is_dir() else "none"
        raise UserError(f"{start} is neither a shipped generator ({shipped}) nor a folder with {GENERATOR}.")
    return folder


def generator_place(gan: Path) -> Path:
    """Return where the generator lies that `gan` names: a shipped one, a finished run or import, or a snapshot's file.

    Raises UserError for anything else.
    """
    if gan.suffix == ".safetensors" and gan.is_file():
        return gan
    folder = start_folder(str(gan))
    assert folder is not None
    if (folder / RUN).exists():
        read_run(folder, "gan")
    return folder


def save_networks(
    folder: Path, options: GanOptions, generator: Generator, discriminator: AnyDiscriminator, learned: LearnedPictures
) -> dict[str, str]:
    """Write both networks and the list of pictures; returns each file's SHA-256."""
    save_network(folder / GENERATOR, generator, options, generator.classes)
    save_network(folder / DISCRIMINATOR, discriminator, options, generator.classes)
    save_learned(folder, learned)
    return {name: file_digest(folder / name) for name in (GENERATOR, DISCRIMINATOR, PICTURES)}


def save_learned(folder: Path, learned: LearnedPictures) -> None:
    """Write the list of pictures that a generator learned from."""
    digests = pa.array([bytes.fromhex(digest) for digest in sorted(learned.digests)], pa.binary(32))
    table = pa.table({"sha256": digests})
    if learned.unlisted:
        table = table.replace_schema_metadata({UNLISTED: json.dumps(sorted(learned.unlisted))})
    with atomic_path(folder / PICTURES) as temporary:
        pq.write_table(table, temporary, compression="none")


def save_network(path: Path, network: nn.Module, options: GanOptions, classes: Sequence[str] = ()) -> None:
    """Write one network's weights, with what it takes to build it again in the file's header."""
    wanted = {**{name: getattr(options, name) for name in ARCHITECTURE}, "classes": list(classes)}
    write_tensors(path, network.state_dict(), HEADER, wanted)


def learned_pictures(folder: Path) -> LearnedPictures:
    """Return what the generator in `folder` learned from; raises UserError where the list is missing."""
    path = folder / PICTURES
    if not path.exists():
        raise UserError(
            f"{path} is missing, so nobody can tell which pictures this generator saw; "
            "use one that gan train or gan import made."
        )
    try:
        table = pq.read_table(path)
        unlisted = json.loads((table.schema.metadata or {}).get(UNLISTED.encode(), b"[]"))
        return LearnedPictures(frozenset(value.hex() for value in table["sha256"].to_pylist()), frozenset(unlisted))
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        raise UserError(
            f"{path} is damaged ({type(error).__name__}), so nobody can tell which pictures this generator saw; copy "
            "or train it again."
        ) from error


def load_generator(folder: Path) -> Generator:
    """Return the generator in `folder` in float32, for evaluation.

    `folder` may also be the file of one snapshot. Raises UserError for a missing or damaged file.
    """
    return _load(_file(Path(folder)), new_generator)


def load_discriminator(folder: Path) -> AnyDiscriminator:
    """Return the discriminator in `folder`, as `load_generator` does."""
    return _load(Path(folder) / DISCRIMINATOR, new_discriminator)


def generator_fingerprint(folder: Path) -> str:
    """Return the first 16 hexadecimal digits of the generator's SHA-256; `folder` may be a snapshot's file."""
    return file_digest(_file(Path(folder)))[:16]


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


def _file(place: Path) -> Path:
    return place if place.suffix == ".safetensors" else place / GENERATOR


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
