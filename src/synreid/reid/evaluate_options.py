"""Options of evaluation; light to import, since the command line reads them for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from synreid.stage.errors import UserError

FEWEST = 100  # resamples


@dataclass(frozen=True)
class EvaluateOptions:
    """What is scored and left besides the plain scores, which are the same whatever is chosen here."""

    rerank: bool = False
    """Score after k-reciprocal re-ranking too (arXiv 1701.08398), into the subfolder rerank."""

    k1: int = 20
    """Neighbours that must be mutual, in re-ranking; as many pictures as a person has in the gallery, or so."""

    k2: int = 6
    """Neighbours whose weights are averaged, in re-ranking; at most k1."""

    lambda_value: float = 0.3
    """Weight of the original distance in the re-ranked one, in [0, 1]; the Jaccard distance has the rest."""

    multi_query: bool = False
    """Score with multiple queries too, into the subfolder multi_query: a query's feature is then the mean over all
    pictures of its person and camera, those of gt_bbox where the data have that folder, else of query and gallery."""

    intervals: int = 0
    """Resamples of the queries' persons that give 95 % intervals of Rank-1 and mAP, such as 1000; 0 for none."""

    breakdown: bool = False
    """Score by camera, by pair of cameras, and by how many right pictures a query has."""

    predictions: bool = False
    """Leave the features of query and gallery, and CSV files of their paths, identities and cameras, in the subfolder
    predictions, for any other evaluator."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that cannot be evaluated with."""
        if self.intervals and self.intervals < FEWEST:
            raise UserError(
                f"evaluation option intervals is {self.intervals}, but must be 0 or at least {FEWEST} resamples; "
                "correct it."
            )
        check_reranking(self.k1, self.k2, self.lambda_value)


def check_reranking(k1: int, k2: int, lambda_value: float) -> None:
    """Raise UserError for numbers of k-reciprocal re-ranking that no gallery can be re-ranked with."""
    if not 1 <= k2 <= k1:
        raise UserError(f"re-ranking's k2 is {k2} and its k1 {k1}, but 1 <= k2 <= k1 must hold; correct them.")
    if not 0 <= lambda_value <= 1:
        raise UserError(f"re-ranking's lambda is {lambda_value}, but must lie in 0 to 1; correct it.")
