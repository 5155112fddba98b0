"""Sheets to judge a generator by: samples, truncation, style mixing, layers, interpolation, nearest training ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from synreid.data.pixels import pixels
from synreid.data.sheets import BLUE, sheet, shown_scale, titled, write_animation, write_picture
from synreid.data.table import column, paths, table_fingerprint
from synreid.features.embedders import Embedder, default_quality_embedder
from synreid.generate.nearest import nearest_sheet
from synreid.generate.options import ShowOptions
from synreid.generate.persons import GROUPS, layer_group
from synreid.generate.place import PICTURES, generator_place, learned_pictures
from synreid.generate.sample import StyleSampler
from synreid.stage.device import choose_device
from synreid.stage.errors import UserError
from synreid.stage.files import write_json
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import StageFolder
from synreid.stage.log import say
from synreid.stage.progress import progress

VERSION = 1
PSI = (0.0, 0.25, 0.5, 0.7, 1.0)
WALKS = 6  # animated interpolations side by side
MILLISECONDS = 60  # that a frame of them is shown
BLOCK = 256  # samples made at a time for the search
ANIMATION = "interpolation.webp"
NEAREST = "nearest.png"
NUMBERS = "nearest.json"


def truncation_grid(sampler: StyleSampler, seeds: Sequence[int], psi: Sequence[float] = PSI) -> np.ndarray:
    """Return pictures, uint8 [seeds, psi, H, W, 3]: each seed's person under each truncation psi.

    Karras et al. 2019 (StyleGAN), appendix B: w' = mean + psi (w - mean). At psi 0 it is the mean person in every row.
    """
    return _pictures(sampler, torch.stack([sampler.latents(seeds, value) for value in psi], dim=1), seeds[0])


def mixing_grid(
    sampler: StyleSampler,
    rows: Sequence[int],
    columns: Sequence[int],
    layers: Sequence[int],
    truncation: float = 1.0,
) -> np.ndarray:
    """Return pictures, uint8 [1 + rows, 1 + columns, H, W, 3], of style mixing between seeds.

    Karras et al. 2019 (StyleGAN), figure 3: the first column shows the rows' persons and the first row the columns';
    a cell is the row's person whose `layers` take the column's styles. The corner is white.
    """
    own, other = sampler.latents(rows, truncation), sampler.latents(columns, truncation)
    body = own[:, None].repeat(1, len(columns), 1, 1)
    body[:, :, list(layers)] = other[None, :, list(layers)]
    top = torch.cat([own[:1], other])[None]  # the corner is painted over
    grid = _pictures(sampler, torch.cat([top, torch.cat([own[:, None], body], dim=1)]), rows[0])
    grid[0, 0] = 255
    return grid


def layer_grid(
    sampler: StyleSampler, seeds: Sequence[int], others: Sequence[int], truncation: float = 1.0
) -> np.ndarray:
    """Return pictures, uint8 [seeds, 1 + num_ws + 1, H, W, 3]: what each layer does.

    A row is the seed's person, then for each layer the person with that layer's style alone taken from the other seed,
    and at last the other seed's person.
    """
    own, other = sampler.latents(seeds, truncation)[:, None], sampler.latents(others, truncation)[:, None]
    taken = torch.eye(sampler.num_ws, dtype=torch.bool, device=own.device)[None, :, :, None]
    return _pictures(sampler, torch.cat([own, torch.where(taken, other, own), other], dim=1), seeds[0])


def walk(sampler: StyleSampler, seeds: Sequence[int], places: Sequence[float], truncation: float = 1.0) -> np.ndarray:
    """Return pictures, uint8 [seeds, places, H, W, 3], on straight lines in W between neighbouring seeds.

    A row goes from its seed (place 0) to the next row's (place 1), the last row's back to the first. A smoother curve
    would swing out beyond the styles that it passes, to where no sample lies.
    """
    w = sampler.latents(seeds, truncation)
    share = torch.tensor(places, dtype=w.dtype, device=w.device)[None, :, None, None]
    return _pictures(sampler, w[:, None].lerp(w.roll(-1, dims=0)[:, None], share), seeds[0])


def _pictures(sampler: StyleSampler, w: Tensor, noise_seed: int) -> np.ndarray:
    """Return pictures for styles `w` [R, C, num_ws, w_dim], all with the same noise, so that only styles differ."""
    rows, columns = w.shape[:2]
    made = sampler.synthesize(w.flatten(0, 1), [noise_seed] * (rows * columns))
    return made.reshape(rows, columns, *made.shape[1:])


def sheets(sampler: StyleSampler, options: ShowOptions) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the file name and the page, uint8 [H, W, 3], of every sheet that needs no training pictures."""
    psi = options.truncation
    seeds = range(options.seed, options.seed + options.rows)
    beside = range(seeds.stop, seeds.stop + options.columns)
    first = range(options.seed, options.seed + options.rows * options.columns)
    made = sampler.synthesize(sampler.latents(first, psi), first)
    grid = made.reshape(options.rows, options.columns, *made.shape[1:])
    plus = [f"+{k}" for k in range(options.columns)]
    yield "samples.png", _page(grid, plus, _named(first[:: options.columns]), f"Samples, psi {psi:g}")
    heads = [f"psi\n{value:g}" for value in PSI]
    title = "Truncation: psi 0 is the mean person"
    yield "truncation.png", _page(truncation_grid(sampler, seeds), heads, _named(seeds), title)
    if sampler.num_ws > 1:
        yield from _style_sheets(sampler, seeds, beside, psi)
    circle = range(options.seed, options.seed + options.persons)
    places = np.linspace(0, 1, options.columns)
    sides = [f"seed {a}\nto {b}" for a, b in zip(circle, [*circle[1:], circle[0]], strict=True)]
    strip = walk(sampler, circle, list(places), psi)
    title = f"Interpolation in {'W' if sampler.num_ws > 1 else 'Z'}, psi {psi:g}"
    yield "interpolation.png", _page(strip, [f"{place:.0%}" for place in places], sides, title)


