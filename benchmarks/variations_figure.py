"""Draws the README's second picture: drawn persons, inverted, varied in each way, and variations that were discarded.

    python benchmarks/variations_figure.py STUDY [--out FILE]

`STUDY` is the folder of a finished `synreid study street-variations`. Each row is one person: a drawn picture, what the
generator shows for its styles, then a kept variation of each way of that person, and two discarded ones.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from synreid.data.pixels import pixels
from synreid.data.sheets import BLUE, sheet, write_picture
from synreid.data.table import TABLE, column, read_table, rows
from synreid.select.run import read_selection

WAYS = ("between", "camera", "transfer", "sefa", "pca")
PERSONS, DISCARDED, SCALE = 5, 2, 2
OUT = Path(__file__).parent.parent / "docs" / "variations.png"


def main() -> None:
    """Pick persons of whom there is everything, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of a finished study of street-variations")
    parser.add_argument("--out", type=Path, default=OUT, help="where the picture goes")
    given = parser.parse_args()
    varied = read_table(given.study / "variations" / TABLE)
    inverted = read_table(given.study / "inversions" / TABLE)
    latents = read_table(given.study / "latents" / TABLE)
    selection = read_selection(given.study / "select-variations")
    kept = dict(zip(column(selection, "path"), column(selection, "kept"), strict=True))
    reason = dict(zip(column(selection, "path"), column(selection, "reason"), strict=True))
    ways = np.array([json.loads(text)["operation"] for text in column(varied, "maker")])
    is_kept = np.array([kept[path] for path in column(varied, "path")])
    height, width = (pixels(rows(varied, [0]), 64, 32)).shape[1:3]
    cells: list[np.ndarray] = []
    captions: list[str] = []
    for pid in sorted(set(column(varied, "pid"))):
        own = column(varied, "pid") == pid
        good = [np.flatnonzero(own & is_kept & (ways == way)) for way in WAYS]
        bad = np.flatnonzero(own & ~is_kept)
        if len(cells) == PERSONS * (2 + len(WAYS) + DISCARDED) or len(bad) < DISCARDED or not all(map(len, good)):
            continue
        first = int(np.flatnonzero(column(inverted, "pid") == pid)[0])
        parent = column(inverted, "parents")[first][0]["sha256"]
        drawn = int(np.flatnonzero(column(latents, "sha256") == parent)[0])
        chosen = [*(int(found[0]) for found in good), *map(int, bad[:DISCARDED])]
        cells += [pixels(rows(latents, [drawn]), height, width)[0], pixels(rows(inverted, [first]), height, width)[0]]
        cells += list(pixels(rows(varied, chosen), height, width))
        captions += ["drawn", "inverted", *WAYS, *(f"no: {reason[column(varied, 'path')[row]]}" for row in chosen[-2:])]
    columns = 2 + len(WAYS) + DISCARDED
    frames = [BLUE if k % columns == 0 else None for k in range(len(cells))]
    write_picture(given.out, sheet(np.stack(cells), columns, captions=captions, frames=frames, scale=SCALE))


if __name__ == "__main__":
    main()
