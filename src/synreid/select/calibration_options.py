"""What can be asked of the calibration of selection's scores."""

from __future__ import annotations

from dataclasses import dataclass

from synreid.stage.errors import UserError

LEAST_HEIGHT, LEAST_WIDTH = 16, 8


@dataclass(frozen=True)
class CalibrationOptions:
    """Options of the measurement of what each score makes of real, broken and no persons."""

    pairs: int = 2000
    """Pairs of pictures of each kind: of one person, of two persons, of a picture and its copy."""
    pictures: int = 500
    """Real pictures that single-picture scores see, and of each kind of broken person and of no person."""
    resolution: str | None = None
    """Height and width that pictures are shown at, such as 64x32: the made pictures'; null: the first real one's."""
    accept: float = 0.9
    """Share of the pictures or pairs that should pass which the proposed threshold lets through, 0 to 1."""
    seed: int = 0
    """Seed of the draw of pictures and pairs, and of the intervals."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that nothing can be measured with."""
        for name, low, high in (("pairs", 10, 1_000_000), ("pictures", 10, 100_000), ("seed", 0, 2**32 - 1)):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} is {getattr(self, name)}, but must lie in {low} to {high}; correct it.")
        if not 0 < self.accept <= 1:
            raise UserError(f"accept is {self.accept}, but must lie above 0 and up to 1; correct it.")
        if self.resolution is not None:
            size_of(self.resolution)


def size_of(resolution: str) -> tuple[int, int]:
    """Return height and width of "64x32"; raises UserError for another spelling, or fewer than 16x8 pixels."""
    height, _, width = resolution.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise UserError(f"resolution is {resolution}, but must be height x width, such as 64x32; correct it.")
    if int(height) < LEAST_HEIGHT or int(width) < LEAST_WIDTH:
        raise UserError(
            f"resolution is {resolution} (the first picture's, if none was given), but scores need "
            f"{LEAST_HEIGHT}x{LEAST_WIDTH} pixels or more; give a larger resolution."
        )
    return int(height), int(width)