def _style_sheets(
    sampler: StyleSampler, seeds: Sequence[int], beside: Sequence[int], psi: float
) -> Iterator[tuple[str, np.ndarray]]:
    for group in GROUPS:
        layers = layer_group(group, sampler.num_ws)
        if not layers:
            say(f"there is no style-mixing-{group}.png: with {sampler.num_ws} styles no layer counts as {group}.")
            continue
        span = f"{layers[0]}-{layers[-1]}" if len(layers) > 1 else f"{layers[0]}"
        title = f"Style mixing, psi {psi:g}: {group} styles (layers {span} of 0-{sampler.num_ws - 1}) from the top row"
        grid = mixing_grid(sampler, seeds, beside, layers, psi)
        sources = np.zeros(grid.shape[:2], dtype=bool)
        sources[0, 1:] = sources[1:, 0] = True
        yield f"style-mixing-{group}.png", _page(grid, ["", *_named(beside)], ["", *_named(seeds)], title, sources)
    others = range(beside[0], beside[0] + len(seeds))
    heads = ["person", *(f"layer\n{layer}" for layer in range(sampler.num_ws)), "other"]
    title = f"Layers, psi {psi:g}: the style of a single layer comes from the other person"
    yield "layers.png", _page(layer_grid(sampler, seeds, others, psi), heads, _named(seeds), title)


def animation(sampler: StyleSampler, options: ShowOptions) -> list[np.ndarray]:
    """Return the pages, uint8 [H, W, 3], of an endless animation: persons side by side, each turning into others.

    Each slows down where it passes a seed's person, so that real samples can be told from what lies between them.
    """
    places = (1 - np.cos(np.pi * np.arange(options.frames) / options.frames)) / 2
    walks = []
    with progress("making the animation", WALKS * options.persons * options.frames, "pictures") as bar:
        for number in range(WALKS):
            first = options.seed + number * options.persons
            made = walk(sampler, range(first, first + options.persons), places.tolist(), options.truncation)
            walks.append(made.reshape(-1, *made.shape[2:]))
            bar.advance(len(walks[-1]))
    return [sheet(frame, WALKS, scale=shown_scale(sampler.height)) for frame in np.stack(walks, axis=1)]


def _page(
    grid: np.ndarray, heads: Sequence[str], sides: Sequence[str], title: str, framed: np.ndarray | None = None
) -> np.ndarray:
    """Return pictures, uint8 [R, C, H, W, 3], as a page; `framed`, bool [R, C], are those with a frame around them."""
    cells = grid.reshape(-1, *grid.shape[2:])
    frames = None if framed is None else [BLUE if around else None for around in framed.flat]
    scale = shown_scale(grid.shape[2])
    return titled(sheet(cells, grid.shape[1], frames=frames, scale=scale, heads=heads, sides=sides), title)


