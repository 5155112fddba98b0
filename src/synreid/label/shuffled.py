"""A control: made pictures keep their looks but lose their identities."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from synreid.label.base import identities, index_of_classes, made_rows
from synreid.label.new_identity import NewIdentity

SHUFFLE = 100  # keeps its random numbers from those of the training that shares the seed


class Shuffled(NewIdentity):
    """Hard labels with those of the made rows shuffled among the made rows.

    Each class keeps its number of pictures, so the arm differs from `new-identity` in one thing only: whether made
    pictures of one class show one person. Where this arm gains as much, identity was not what helped.
    """

    name = "shuffled"

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def classes(self, table: pa.Table) -> list[str]:
        """Return the sorted identities of `table`; raises UserError when a row has none."""
        names, index = index_of_classes(identities(table))
        made = np.flatnonzero(made_rows(table))
        index[made] = index[made][np.random.default_rng([self.seed, SHUFFLE, 0]).permutation(len(made))]
        self.index, self.count = torch.from_numpy(index), len(names)
        return names
