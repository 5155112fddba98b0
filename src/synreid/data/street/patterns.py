"""Colours of cloth as functions of where on the garment: plain, stripes, checks, dots, prints, gradients."""

from __future__ import annotations

import numpy as np

from synreid.data.street.persons import Colour

FRONT, BACK = np.pi / 2, 3 * np.pi / 2


def cloth(
    pattern: str, colour: Colour, second: Colour, scale: float, around: np.ndarray, down: np.ndarray
) -> np.ndarray:
    """Colours [K, N, 3] of a garment at arc lengths `around` [N] and `down` [K], both in metres."""
    first, other = np.asarray(colour), np.asarray(second)
    shape = (len(down), len(around), 1)
    if pattern == "stripes":
        mix = np.broadcast_to((np.mod(down / (0.075 * scale), 1) < 0.42)[:, None, None], shape).astype(float)
    elif pattern == "checks":
        rows = (np.mod(down / (0.085 * scale), 1) < 0.4).astype(float)
        columns = (np.mod(around / (0.085 * scale), 1) < 0.4).astype(float)
        mix = 0.5 * (rows[:, None, None] + columns[None, :, None])
    elif pattern == "dots":
        grid = np.sin(down[:, None] * 60 / scale) * np.sin(around[None, :] * 60 / scale + 2 * down[:, None])
        mix = (grid > 0.45).astype(float)[:, :, None]
    elif pattern == "gradient":
        mix = np.broadcast_to(np.clip(down / max(float(down.max()), 1e-6), 0, 1)[:, None, None] ** 1.5 * 0.8, shape)
    elif pattern == "blocks":
        mix = np.broadcast_to((down < 0.10 * scale + 0.05)[:, None, None], shape).astype(float)
    else:
        mix = np.zeros(shape)
    return first + (other - first) * mix


def from_angle(angle: np.ndarray, centre: float) -> np.ndarray:
    """Signed angle from `centre`, in (-pi, pi]."""
    return np.angle(np.exp(1j * (angle - centre)))