def _named(seeds: Sequence[int]) -> list[str]:
    return [f"seed\n{seed}" for seed in seeds]


def show_gan(
    gan: Path, out: Path, options: ShowOptions, real: pa.Table | None = None, config: dict[str, Any] | None = None
) -> Path:
    """Write the sheets of the generator that `gan` names (a folder, a snapshot's file or `street`) and return `out`.

    Writes `samples.png`, `truncation.png`, `style-mixing-{coarse,medium,fine}.png`, `layers.png`, `interpolation.png`
    and `interpolation.webp` (animated); with `real`, the table of the training pictures, also `nearest.png` and its
    numbers, `nearest.json`. A generator with one style has no sheets of style mixing and layers.
    """
    place = generator_place(gan)
    sampler = StyleSampler.load(place, choose_device())
    inputs = {"generator": sampler.fingerprint}
    if real is not None:
        if not len(real):
            raise UserError("the data hold no training picture that samples could be compared with; name other data.")
        embedder, why = default_quality_embedder("Nearness is measured")
        inputs |= {"pictures": table_fingerprint(real), "features": embedder.name}
    asked = config or {"gan": gan, "out": out, **dataclasses.asdict(options)}
    with StageFolder(out, "show", VERSION, asked, inputs, unnamed=("gan", "data", "out")) as stage:
        if stage.complete:
            return out
        names = _write_sheets(sampler, out, options)
        if real is not None:
            say(why)
            learned = _learned_from(place if place.is_dir() else place.parent, real)
            names += _write_nearest(sampler, real, embedder, learned, out, options)
        stage.finish({name: file_digest(out / name) for name in names})
    return out


def _write_sheets(sampler: StyleSampler, out: Path, options: ShowOptions) -> list[str]:
    if sampler.num_ws == 1:
        say("this generator has a single style, so there are no sheets of style mixing and layers.")
    names = []
    with progress("making sheets", 3 if sampler.num_ws == 1 else 4 + len(GROUPS), "sheets") as bar:
        for name, page in sheets(sampler, options):
            write_picture(out / name, page)
            names.append(name)
            bar.advance()
    write_animation(out / ANIMATION, animation(sampler, options), MILLISECONDS)
    return [*names, ANIMATION]


def _write_nearest(
    sampler: StyleSampler, real: pa.Table, embedder: Embedder, learned: int | None, out: Path, options: ShowOptions
) -> list[str]:
    """Write the sheet of nearest training pictures and its numbers; return the files' names."""
    seeds = range(options.seed, options.seed + options.searched)
    made = []
    with progress("making samples", len(seeds), "pictures") as bar:
        for start in range(0, len(seeds), BLOCK):
            block = seeds[start : start + BLOCK]
            made.append(sampler.synthesize(sampler.latents(block, options.truncation), block))
            bar.advance(len(block))
    pictures = pixels(real, sampler.height, sampler.width)
    page, found = nearest_sheet(pictures, np.concatenate(made), seeds, embedder, options.neighbours, options.pairs)
    files = [str(path) for path in paths(real)]
    for measured in found:
        for pair in measured["pairs"]:
            pair["files"] = [files[row] for row in pair.pop("rows")]
    numbers = {"samples": len(seeds), "training_pictures": len(real), "learned_from": learned, "nearest": found}
    write_picture(out / NEAREST, page)
    write_json(out / NUMBERS, numbers)
    say(f"{out / NEAREST} shows training pictures, so real persons where the data do: treat it as their terms ask.")
    return [NEAREST, NUMBERS]


def _learned_from(folder: Path, real: pa.Table) -> int | None:
    """Return how many of the pictures the generator learned from, and say so; None where nobody can tell."""
    if not (folder / PICTURES).exists():
        say("which pictures this generator learned from is not known: it has no list of them.")
        return None
    learned = learned_pictures(folder)
    if learned.unlisted:
        names = ", ".join(sorted(learned.unlisted))
        say(f"what else this generator learned from is not listed: it goes on from {names}.")
    digests = learned.digests
    if not digests:
        return None
    known = sum(digest in digests for digest in column(real, "sha256"))
    hint = "" if known else ": name the data it was trained on, or a memorised picture cannot be found"
    say(f"{known:,} of the {len(real):,} training pictures are among those that this generator learned from{hint}.")
    return known
