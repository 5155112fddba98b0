"""Made pictures are someone of the real persons who look alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
from scipy.cluster.vq import kmeans, vq

from synreid.data.table import rows as table_rows
from synreid.label.base import made_rows
from synreid.label.real import RealIdentities
from synreid.stage.errors import UserError

Embed = Callable[[pa.Table], np.ndarray]
"""Takes a picture table of N rows; returns features [N, D]."""

CLUSTERS = 101  # keeps its random numbers from those of the training that shares the seed
STARTS = 20  # of k-means, the best of which is taken


class Slsr(RealIdentities):
    """Sparse label smoothing: q_k = 1 / |C| for a made row and each identity k of its cluster C, 0 for the others.

    Clusters are those of k-means on the real pictures' features, of unit length, and C are the identities that have
    at least one picture in a cluster. Ainam et al. 2019, "Sparse Label Smoothing Regularization for Person
    Re-Identification" (arXiv 1809.04976), with 3 clusters. There every cluster has a generator of its own, which says
    where a made picture belongs; here the picture's own features do, by the nearest centre.
    """

    name = "slsr"

    def __init__(self, embed: Embed, seed: int, clusters: int = 3) -> None:
        super().__init__()
        if clusters < 1:
            raise UserError(f"the number of clusters of slsr is {clusters}, but must be at least 1; correct it.")
        self.embed, self.seed, self.clusters = embed, seed, clusters
        self.cluster = torch.empty(0, dtype=torch.int64)
        self.shares = torch.empty(0, 0)

    def classes(self, table: pa.Table) -> list[str]:
        """Return the sorted identities of the real rows; where there are made rows, clusters are found now, once.

        Raises UserError as its parent does, and where there are fewer real pictures than clusters.
        """
        names = super().classes(table)
        made = made_rows(table)
        if not made.any():
            return names
        if (real := int((~made).sum())) < self.clusters:
            raise UserError(
                f"label strategy 'slsr' has {self.clusters} clusters, but there are only {real} real training "
                "pictures; add real ones, or choose lsro."
            )
        cluster = self._clusters(table, made)
        members = torch.zeros(int(cluster.max()) + 1, self.count)
        members[torch.from_numpy(cluster[~made]), self.index[torch.from_numpy(~made)]] = 1
        self.cluster, self.shares = torch.from_numpy(cluster), members / members.sum(1, keepdim=True)
        return names

    def _clusters(self, table: pa.Table, made: np.ndarray) -> np.ndarray:
        """Return the cluster of every row, int64 [N]; every cluster has a real row."""
        real, others = (_unit(self.embed(table_rows(table, part))) for part in (~made, made))
        centres, _ = kmeans(real, self.clusters, iter=STARTS, seed=np.random.default_rng([self.seed, CLUSTERS, 0]))
        own = vq(real, centres)[0]
        used, cluster = np.unique(own, return_inverse=True)  # a centre may have lost its pictures
        found = np.empty(len(table), dtype=np.int64)
        found[~made], found[made] = cluster, vq(others, centres[used])[0]
        return found

    def made_targets(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return the uniform distribution over each row's cluster, [M, K]."""
        return self.shares[self.cluster[rows.to(self.cluster.device)]].to(logits.device)


def _unit(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, dtype=np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
