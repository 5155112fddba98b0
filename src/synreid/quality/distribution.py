"""How close two sets of features are (Fréchet, kernel, precision and kin), and how many looks a set has (Vendi)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg

BLOCK = 2048


def frechet_distance(real: np.ndarray, made: np.ndarray) -> float:
    """Squared Fréchet distance between Gaussians fitted to two feature sets `[N, D]` and `[M, D]`; 0 or more.

    Heusel et al. 2017, "GANs trained by a two time-scale update rule", eq. 6. It is called FID only on the features
    of one particular Inception network; on others it carries their name (`FD-<embedder>`). It is biased: with fewer
    pictures it comes out larger, so compare only values from equally many.

    tr sqrt(C1 C2) is taken as the sum of the singular values of A B^T where C1 = A^T A and C2 = B^T B and A, B are
    the centred features themselves: no matrix square root, no covariance, no imaginary part, and exact where a
    covariance is singular (fewer pictures than dimensions).
    """
    real, made = _checked(real, made)
    a = (real - real.mean(0)) / np.sqrt(len(real) - 1)
    b = (made - made.mean(0)) / np.sqrt(len(made) - 1)
    shift = real.mean(0) - made.mean(0)
    spread = np.sum(a * a) + np.sum(b * b)
    shared = np.linalg.svd(_root(a) @ _root(b).T, compute_uv=False).sum()
    return float(max(shift @ shift + spread - 2.0 * shared, 0.0))


def kernel_distance(
    real: np.ndarray, made: np.ndarray, subsets: int = 20, size: int = 500, seed: int = 0
) -> tuple[float, float]:
    """Kernel distance (KID): mean and standard deviation over seeded subsets; the mean may be slightly negative.

    The unbiased estimate of the squared MMD with the kernel (x.y / D + 1)^3; Binkowski et al. 2018, "Demystifying
    MMD GANs", section 4. Unbiased, so that small sets can be compared. Subsets hold `size` pictures of each set
    drawn without replacement, but at most half of the smaller set, or they would hardly differ.
    """
    real, made = _checked(real, made)
    size = max(2, min(size, len(real) // 2, len(made) // 2))
    rng = np.random.default_rng(seed)
    values = [
        _mmd2(real[rng.choice(len(real), size, replace=False)], made[rng.choice(len(made), size, replace=False)])
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values, ddof=1)) if subsets > 1 else 0.0


def precision_recall_density_coverage(real: np.ndarray, made: np.ndarray, k: int = 5) -> dict[str, float]:
    """Shares of made pictures that look real (precision) and of real ones that are reached (recall), and kin.

    `precision`, `recall`: Kynkäänniemi et al. 2019, "Improved precision and recall metric", eq. 2: inside at least
    one ball around a picture of the other set that reaches to its k-th neighbour. `density`, `coverage`: Naeem et
    al. 2020, "Reliable fidelity and diversity metrics", eq. 3 and 4: balls around real pictures only, so one made
    outlier does not inflate them. All in [0, 1] but density, which can exceed 1.

    They depend on how many pictures there are and on k. Even two samples of one 1000-dimensional Gaussian, 10,000
    each, give about .48, .47, 1.06, .97 at k = 5 (clovaai/generative-evaluation-prdc), not 1: read them beside a
    value for real against real.
    """
    real, made = _checked(real, made)
    if k >= min(len(real), len(made)):
        raise ValueError(f"k={k} neighbours need more than {k} pictures in each set, not {len(real)} and {len(made)}")
    real_radius = _kth_neighbour(real, k)
    made_radius = _kth_neighbour(made, k)
    hits = np.zeros(len(made))  # real balls that hold each made picture
    reached = np.zeros(len(real), dtype=bool)  # real pictures inside some made ball
    covered = np.zeros(len(real), dtype=bool)  # real balls that hold some made picture
    for start, squared in _squared_blocks(real, made):
        rows = slice(start, start + len(squared))
        inside = squared <= real_radius[rows, None]
        hits += inside.sum(0)
        covered[rows] = inside.any(1)
        reached[rows] = (squared <= made_radius[None, :]).any(1)
    return {
        "precision": float((hits > 0).mean()),
        "recall": float(reached.mean()),
        "density": float(hits.mean() / k),
        "coverage": float(covered.mean()),
    }


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

    `frechet` is the Fréchet distance on those features: print it as `FD-<features>`. `looks` is the Vendi score of
    made pictures and `looks_real` that of as many real ones (both centred by the real mean, at most `look_sample`
    pictures, seeded), so the one is to be read against the other.
    """
    kid, kid_sd = kernel_distance(real, made, seed=seed)
    n = min(len(real), len(made), look_sample)
    rng = np.random.default_rng(seed)
    centre = np.asarray(real, dtype=np.float64).mean(0)
    looks, looks_real = (vendi(x[rng.choice(len(x), n, replace=False)] - centre) for x in (made, real))
    return {
        "frechet": frechet_distance(real, made),
        "kid": kid,
        "kid_sd": kid_sd,
        **precision_recall_density_coverage(real, made, k),
        "looks": looks,
        "looks_real": looks_real,
        "k": k,
        "features": features,
        "real": len(real),
        "made": len(made),
    }


def _checked(real: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    real = np.asarray(real, dtype=np.float64)
    made = np.asarray(made, dtype=np.float64)
    for name, x in (("real", real), ("made", made)):
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"{name} features must be [N, D] with N of 2 or more, not {x.shape}")
        if not np.isfinite(x).all():
            raise ValueError(f"{name} features hold values that are not finite")
    if real.shape[1] != made.shape[1]:
        raise ValueError(f"real and made features differ in length: {real.shape[1]} and {made.shape[1]}")
    return real, made


def _root(centred: np.ndarray) -> np.ndarray:
    """A matrix R with R^T R = X^T X and at most D rows, so that the later product is small."""
    return centred if len(centred) <= centred.shape[1] else scipy.linalg.qr(centred, mode="r")[0][: centred.shape[1]]


def _mmd2(x: np.ndarray, y: np.ndarray) -> float:
    d = x.shape[1]
    n, m = len(x), len(y)
    xx, yy, xy = ((a @ b.T / d + 1.0) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2.0 * xy.mean())


def _squared_blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Squared Euclidean distances `[block, M]` of a's rows to all of b's, with the first row of each block."""
    b_norm = np.sum(b * b, axis=1)
    for start in range(0, len(a), BLOCK):
        part = a[start : start + BLOCK]
        squared = np.sum(part * part, axis=1)[:, None] + b_norm[None, :] - 2.0 * (part @ b.T)
        yield start, np.maximum(squared, 0.0)


def _kth_neighbour(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each row to its k-th nearest other row."""
    radius = np.empty(len(x))
    for start, squared in _squared_blocks(x, x):
        rows = np.arange(len(squared))
        squared[rows, start + rows] = -1.0  # itself comes first, whatever rounding says
        radius[start : start + len(squared)] = np.partition(squared, k, axis=1)[:, k]
    return radius
