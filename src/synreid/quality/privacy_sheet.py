"""The made pictures closest to training pictures, each beside those: what a privacy audit's numbers look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from synreid.data.sheets import RED, beside, sheet, shown_scale, titled
from synreid.quality.privacy import Distances

PAIRS = 16


def closest(spaces: Mapping[str, Distances]) -> np.ndarray:
    """Return the made pictures' numbers [M], the one that is most surely a copy first.

    They go by the number of spaces in which they are near, then by their mean distance in units of the held-out
    pictures' median.
    """
    near = np.sum([found.near for found in spaces.values()], axis=0)
    scaled = [found.made / max(float(np.median(found.held_out)), 1e-12) for found in spaces.values()]
    return np.lexsort((np.mean(scaled, axis=0), -near))


def privacy_sheet(
    training: np.ndarray,
    made: np.ndarray,
    names: Sequence[str],
    spaces: Mapping[str, Distances],
    flagged: np.ndarray,
    pairs: int = PAIRS,
) -> np.ndarray:
    """Return the `pairs` closest made pictures as a page, uint8 [H, W, 3]: nearest pictures beside each, two columns.

    `training` and `made` are uint8 [N, H, W, 3] and [M, H, W, 3], `names` [M] stand under the made pictures,
    `flagged` [M] says which are. Below a
    training picture stands its distance over the threshold of its space: up to 1 it is near. A flagged picture has a
    red frame; what is near as a mirror image is shown mirrored.
    """
    shown = closest(spaces)[:pairs]
    halves = [_rows(training, made, names, spaces, flagged, half) for half in np.array_split(shown, 2) if len(half)]
    title = f"The {len(shown)} closest of {len(made):,} made pictures, each beside its nearest of {len(training):,}"
    title += " training pictures.\nBelow those stands the distance: "
    title += "1 is how near the nearest 1 % of unseen real pictures come."
    return titled(beside(*halves) if len(halves) == 2 else halves[0], title)


def _rows(
    training: np.ndarray,
    made: np.ndarray,
    names: Sequence[str],
    spaces: Mapping[str, Distances],
    flagged: np.ndarray,
    shown: np.ndarray,
) -> np.ndarray:
    """Return the made pictures `shown`, a row each, beside their nearest training pictures, as a page."""
    cells, captions, frames = [], [], []
    for row in shown.tolist():
        cells.append(np.asarray(made[row]))
        captions.append(f"{names[row]}\n{'flagged' if flagged[row] else ''}")
        frames.append(RED if flagged[row] else None)
        for found in spaces.values():
            picture = np.asarray(training[found.index[row]])
            cells.append(picture[:, ::-1] if found.mirrored[row] else picture)
            ratio = f"{found.made[row] / found.threshold:.2f}" if found.threshold else f"{found.made[row]:.3g}"
            captions.append(f"{ratio}\n{'mirrored' if found.mirrored[row] else ''}")
            frames.append(None)
    heads = ["made", *(f"nearest by\n{name}" for name in spaces)]
    return sheet(cells, len(heads), captions, frames, shown_scale(made.shape[1]), heads)
