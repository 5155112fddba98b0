"""How much of the real pictures' detail made pictures hold: power in bands of spatial frequency, against real pictures.

    python benchmarks/spectra.py NAME=LATENTS --gan GAN [--varied FOLDER ...]

`LATENTS` is the folder of a finished `encoder invert` with the generator `GAN`; each `FOLDER` holds variations of them
(`persons vary`). Beside these, inverted pictures and random ones of the generator are measured. The numbers alone go
to `results/invert/spectra-NAME.json`.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch

from synreid.data.pixels import pixels
from synreid.data.table import TABLE, read_table, rows, spread
from synreid.generate.network import load_generator
from synreid.generate.place import generator_fingerprint
from synreid.invert.latents import load_latents, show
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

RESULTS = Path(__file__).parent.parent / "results" / "invert"
PICTURES, SEED = 400, 0
EDGES = (0.0, 1 / 16, 1 / 8, 1 / 4, 1.0)  # cycles per pixel


def bands(pictures: np.ndarray) -> np.ndarray:
    """Return the mean power of pictures, uint8 [N, H, W, 3], grey and under a Hann window, in each band."""
    grey = pictures.astype(np.float64).mean(axis=3)
    height, width = grey.shape[1:]
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.fft2((grey - grey.mean(axis=(1, 2), keepdims=True)) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    inside = [(frequency >= low) & (frequency < high) for low, high in itertools.pairwise(EDGES)]
    return np.array([power[:, band].mean() for band in inside])


def main() -> None:
    """Measure each kind of pictures against the real ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("latents", metavar="NAME=LATENTS")
    parser.add_argument("--gan", type=Path, required=True)
    parser.add_argument("--varied", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    name, _, place = given.latents.partition("=")
    generator, latents = load_generator(given.gan), load_latents(Path(place), given.gan)
    height, width = generator.height, generator.width
    picked = spread(len(latents.table), PICTURES)
    noise = torch.randn(PICTURES, generator.w_dim, generator=torch.Generator().manual_seed(SEED))
    kinds = {"inverted": show(generator, latents.w[picked]), "random": show(generator, generator.styles(noise))}
    for folder in given.varied:
        table = read_table(folder / TABLE)
        kinds[folder.name] = pixels(rows(table, spread(len(table), PICTURES)), height, width)
    real = bands(pixels(rows(latents.table, picked), height, width))
    shares = {kind: (bands(pictures) / real).round(3).tolist() for kind, pictures in kinds.items()}
    result = {
        "what": "power in bands of spatial frequency, of grey levels, as a share of the real pictures'",
        "command": f"python benchmarks/spectra.py {name}=LATENTS --gan GAN --varied FOLDER",
        "generator": generator_fingerprint(given.gan),
        "pictures": PICTURES,
        "seed": SEED,
        "size": [height, width],
        "edges_cycles_per_pixel": list(EDGES),
        "share": shares,
        "machine": machine(),
    }
    write_json(RESULTS / f"spectra-{name}.json", result)
    for kind, values in shares.items():
        say(f"{kind}: {values}")


if __name__ == "__main__":
    main()
