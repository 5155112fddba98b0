"""What can be asked of an encoder's measurement; light to import."""

from __future__ import annotations

from dataclasses import dataclass

from synreid.stage.errors import UserError


@dataclass(frozen=True)
class MeasureOptions:
    """How much of the test split is looked at, and by whom."""

    queries: int = 300
    """Query pictures that are inverted, evenly spread over the persons; 0 takes all. The gallery is always whole."""
    outside: str | None = None
    """Outside network that judges identity: a name such as osnet or pixels, or an ONNX file; null takes OSNet where its
    weights are on this machine, plain pixels where not."""
    latents: bool = False
    """Rank by latents too, for which the encoder sees the whole gallery."""
    resamples: int = 2000
    """Draws of persons that a 95 % interval is taken from."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that nothing can be measured with."""
        if self.queries < 0:
            raise UserError(f"measuring option queries is {self.queries}, but must not be negative; 0 takes all.")
        if self.resamples < 100:
            raise UserError(
                f"measuring option resamples is {self.resamples}, but the ends of a 95 % interval need 100 or more."
            )
