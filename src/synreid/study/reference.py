"""Numbers that others have published for the question of a recipe, to stand beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from synreid.stage.errors import UserError

if TYPE_CHECKING:
    from synreid.study.arms import Arm


@dataclass(frozen=True)
class ReferenceRow:
    """One published result; measures are fractions, under the names that ours have."""

    amount: int
    """What was added: persons, or variations of each real person; 0 for real pictures alone."""
    rank1: float
    """Rank-1."""
    map_trapezoid: float
    """mAP by the trapezoid rule, as layumi's evaluator and Market-1501's own have it."""
    rank5: float | None = None
    """Rank-5."""
    rank10: float | None = None
    """Rank-10."""
    pictures: int | None = None
    """Generated pictures added in all."""
    note: str | None = None
    """Why the row cannot be taken as it stands."""


@dataclass(frozen=True)
class Reference:
    """A published sweep over amounts. It decides nothing that is trained."""

    source: str
    """Who published it, and where."""
    unit: Literal["persons", "variations"]
    """What amounts count: artificial persons in all, or variations of each real person."""
    rows: tuple[ReferenceRow, ...]
    """The results, by amount."""
    note: str | None = None
    """How they were made, as far as it matters to a comparison."""

    def __post_init__(self) -> None:
        """Raise UserError for rows that cannot be drawn beside ours."""
        amounts = [row.amount for row in self.rows]
        if not amounts or amounts != sorted(set(amounts)) or amounts[0] < 0:
            raise UserError(
                f"reference: amounts {amounts} must be different numbers from 0 up, in their order, at least one."
            )
        for row in self.rows:
            for name in ("rank1", "rank5", "rank10", "map_trapezoid"):
                value = getattr(row, name)
                if value is not None and not 0 <= value <= 1:
                    raise UserError(
                        f"reference: {name} of amount {row.amount} is {value}, but must be a fraction in 0 to 1."
                    )


def reference_facts(reference: Reference, arms: Sequence[Arm]) -> dict[str, Any]:
    """Return the reference as plain values, each row with the name of the arm of ours that does the same, or None.

    That is the real pictures for amount 0, persons as new identities, and variations under their parents' identities,
    those that selection keeps where there is such an arm.
    """
    names = {arm.name for arm in arms}
    kinds = {"persons": ("persons",), "variations": ("selected", "variations")}[reference.unit]

    def same(amount: int) -> str | None:
        able = [f"{kind}-{amount}" for kind in kinds] if amount else ["real"]
        return next((name for name in able if name in names), None)

    return {**asdict(reference), "rows": [{**asdict(row), "arm": same(row.amount)} for row in reference.rows]}
