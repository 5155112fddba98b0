"""Low-pass filters and resampling for StyleGAN3, as products with banded matrices.

Up-sampling by zeros and a filter, and filtering and down-sampling, are linear along each axis: a matrix for the rows
and one for the columns do what a compiled kernel does elsewhere. Karras et al. 2021, "Alias-Free Generative Adversarial
Networks", appendix C.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal, special


@dataclass(frozen=True)
class LowPass:
    """A Kaiser-windowed low-pass filter of `taps` taps at sampling rate `rate`."""

    taps: int
    cutoff: float
    """Frequency at which it has fallen to a half, cycles per unit."""
    half_width: float
    """Half of the transition band, cycles per unit."""
    rate: float
    """Samples per unit."""

    def separable(self) -> np.ndarray:
        """Return taps [taps], float64, sum 1: a sinc (equation 6) under a Kaiser window."""
        kernel = 2 * self.cutoff * np.sinc(2 * self.cutoff * self._places()) * self._window()
        return kernel / kernel.sum()

    def radial(self) -> np.ndarray:
        """Return taps [taps, taps], float64, sum 1: a jinc, the same in every direction, under a square window."""
        radius = np.hypot(*np.meshgrid(self._places(), self._places()))
        with np.errstate(invalid="ignore"):
            kernel = self.cutoff * special.j1(2 * np.pi * self.cutoff * radius) / radius
        kernel = np.where(radius == 0, np.pi * self.cutoff**2, kernel)
        kernel = kernel * np.outer(self._window(), self._window())
        return kernel / kernel.sum()

    def _places(self) -> np.ndarray:
        return (np.arange(self.taps) - (self.taps - 1) / 2) / self.rate

    def _window(self) -> np.ndarray:
        attenuation = signal.kaiser_atten(self.taps, 2 * self.half_width / (self.rate / 2))
        return np.asarray(np.kaiser(self.taps, signal.kaiser_beta(attenuation)))


def up_matrix(kernel: np.ndarray, factor: int, inputs: int, outputs: int) -> np.ndarray:
    """Return [outputs, inputs]: zeros between samples, then the filter, times `factor` to keep the signal's level.

    Both grids lie around the same centre; beyond the input's ends the signal is zero.
    Raises ValueError where the filter's taps would fall between the output's samples.
    """
    return factor * _banded(kernel, factor, outputs, inputs)


def down_matrix(kernel: np.ndarray, factor: int, inputs: int, outputs: int) -> np.ndarray:
    """Return [outputs, inputs]: the filter, then every `factor`-th sample, both grids around the same centre."""
    return _banded(kernel, factor, inputs, outputs).T


def separable_parts(kernel: np.ndarray, tolerance: float = 3e-4) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs (rows, columns) of taps whose outer products sum to `kernel` [taps, taps].

    As few as bring the error below `tolerance`, relative, in the Frobenius norm.
    """
    left, sizes, right = np.linalg.svd(kernel)
    errors = np.sqrt(np.cumsum(sizes[::-1] ** 2))[::-1] / np.linalg.norm(kernel)  # of keeping 0, 1, 2 ... parts
    count = int((errors > tolerance).sum())
    return [(left[:, i] * np.sqrt(sizes[i]), right[i] * np.sqrt(sizes[i])) for i in range(count)]


def _banded(kernel: np.ndarray, factor: int, fine: int, coarse: int) -> np.ndarray:
    """Return [fine, coarse] whose entry is the tap at the distance between the two samples."""
    twice = 2 * np.arange(fine)[:, None] - (fine - 1) - factor * (2 * np.arange(coarse)[None] - (coarse - 1))
    twice += len(kernel) - 1  # twice the number of the tap
    if (twice % 2).any():
        raise ValueError(f"{fine} and {coarse} samples around one centre do not meet {len(kernel)} taps")
    place = twice // 2
    inside = (place >= 0) & (place < len(kernel))
    return np.where(inside, kernel[np.clip(place, 0, len(kernel) - 1)], 0.0)
