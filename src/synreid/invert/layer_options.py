"""What can be asked of the measurement of a generator's layers."""

from __future__ import annotations

from dataclasses import dataclass

from synreid.stage.errors import UserError


@dataclass(frozen=True)
class LayerOptions:
    """Options of the measurement of what each style layer of a generator holds."""

    persons: int = 64
    """Persons whose layers are replaced one at a time; the standard errors shrink with their square root."""
    seed: int = 0
    """Seed of the first person; the others follow, and after them the persons whose styles are put in."""
    truncation: float = 1.0
    """Truncation psi of both: 1 is the whole variety, less is closer to the mean person."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that nothing can be measured with."""
        for name, low, high in (("persons", 2, 10_000), ("seed", 0, 99_999), ("truncation", -2, 2)):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} is {getattr(self, name)}, but must lie in {low} to {high}; correct it.")
        if self.truncation == 0:
            raise UserError("truncation is 0, but there every person is the same one; take another value.")
