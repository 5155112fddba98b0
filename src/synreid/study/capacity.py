"""How many variations that differ a person's pictures can give, known before a generator is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyarrow as pa

from synreid.data.table import column, pick, rows_by_person
from synreid.invert.options import VaryOptions, Way
from synreid.stage.errors import UserError
from synreid.study.recipe import Variations

ENDLESS = {"between", "sefa", "pca"}  # they draw a number, not a choice


def most_variations(ways: Sequence[Way], counts: Sequence[int], place: int, cameras: int) -> float:
    """Return how many variations that differ the person at `place` can have at most; infinity for ways without end.

    `counts` holds the pictures of each person, `cameras` is how many cameras there are. A bound: where a generator's
    latents know no difference between two cameras there are fewer.
    """
    own = counts[place]
    others = [count for number, count in enumerate(counts) if number != place]
    bounds: dict[str, float] = {
        "inversion": own,
        "mix": own * sum(others),
        "camera": own * max(0, cameras - 1),
        "transfer": own * sum(count * (count - 1) for count in others),
        **dict.fromkeys(ENDLESS, math.inf),
        "between": math.inf if own > 1 else 0,
    }
    return sum(bounds[way] for way in ways)


def check_variations(asked: Variations, real: pa.Table) -> None:
    """Raise UserError where the training pictures `real` cannot give what `asked` names, whatever the generator.

    Those are a pool in which a person would have fewer variations than it asks for and does not allow, and an amount
    that no person can have, whose arm would be that of a smaller amount under another name.
    """
    real = pick(real, junk=False)
    persons = rows_by_person(real)
    counts = [len(rows) for rows in persons.values()]
    cameras = len(set(column(real, "camera")) - {None})
    if set(asked.arms) - {"inversion"}:
        _check_pool(asked.vary, asked.amounts, list(persons), counts, cameras)
    most, amount = max(counts, default=0), max(asked.amounts)
    if "inversion" in asked.arms and amount > most:
        raise UserError(
            f"variations.amounts has {amount}, but no person has more than {most} pictures to invert; lower it, or "
            "leave inversion out of variations.arms."
        )


def _check_pool(vary: VaryOptions, amounts: Sequence[int], persons: list[str], counts: list[int], cameras: int) -> None:
    bounds = [most_variations(vary.ways, counts, place, cameras) for place in range(len(counts))]
    ways = ", ".join(vary.ways)
    fewest = min(range(len(bounds)), key=bounds.__getitem__)
    if bounds[fewest] < vary.images and not vary.allow_fewer:
        raise UserError(
            f"{vary.images} variations of each person are asked for, but the {counts[fewest]} pictures of person "
            f"{persons[fewest]} give at most {bounds[fewest]:.0f} that differ by {ways}; lower variations.vary.images "
            "and variations.amounts, name further variations.vary.ways, or set variations.vary.allow_fewer."
        )
    if max(bounds) < max(amounts):
        raise UserError(
            f"variations.amounts has {max(amounts)}, but no person's pictures give more than {max(bounds):.0f} "
            f"variations that differ by {ways}; lower it, or name further variations.vary.ways."
        )
