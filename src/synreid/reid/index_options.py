"""What can be asked of an index of a gallery; light to import."""

from __future__ import annotations

from dataclasses import dataclass

from synreid.stage.errors import UserError


@dataclass(frozen=True)
class IndexOptions:
    """How a gallery is searched: exactly, or by clusters where it is large."""

    exact_limit: int = 100_000
    """Pictures up to which every one is compared; above, faiss looks into the nearest clusters only."""

    recall: float = 0.99
    """Recall at 10 to reach with clusters: share of the true ten nearest pictures that are found, above 0 and up to 1.
    As many clusters are looked into as that takes, all of them for 1."""

    sample: int = 1000
    """Pictures of the gallery itself that recall is measured with."""

    seed: int = 0
    """Seed of the clusters and of the sample."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that no index can be built with."""
        for name, low, high in (("exact_limit", 1, 10**9), ("sample", 1, 100_000), ("seed", 0, 2**31 - 1)):
            if not low <= getattr(self, name) <= high:
                raise UserError(
                    f"index option {name} is {getattr(self, name)}, but must lie in {low} to {high}; correct it."
                )
        if not 0 < self.recall <= 1:
            raise UserError(f"index option recall is {self.recall}, but must lie above 0 and up to 1; correct it.")
