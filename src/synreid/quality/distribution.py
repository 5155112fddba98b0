"""How close two sets of features are (Fréchet, kernel, precision and kin), and how many looks a set has (Vendi)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ROWS = 8192  # of features at a time
ENTRIES = 2**24  # distances at a time


def frechet_distance(real: np.ndarray, made: np.ndarray) -> float:
    """Squared Fréchet distance between Gaussians fitted to two feature sets `[N, D]` and `[M, D]`; 0 or more.

    Heusel et al. 2017, "GANs trained by a two time-scale update rule", eq. 6. It is called FID only on the features
    of one particular Inception network; on others it carries their name (`FD-<embedder>`). It is biased: with fewer
    pictures it comes out larger, so compare only values from equally many.

    tr sqrt(C1 C2) is taken as the sum of the singular values of A B^T where C1 = A^T A and C2 = B^T B: no matrix square
    root, no covariance, no imaginary part, and exact where a covariance is singular (fewer pictures than dimensions).
    """
    _check(real, made)
    mean_real, a = _mean_and_root(real)
    mean_made, b = _mean_and_root(made)
    shift = (mean_real - mean_made).square().sum()
    spread = a.square().sum() + b.square().sum()
    shared = torch.linalg.svdvals(a @ b.T).sum()
    return max(float(shift + spread - 2.0 * shared), 0.0)


def kernel_distance(
    real: np.ndarray, made: np.ndarray, subsets: int = 100, size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Kernel distance (KID): mean and standard deviation over seeded subsets; the mean may be slightly negative.

    The unbiased estimate of the squared MMD with the kernel (x.y / D + 1)^3; Binkowski et al. 2018, "Demystifying
    MMD GANs", section 4. Unbiased, so that small sets can be compared. Subsets hold `size` pictures of each set
    drawn without replacement, but at most half of the smaller set, or they would hardly differ.
    """
    _check(real, made)
    size = subset_size(len(real), len(made), size)
    rng = np.random.default_rng(seed)
    values = [
        mmd2(real[rng.choice(len(real), size, replace=False)], made[rng.choice(len(made), size, replace=False)])
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values, ddof=1)) if subsets > 1 else 0.0


