"""The variations of a study: encoder, latents, and the pools that its arms draw from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from synreid.data.table import TABLE, read_table
from synreid.invert.latents import invert_pictures, persons_rows
from synreid.invert.train import train_encoder
from synreid.invert.vary import vary_persons
from synreid.select.run import kept_rows, read_selection
from synreid.stage.log import say
from synreid.study.arms import Pool
from synreid.study.recipe import Variations

Stage = Callable[[str, Callable[[], Path]], Path]
"""Runs a stage and notes under that name how long it took."""


@dataclasses.dataclass(frozen=True)
class VariationPools:
    """Picture tables by the arms' pools, and the folders of the variations and of their selection."""

    tables: dict[Pool, pa.Table]
    variations: Path | None
    selection: Path | None


def variation_pools(
    asked: Variations,
    real: pa.Table,
    generator: Path,
    out: Path,
    select: Callable[[Path], Path],
    stage: Stage,
) -> VariationPools:
    """Make what the arms of `asked` need of the real training pictures `real`, in folders of `out`.

    `select` chooses among the pictures of a folder of variations and returns its own folder.
    """
    encoder = stage("encoder", lambda: train_encoder(real, generator, out / "encoder", asked.encoder))
    latents = stage("latents", lambda: invert_pictures(real, generator, encoder, out / "latents", asked.refine))
    tables: dict[Pool, pa.Table] = {}
    variations = selection = None
    if set(asked.arms) & {"all", "selected", "soft"}:
        variations = stage("variations", lambda: vary_persons(generator, latents, None, out / "variations", asked.vary))
        tables["variations"] = read_table(variations / TABLE)
    if variations is not None and set(asked.arms) & {"selected", "soft"}:
        folder = variations
        selection = stage("selection of variations", lambda: select(folder))
        tables["selected"] = kept_rows(tables["variations"], read_selection(selection))
        _say_short("selection left", tables["selected"], asked, real)
    if "inversion" in asked.arms:
        unchanged = dataclasses.replace(asked.vary, ways=("inversion",), images=max(asked.amounts), allow_fewer=True)
        folder = stage("inversions", lambda: vary_persons(generator, latents, None, out / "inversions", unchanged))
        tables["inversions"] = read_table(folder / TABLE)
        _say_short("there are", tables["inversions"], asked, real)
    return VariationPools(tables, variations, selection)


def _say_short(what: str, pool: pa.Table, asked: Variations, real: pa.Table) -> None:
    """Say how many persons have fewer pictures in a pool than the largest amount takes."""
    most, found = max(asked.amounts), persons_rows(pool)
    short = [pid for pid in persons_rows(real) if len(found.get(pid, ())) < most]
    if short:
        say(f"{what} fewer than {most} pictures of {len(short)} persons, who get what there is.")
