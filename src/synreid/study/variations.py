"""The variations of a study: encoder, latents, and the pools that its arms draw from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from synreid.data.table import TABLE, read_table, rows_by_person
from synreid.invert.latents import invert_pictures
from synreid.invert.train import train_encoder
from synreid.invert.vary import vary_persons
from synreid.reid.train import training_rows
from synreid.select.run import kept_rows, read_selection
from synreid.stage.errors import UserError
from synreid.stage.log import say
from synreid.study.recipe import Variations

Stage = Callable[[str, Callable[[], Path]], Path]
"""Runs a stage and notes under that name how long it took."""


@dataclasses.dataclass(frozen=True)
class VariationPools:
    """Picture tables by the arms' pools, the folder of the selection, and what a reader should know."""

    tables: dict[str, pa.Table]
    selection: Path | None
    notes: list[str]


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
    Raises UserError where no person has the largest amount, whose arm would be that of a smaller one under another
    name; where only some persons have fewer, a note says how many.
    """
    real = training_rows(real)  # junk pictures do not show whom they name
    encoder = stage("encoder", lambda: train_encoder(real, generator, out / "encoder", asked.encoder))
    latents = stage("latents", lambda: invert_pictures(real, generator, encoder, out / "latents", asked.refine))
    tables: dict[str, pa.Table] = {}
    variations = selection = None
    if set(asked.arms) & {"all", "selected", "soft"}:
        variations = stage("variations", lambda: vary_persons(generator, latents, out / "variations", asked.vary))
        tables["variations"] = read_table(variations / TABLE)
    if variations is not None and set(asked.arms) & {"selected", "soft"}:
        folder = variations
        selection = stage("selection of variations", lambda: select(folder))
        tables["selected"] = kept_rows(tables["variations"], read_selection(selection))
    if "inversion" in asked.arms:
        unchanged = dataclasses.replace(asked.vary, ways=("inversion",), images=max(asked.amounts), allow_fewer=True)
        folder = stage("inversions", lambda: vary_persons(generator, latents, out / "inversions", unchanged))
        tables["inversions"] = read_table(folder / TABLE)
    for name, pool in tables.items():
        _check_pool(name, pool, max(asked.amounts))
    notes = [note for name, pool in tables.items() if (note := _shortage(name, pool, max(asked.amounts), real))]
    for note in notes:
        say(note)
    return VariationPools(tables, selection, notes)


def _check_pool(name: str, pool: pa.Table, amount: int) -> None:
    most = max(map(len, rows_by_person(pool).values()), default=0)
    if most < amount:
        raise UserError(
            f"variations.amounts has {amount}, but of {_words(name)} no person has more than {most}; lower it, or let "
            "variations.vary make more and select keep more."
        )


def _words(name: str) -> str:
    return "selected variations" if name == "selected" else name


def _shortage(name: str, pool: pa.Table, most: int, real: pa.Table) -> str | None:
    """Return how many persons have fewer pictures in a pool than the largest amount takes; None where all have them."""
    found = rows_by_person(pool)
    short = sum(len(found.get(pid, ())) < most for pid in rows_by_person(real))
    return f"{short} persons have fewer than {most} {_words(name)}; all they have are taken." if short else None