def subset_size(real: int, made: int, size: int = 1000) -> int:
    """How many pictures of each set a subset of `kernel_distance` holds."""
    return max(2, min(size, real // 2, made // 2))


def mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared MMD between `[N, D]` and `[M, D]`, as `kernel_distance` takes it on each subset.

    The kernel's values are computed in the features' own precision and added up in float64.
    """
    d, n, m = x.shape[1], len(x), len(y)
    xx, yy, xy = (_product(p, q).div_(d).add_(1.0).pow_(3) for p, q in ((x, x), (y, y), (x, y)))
    total_xx, total_yy, total_xy = (kernel.sum(dtype=torch.float64) for kernel in (xx, yy, xy))
    own_x, own_y = (kernel.diagonal().sum(dtype=torch.float64) for kernel in (xx, yy))
    return float((total_xx - own_x) / (n * (n - 1)) + (total_yy - own_y) / (m * (m - 1)) - 2.0 * total_xy / (n * m))


def precision_recall_density_coverage(real: np.ndarray, made: np.ndarray, k: int = 5) -> dict[str, float]:
    """Shares of made pictures that look real (precision) and of real ones that are reached (recall), and kin.

    `precision`, `recall`: Kynkäänniemi et al. 2019, "Improved precision and recall metric", eq. 2: inside at least
    one ball around a picture of the other set that reaches to its k-th neighbour. `density`, `coverage`: Naeem et
    al. 2020, "Reliable fidelity and diversity metrics", eq. 3 and 4: balls around real pictures only, so one made
    outlier does not inflate them. All in [0, 1] but density, which can exceed 1.

    They depend on how many pictures there are and on k. Even two samples of one 1000-dimensional Gaussian, 10,000
    each, give about .48, .47, 1.06, .97 at k = 5 (clovaai/generative-evaluation-prdc), not 1: read them beside a
    value for real against real. Distances are taken in the features' own precision.
    """
    _check(real, made)
    if k >= min(len(real), len(made)):
        raise ValueError(f"k={k} neighbours need more than {k} pictures in each set, not {len(real)} and {len(made)}")
    centre = real.mean(0, dtype=np.float64)  # small numbers lose less in a product
    a, b = (_shifted(x, centre, x.dtype) for x in (real, made))
    real_radius, made_radius = _kth_neighbour(a, k), _kth_neighbour(b, k)
    hits = torch.zeros(len(b), dtype=torch.int64)  # real balls that hold each made picture
    reached = torch.zeros(len(a), dtype=torch.bool)  # real pictures inside some made ball
    covered = torch.zeros(len(a), dtype=torch.bool)  # real balls that hold some made picture
    for start, squared in _squared_blocks(a, b):
        rows = slice(start, start + len(squared))
        inside = squared <= real_radius[rows, None]
        hits += inside.sum(0)
        covered[rows] = inside.any(1)
        reached[rows] = (squared <= made_radius).any(1)
    return {
        "precision": float((hits > 0).double().mean()),
        "recall": float(reached.double().mean()),
        "density": float(hits.double().mean() / k),
        "coverage": float(covered.double().mean()),
    }


@dataclass(frozen=True)
class Reach:
    """Real pictures in a feature space, and how far each of them reaches: to its k-th neighbour."""

    centre: np.ndarray
    features: np.ndarray
    squared: Tensor

    @classmethod
    def of(cls, real: np.ndarray, k: int = 3) -> Reach:
        """Return the reach of features `[N, D]`, N above k; those that reach farther than the median are left out."""
        _check(real, real)
        if k >= len(real):
            raise ValueError(f"k={k} neighbours need more than {k} real pictures, not {len(real)}")
        centre = real.mean(0, dtype=np.float64)
        features = _shifted(real, centre, real.dtype)
        squared = _kth_neighbour(features, k)
        chosen = squared <= squared.median()
        return cls(centre, features[chosen.numpy()], squared[chosen])

    def realism(self, made: np.ndarray) -> np.ndarray:
        """How well each made picture, of features `[M, D]`, fits among the real ones: float64 `[M]`, 0 or more.

        Kynkäänniemi et al. 2019, "Improved precision and recall metric", eq. 3: the largest, over the real pictures,
        of the distance to their own k-th neighbour over the distance to the made one. 1 or more is within reach of a
        real picture.
        """
        best = torch.zeros(len(made), dtype=torch.float64)
        for start, squared in _squared_blocks(_shifted(made, self.centre, made.dtype), self.features):
            best[start : start + len(squared)] = (self.squared / squared.clamp_(min=1e-12)).max(1).values
        return best.sqrt().numpy()


def vendi(features: np.ndarray) -> float:
    """The effective number of different looks among `[N, D]` features, from 1 (all alike) to N (all orthogonal).

    The Vendi score (Friedman and Dieng 2023): the exponential of the entropy of the eigenvalues of K / N, K the
    cosine similarities. It grows with N, so compare sets of equal size. Pictures of people all look much alike to
    most networks, so centre the features (`measure` does, by the real mean) or every set counts as a few looks.
    """
    unit = np.asarray(features, dtype=np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    gram = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit  # the same non-zero eigenvalues
    eigenvalues = np.clip(np.linalg.eigvalsh(gram / len(unit)), 0.0, None)
    eigenvalues = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-(eigenvalues * np.log(eigenvalues)).sum()))


def measure(
    real: np.ndarray, made: np.ndarray, features: str, k: int = 5, seed: int = 0, look_sample: int = 1000
) -> dict[str, float | int | str]:
    """All of the above for real `[N, D]` and made `[M, D]` features of the embedder named `features`.

    `frechet` is the Fréchet distance on those features: print it as `frechet_name(features)`. `looks` is the Vendi
    score of made pictures and `looks_real` that of as many real ones (both centred by the real mean, at most
    `look_sample` pictures, seeded), so the one is to be read against the other. Sets of `k` pictures or fewer have a
    smaller `k`.
    """
    k = max(1, min(k, len(real) - 1, len(made) - 1))
    kid, kid_sd = kernel_distance(real, made, seed=seed)
    n = min(len(real), len(made), look_sample)
    rng = np.random.default_rng(seed)
    centre = np.asarray(real, dtype=np.float64).mean(0)
    looks, looks_real = (vendi(x[rng.choice(len(x), n, replace=False)] - centre) for x in (made, real))
    return {
        "frechet": frechet_distance(real, made),
        "kid": kid,
        "kid_sd": kid_sd,
        "kid_size": subset_size(len(real), len(made)),
        **precision_recall_density_coverage(real, made, k),
        "looks": looks,
        "looks_real": looks_real,
        "k": k,
        "features": features,
        "real": len(real),
        "made": len(made),
    }


def _check(real: np.ndarray, made: np.ndarray) -> None:
    for name, x in (("real", real), ("made", made)):
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"{name} features must be [N, D] with N of 2 or more, not {x.shape}")
        if not np.isfinite(x).all():
            raise ValueError(f"{name} features hold values that are not finite")
    if real.shape[1] != made.shape[1]:
        raise ValueError(f"real and made features differ in length: {real.shape[1]} and {made.shape[1]}")


def _mean_and_root(x: np.ndarray) -> tuple[Tensor, Tensor]:
    """The mean `[D]` and a matrix R `[min(N, D), D]` with R^T R the covariance, both float64.

    R is what a QR decomposition of the centred features leaves, taken block by block (a tall and thin one can be):
    float64 copies of all features never lie in memory.
    """
    mean = x.mean(0, dtype=np.float64)
    root = torch.zeros((0, x.shape[1]), dtype=torch.float64)
    for start in range(0, len(x), ROWS):
        root = torch.cat([root, torch.from_numpy(_shifted(x[start : start + ROWS], mean, np.float64))])
        if len(root) > x.shape[1]:
            root = torch.linalg.qr(root, mode="r").R
    return torch.from_numpy(mean), root / (len(x) - 1) ** 0.5


def _shifted(x: np.ndarray, centre: np.ndarray, kind: type | np.dtype) -> np.ndarray:
    """`x - centre`, subtracted in float64 and rounded to `kind`."""
    out = np.empty(x.shape, dtype=kind)
    return np.subtract(x, centre, out=out, casting="same_kind")


def _product(a: np.ndarray, b: np.ndarray) -> Tensor:
    """`a @ b.T`: NumPy's is twice as quick in float32 as PyTorch's on AMD, and knows that `a @ a.T` is symmetric."""
    return torch.from_numpy(a @ b.T)


def _squared_blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[int, Tensor]]:
    """Squared Euclidean distances `[block, M]` of a's rows to all of b's, with the first row of each block."""
    a_norm, b_norm = (torch.from_numpy(np.einsum("nd,nd->n", x, x)) for x in (a, b))
    step = max(1, ENTRIES // len(b))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        yield start, _product(a[rows], b).mul_(-2.0).add_(b_norm).add_(a_norm[rows, None]).clamp_(min=0.0)


def _kth_neighbour(x: np.ndarray, k: int) -> Tensor:
    """Squared distance of each row to its k-th nearest other row."""
    radius = []
    for start, squared in _squared_blocks(x, x):
        rows = torch.arange(len(squared))
        squared[rows, start + rows] = -1.0  # itself comes first, whatever rounding says
        radius.append(squared.topk(k + 1, dim=1, largest=False).values[:, k])
    return torch.cat(radius)
