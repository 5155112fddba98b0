"""SSIM against scikit-image and its formula."""

from __future__ import annotations

import numpy as np
import pytest

from synreid.features.ssim import ssim


def noise(n: int, height: int = 20, width: int = 14, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("data_range", [255, 4095])
def test_ssim_is_scikit_images(data_range: int) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    a, b = noise(2)
    similar = np.clip(a.astype(int) + noise(1, seed=1)[0] // 8, 0, 255).astype(np.uint8)
    for other in (b, similar):
        expected = metrics.structural_similarity(a, other, channel_axis=-1, win_size=7, data_range=data_range)
        assert ssim(a, other, data_range) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_one_window_is_the_formula() -> None:
    a, b = noise(2, 7, 7)
    x, y = a[..., :1].astype(float), b[..., :1].astype(float)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    covariance = np.cov(x.ravel(), y.ravel())
    expected = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
    expected *= (2 * covariance[0, 1] + c2) / (covariance[0, 0] + covariance[1, 1] + c2)
    assert ssim(a[..., :1], b[..., :1]) == pytest.approx(expected)


def test_ssim_of_equals_is_one_and_the_thesis_range_inflates() -> None:
    a, b = noise(2)
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, b) < 0.2
    assert ssim(a, b, 4095) > ssim(a, b) + 0.3
    with pytest.raises(ValueError, match="7x7"):
        ssim(a[:6], b[:6])
