"""What a privacy audit looks at: a generator's samples, or the made pictures of a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synreid.data.pixels import pixels, read_picture
from synreid.data.table import column, paths, table_fingerprint
from synreid.generate.place import GENERATOR, PICTURES, SHIPPED, LearnedPictures, generator_place, learned_pictures
from synreid.generate.quality import samples
from synreid.generate.sample import StyleSampler
from synreid.select.made import made_pictures
from synreid.select.parents import are_variations
from synreid.stage.device import choose_device
from synreid.stage.errors import UserError
from synreid.stage.folder import stage_of

SAMPLES, PERSONS, VARIATIONS = "samples of a generator", "artificial persons", "variations of real persons"


@dataclass(frozen=True)
class Made:
    """M made pictures that are to be audited."""

    kind: str
    """SAMPLES, PERSONS or VARIATIONS."""
    size: tuple[int, int]
    """Height and width of all of them."""
    fingerprint: str
    """Changes with the pictures."""
    names: list[str]
    """A short name for each."""
    groups: np.ndarray
    """The person of each, [M]; a generator's samples are a person each."""
    pictures: Callable[[], np.ndarray]
    """Makes or reads them: uint8 [M, H, W, 3]."""
    columns: dict[str, Any]
    """What is known of each: its seed, or sha256, path and person."""
    learned: LearnedPictures | None
    """What the generator learned from, None where nobody has listed it."""


def made_by(source: Path, count: int) -> Made:
    """Return what `source` stands for: `count` samples of a generator, or all pictures of a folder.

    A generator is named by its folder, a snapshot's file or a shipped name, a folder is one of persons, variations or
    a selection. Raises UserError for anything else, and for fewer than two pictures.
    """
    stage = stage_of(source)
    if stage in ("persons", "select"):
        return _pictures_of(source)
    shipped = len(source.parts) == 1 and (SHIPPED / source).is_dir()
    is_file = source.suffix == ".safetensors" and source.is_file()
    if stage != "gan" and not (is_file or shipped or (source / GENERATOR).exists()):
        raise UserError(
            f"{source} is neither a generator (the folder of a gan train or gan import, a snapshot's file, or street) "
            "nor the folder of a persons make, persons vary or select run: name one of these."
        )
    return _samples_of(generator_place(source), count)


def _pictures_of(folder: Path) -> Made:
    table = made_pictures(folder)
    if len(table) < 2:
        raise UserError(f"{folder} holds {len(table)} pictures, but one shows nothing; make 2 or more.")
    height, width = read_picture(paths(table)[0]).shape[:2]
    named = {name: column(table, name) for name in ("sha256", "path", "pid")}
    return Made(
        VARIATIONS if are_variations(table) else PERSONS,
        (height, width),
        table_fingerprint(table),
        [Path(path).stem for path in named["path"]],
        np.array([f"made {person}" for person in named["pid"]]),  # a variation's is no name of a held-out person
        lambda: pixels(table, height, width),
        named,
        None,
    )


def _samples_of(place: Path, count: int) -> Made:
    if count < 2:
        raise UserError(f"count is {count}, but one picture shows nothing; take 2 or more.")
    sampler = StyleSampler.load(place, choose_device())
    folder = place if place.is_dir() else place.parent
    learned = learned_pictures(folder) if (folder / PICTURES).exists() else None
    return Made(
        SAMPLES,
        (sampler.height, sampler.width),
        sampler.fingerprint,
        [f"seed {seed}" for seed in range(count)],
        np.array([f"made {seed}" for seed in range(count)]),
        lambda: np.concatenate(list(samples(sampler, range(count)))),
        {"seed": range(count)},
        learned if learned and learned.digests else None,
    )
