"""What a user can ask of the embedded set `street`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StreetOptions:
    """Size and seed of a drawn set; the same options give the same bytes."""

    persons: int = 200
    """Number of training persons, 0 to 4999."""

    test_persons: int | None = None
    """Number of test persons, 0 to 4999; left out: half as many as training persons."""

    pictures: int = 12
    """Pictures of each person, at least 4, spread over two to four cameras."""

    seed: int = 0
    """World seed: another seed draws other persons in other streets, before the same six kinds of camera."""

    height: int = 128
    """Height of a picture in pixels, 32 to 256. Everything is drawn for 128 and resized last."""

    width: int = 64
    """Width of a picture in pixels, 16 to 256."""

    @property
    def test(self) -> int:
        """Number of test persons asked for, by name or as half of the training persons (rounded up)."""
        return (self.persons + 1) // 2 if self.test_persons is None else self.test_persons
