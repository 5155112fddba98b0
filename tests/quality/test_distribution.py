"""Distances between feature sets against plain loops and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from synreid.quality import distribution


def gauss(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * scale + shift


@pytest.mark.parametrize(("n", "m", "d"), [(80, 60, 7), (12, 15, 20), (9, 40, 20)])
def test_frechet_is_the_formula_with_a_matrix_root(n: int, m: int, d: int) -> None:
    a, b = gauss(n, d, 0), gauss(m, d, 1, 0.5, 1.7)
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(c1)
    shared = np.sqrt(np.clip(np.linalg.eigvals(root @ c2 @ root).real, 0, None)).sum()
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(c1) + np.trace(c2) - 2 * shared
    assert distribution.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rows", [3, 17, 80])
def test_frechet_does_not_depend_on_how_many_rows_are_taken_at_a_time(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = gauss(80, 7, 0), gauss(5, 7, 1, 0.5, 1.7)
    whole = distribution.frechet_distance(a, b)
    monkeypatch.setattr(distribution, "ROWS", rows)
    assert distribution.frechet_distance(a, b) == pytest.approx(whole, rel=1e-9)


def test_frechet_of_float32_features_is_computed_in_float64() -> None:
    a, b = (gauss(60, 9, seed, 100.0, 1e-2).astype(np.float32) for seed in (0, 1))
    assert distribution.frechet_distance(a, b) == distribution.frechet_distance(a.astype(float), b.astype(float))


def test_frechet_of_a_shift_is_its_squared_length() -> None:
    a = gauss(500, 5, 0)
    assert distribution.frechet_distance(a, a + np.array([3.0, 4.0, 0, 0, 0])) == pytest.approx(25.0)
    assert distribution.frechet_distance(a, a) == pytest.approx(0.0, abs=1e-8)


def test_kernel_distance_is_the_double_loop() -> None:
    x, y = gauss(9, 4, 0), gauss(11, 4, 1, 0.3)
    d = x.shape[1]

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / d + 1) ** 3)

    xx = np.mean([kernel(x[i], x[j]) for i in range(9) for j in range(9) if i != j])
    yy = np.mean([kernel(y[i], y[j]) for i in range(11) for j in range(11) if i != j])
    xy = np.mean([kernel(a, b) for a in x for b in y])
    assert distribution.mmd2(x, y) == pytest.approx(xx + yy - 2 * xy)


def test_kernel_distance_is_seeded_and_grows_with_the_shift() -> None:
    a, same, far = gauss(300, 8, 0), gauss(300, 8, 1), gauss(300, 8, 2, 1.0)
    near_mean, near_sd = distribution.kernel_distance(a, same, size=100)
    assert (near_mean, near_sd) == distribution.kernel_distance(a, same, size=100)
    assert abs(near_mean) < 4 * near_sd  # unbiased: around 0 for equal distributions
    assert distribution.kernel_distance(a, far, size=100)[0] > 10 * near_sd


def by_loops(real: np.ndarray, made: np.ndarray, k: int) -> dict[str, float]:
    def radius(x: np.ndarray, i: int) -> float:
        return sorted(float(np.linalg.norm(x[i] - x[j])) for j in range(len(x)) if j != i)[k - 1]

    r, m = [radius(real, i) for i in range(len(real))], [radius(made, i) for i in range(len(made))]
    near = [[float(np.linalg.norm(a - b)) for b in made] for a in real]
    in_real = [[near[i][j] <= r[i] for j in range(len(made))] for i in range(len(real))]
    return {
        "precision": sum(any(in_real[i][j] for i in range(len(real))) for j in range(len(made))) / len(made),
        "recall": sum(any(near[i][j] <= m[j] for j in range(len(made))) for i in range(len(real))) / len(real),
        "density": sum(map(sum, in_real)) / (k * len(made)),
        "coverage": sum(map(any, in_real)) / len(real),
    }


@pytest.mark.parametrize("entries", [200, 2**24])
def test_precision_and_kin_are_the_loops(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "ENTRIES", entries)
    real, made = gauss(31, 3, 0), gauss(23, 3, 1, 0.4, 0.8)
    found = distribution.precision_recall_density_coverage(real, made, k=3)
    assert found == pytest.approx(by_loops(real, made, 3))
    assert 0 < found["coverage"] < 1


def test_precision_and_kin_hold_in_float32_far_from_the_origin() -> None:
    real, made = gauss(400, 64, 0, 50.0), gauss(300, 64, 1, 50.4)
    exact = distribution.precision_recall_density_coverage(real, made)
    found = distribution.precision_recall_density_coverage(real.astype(np.float32), made.astype(np.float32))
    assert found == pytest.approx(exact, abs=2 / 300)
    assert all(0.05 < exact[name] < 0.95 for name in ("precision", "recall", "coverage"))


def test_distances_are_those_of_torch_fidelity() -> None:
    pytest.importorskip("torch_fidelity")
    from torch_fidelity import metric_fid, metric_kid, metric_prc

    real, made = (gauss(n, 24, n, shift).astype(np.float32) for n, shift in ((150, 0.0), (120, 0.2)))
    first, second = torch.from_numpy(made), torch.from_numpy(real)
    statistics = [metric_fid.fid_features_to_statistics(x) for x in (first, second)]
    fid = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert distribution.frechet_distance(real, made) == pytest.approx(fid, rel=1e-3)
    asked = {"kid_subsets": 1, "kid_subset_size": 120, "verbose": False}
    kid = metric_kid.kid_features_to_metric(first, second[:120], **asked)["kernel_inception_distance_mean"]
    assert distribution.mmd2(real[:120], made) == pytest.approx(kid, rel=1e-3)
    prc = metric_prc.prc_features_to_metric(first, second, verbose=False)  # 3 neighbours
    found = distribution.precision_recall_density_coverage(real, made, k=3)
    assert [found[name] for name in ("precision", "recall")] == pytest.approx(
        [prc["precision"], prc["recall"]], rel=1e-3
    )
    assert 0.1 < prc["recall"] < 1


def test_equal_gaussians_give_the_values_of_the_reference_code() -> None:
    # clovaai/generative-evaluation-prdc prints .477 .471 1.056 .974 for 10,000 each (ours: .450 .482 .910 .960 in one
    # draw); fewer give a little more precision and recall
    found = distribution.precision_recall_density_coverage(gauss(1500, 1000, 0), gauss(1500, 1000, 1), k=5)
    assert found["precision"] == pytest.approx(0.477, abs=0.11)
    assert found["recall"] == pytest.approx(0.471, abs=0.11)
    assert found["density"] == pytest.approx(1.056, abs=0.12)
    assert found["coverage"] == pytest.approx(0.974, abs=0.03)


@pytest.mark.parametrize(("real", "made", "k"), [(2, 2, 1), (3, 50, 2), (50, 6, 5)])
def test_small_sets_are_measured_with_fewer_neighbours(real: int, made: int, k: int) -> None:
    found = distribution.measure(gauss(real, 8, 0), gauss(made, 8, 1), "numbers")
    assert found["k"] == k
    assert found["kid_size"] == max(2, min(real, made) // 2)
    assert all(np.isfinite(value) for value in found.values() if isinstance(value, float))


def test_few_looks_are_seen_by_recall_coverage_and_vendi() -> None:
    real = gauss(200, 16, 0)
    repeated = np.repeat(real[:10], 20, axis=0) + gauss(200, 16, 1, scale=1e-3)
    found = distribution.measure(real, repeated, "numbers")
    assert found["coverage"] < 0.5
    assert found["looks"] < 10.5 < found["looks_real"]
    assert (found["features"], found["real"], found["made"]) == ("numbers", 200, 200)


def test_vendi_counts_orthogonal_and_equal() -> None:
    assert distribution.vendi(np.eye(6)) == pytest.approx(6)
    assert distribution.vendi(np.ones((6, 3))) == pytest.approx(1)
    assert distribution.vendi(np.repeat(np.eye(3), 4, axis=0)) == pytest.approx(3)  # more rows than columns


def test_features_that_cannot_be_measured_are_refused() -> None:
    a = gauss(10, 3, 0)
    with pytest.raises(ValueError, match="differ in length"):
        distribution.frechet_distance(a, a[:, :2])
    with pytest.raises(ValueError, match="not finite"):
        distribution.frechet_distance(a, np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match="more than 5"):
        distribution.precision_recall_density_coverage(a, a[:5])


def test_realism_by_plain_loops() -> None:
    rng = np.random.default_rng(5)
    real, made = rng.normal(size=(40, 3)), rng.normal(size=(7, 3)) * 2
    radius = [sorted(np.linalg.norm(real - x, axis=1))[3] for x in real]
    kept = [k for k in range(40) if radius[k] <= sorted(radius)[19]]  # torch's median is the lower of the middle two
    expected = [max(radius[k] / np.linalg.norm(real[k] - x) for k in kept) for x in made]
    reach = distribution.Reach.of(real, 3)
    assert reach.realism(made) == pytest.approx(expected)
    assert reach.realism(made[:1]) == pytest.approx(expected[:1])
