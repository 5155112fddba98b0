"""Artificial persons: person k from seed k, further pictures of the same person by changing some layers' styles.

Style mixing as in Karras et al. 2019 (StyleGAN), section 3.1: layers of one group take the styles of another seed. With
the coarse layers changed, pose and outline change and clothes should stay.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from synreid.data.pixels import picture_sha256
from synreid.data.sheets import sheet, write_picture, write_pictures
from synreid.data.table import TABLE, from_columns, write_table
from synreid.generate.options import MOST_IMAGES, PersonOptions
from synreid.generate.place import generator_place
from synreid.generate.sample import StyleSampler
from synreid.stage.device import choose_device
from synreid.stage.errors import UserError
from synreid.stage.folder import StageFolder
from synreid.stage.progress import progress

VERSION = 1
FIRST_OTHER_SEED = 1_000_000_000
BLOCK = 256  # pictures made at a time
GROUPS = {"coarse": (0.0, 0.375), "medium": (0.375, 0.75), "fine": (0.75, 1.0)}  # thesis: 0-5, 6-11, 12-15 of 16
SHEET = (16, 10)  # persons, pictures


@dataclass(frozen=True)
class Recipe:
    """All it takes to make one picture again with the generator of that fingerprint."""

    maker: str
    operation: str
    seed: int
    other_seed: int | None
    layers: tuple[int, ...]
    strength: float
    truncation: float

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        values = json.loads(text)
        return cls(**{**values, "layers": tuple(values["layers"])})


def layer_group(layers: str, num_ws: int) -> tuple[int, ...]:
    """Return the layers that `coarse`, `medium`, `fine` or a range such as `0-3` name; raises UserError otherwise."""
    if layers in GROUPS:
        low, high = (round(share * num_ws) for share in GROUPS[layers])
        return tuple(range(low, high))
    found = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", layers)
    chosen = range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(0)
    if not chosen or chosen[-1] >= num_ws:
        raise UserError(f"layers {layers} must be coarse, medium, fine or a range within 0-{num_ws - 1}, such as 0-3.")
    return tuple(chosen)


def plan(sampler: StyleSampler, options: PersonOptions) -> list[Recipe]:
    """Return what will be made, person by person: `options.images` pictures of each, the unchanged one first."""
    layers = layer_group(options.layers, sampler.num_ws)
    if options.images > 1 and (not layers or (sampler.num_ws == 1 and options.vary == "mix")):
        raise UserError(
            f"a generator with {sampler.num_ws} style has no {options.layers} layers to {options.vary}, so a person's "
            "pictures would not differ; take --vary interpolate --layers 0, or --images 1."
        )
    operation = {"mix": "style mixing", "interpolate": "interpolation"}[options.vary]
    strength = 1.0 if options.vary == "mix" else options.strength
    recipes = []
    for seed in range(options.first_seed, options.first_seed + options.persons):
        first = Recipe(sampler.fingerprint, "sample", seed, None, (), 0.0, options.truncation)
        others = range(
            FIRST_OTHER_SEED + seed * MOST_IMAGES, FIRST_OTHER_SEED + seed * MOST_IMAGES + options.images - 1
        )
        changed = dataclasses.replace(first, operation=operation, layers=layers, strength=strength)
        recipes += [first, *(dataclasses.replace(changed, other_seed=other) for other in others)]
    return recipes


def make(sampler: StyleSampler, recipes: Sequence[Recipe]) -> np.ndarray:
    """Return the pictures of `recipes`, uint8 RGB [N, H, W, 3].

    Raises UserError for a recipe of another generator.
    """
    for recipe in recipes:
        if recipe.maker != sampler.fingerprint:
            raise UserError(f"the picture was made by generator {recipe.maker}, but this one is {sampler.fingerprint}.")
    truncation = recipes[0].truncation
    if any(recipe.truncation != truncation for recipe in recipes):
        raise UserError("pictures of one batch must share one truncation; make them in several calls.")
    persons, person = np.unique([recipe.seed for recipe in recipes], return_inverse=True)
    classes = sampler.classes(persons.tolist())  # a person's pictures share the first one's class
    w = sampler.latents(persons.tolist(), truncation, classes)[person]
    classes = classes[person]
    seeds = [recipe.seed if recipe.other_seed is None else recipe.other_seed for recipe in recipes]
    other = sampler.latents(seeds, truncation, classes)
    weight = torch.zeros(len(recipes), sampler.num_ws, 1, device=w.device)
    for row, recipe in enumerate(recipes):
        weight[row, list(recipe.layers)] = recipe.strength
    return sampler.synthesize(w.lerp(other, weight), seeds)


def make_persons(gan: Path, out: Path, options: PersonOptions, config: dict[str, Any] | None = None) -> Path:
    """Write artificial persons made by the generator that `gan` names (a folder, a snapshot or `street`); return `out`.

    Writes `pictures/<person>/<person>_<picture>.png`, `table.parquet` (one row a picture, with all that it takes to
    make it again) and `sheet.png` (a row a person).
    """
    sampler = StyleSampler.load(generator_place(gan), choose_device())
    if sampler.network.cond == "pid":
        raise UserError(
            f"{gan} makes pictures of the {len(sampler.network.classes)} real persons that it was trained by, not of "
            "artificial ones; make persons with a generator of cond none or camera."
        )
    recipes = plan(sampler, options)
    with StageFolder(
        out,
        "persons",
        VERSION,
        config or {"gan": gan, "out": out, **dataclasses.asdict(options)},
        {"generator": sampler.fingerprint},
        unnamed=("gan", "out"),
    ) as folder:
        if not folder.complete:
            table = _write_pictures(sampler, recipes, out, options.images)
            write_table(table, out / TABLE)
            folder.finish({"pictures": len(table)})
    return out


def _write_pictures(sampler: StyleSampler, recipes: list[Recipe], out: Path, images: int) -> pa.Table:
    persons = [recipe.seed for recipe in recipes]
    paths = [f"pictures/{seed:06d}/{seed:06d}_{k % images:04d}.png" for k, seed in enumerate(persons)]
    digests: list[str] = []
    shown: list[np.ndarray] = []
    columns = min(images, SHEET[1])
    with progress("making persons", len(recipes), "pictures") as bar:
        for start in range(0, len(recipes), BLOCK):
            block = make(sampler, recipes[start : start + BLOCK])
            write_pictures([out / path for path in paths[start : start + BLOCK]], block)
            digests += map(picture_sha256, block)
            places = range(start, min(start + len(block), SHEET[0] * images))
            shown += [block[place - start] for place in places if place % images < columns]
            bar.advance(len(block))
    write_picture(out / "sheet.png", sheet(np.stack(shown), columns))
    count = len(recipes)
    network = sampler.network
    classes = [int(number) for number in sampler.classes(persons)]
    cameras = [network.classes[number] if network.cond == "camera" else None for number in classes]
    return from_columns(
        root=["."] * count,
        path=paths,
        sha256=digests,
        pid=[f"made/{seed:06d}" for seed in persons],
        origin=["artificial"] * count,
        claim=["new"] * count,
        camera=cameras,
        split=["train"] * count,
        maker=[recipe.to_json() for recipe in recipes],
    )
