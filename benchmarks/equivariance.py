"""How well StyleGAN3's pictures move and turn with their input: EQ-T, EQ-T_frac and EQ-R, in dB.

    python benchmarks/equivariance.py [GAN ...]

`GAN` is the folder of a finished `gan train` run of StyleGAN3 or a snapshot's file; generators with random weights are
always measured. Karras et al. 2021, "Alias-Free Generative Adversarial Networks", section 2 and appendix E: the mean
squared difference between a picture whose input was moved and a picture that was moved itself, pooled over pictures,
colours and all pixels that both have, as PSNR for pictures that span 2. Moves are drawn anew for each picture: shifts
of up to 1/8 of height and width, whole pixels (EQ-T) or not (EQ-T_frac), and turns of 0 to 360 degrees (EQ-R).

A picture is moved between its pixels by scipy: up-sampled 4 times by a windowed sinc, then by a spline of degree 5.
Where it turns, both pictures are low-passed to a disc first: a turned square spectrum does not fit into a square. The
paper takes a Lanczos window of 3 pixels and the intersection of both squares instead. What this makes of a true move is
measured, too, on sums of waves, which can be moved exactly: with the generator's own spectrum and contrast ("floor"),
and with frequencies drawn evenly from discs ("self_check").

Two more numbers to read the others by: the pictures' contrast, since PSNR rises where there is little to see, and
"unrelated", the same PSNR between pictures of different styles.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage, signal, special

from synreid.generate.generator import Generator
from synreid.generate.network import architecture, load_generator, new_generator
from synreid.generate.options import GanOptions
from synreid.generate.place import generator_place
from synreid.generate.stylegan3 import StyleGAN3
from synreid.stage.errors import UserError
from synreid.stage.files import write_json
from synreid.stage.folder import read_run
from synreid.stage.log import say
from synreid.stage.machine import machine

PICTURES, SEED = 200, 0
FLOOR_PICTURES = 50  # sums of waves
SPAN = 2.0  # of a picture's values
LARGEST_SHIFT = 1 / 8
UP, REACH, DEGREE = 4, 6, 5  # of the interpolation: factor, pixels to each side, of the spline
DISC = 0.42  # cycles per pixel: radius at which the low-pass of EQ-R has fallen to a half
WINDOW = ("kaiser", 6.0)
WAVES = 200
CONTRAST = 0.3  # a photo's standard deviation, for the self-check
RANDOM = (("stylegan3-t", 64, 64), ("stylegan3-r", 64, 64), ("stylegan3-t", 64, 32))
METRICS = ("EQ-T", "EQ-T_frac", "EQ-R")
RESULT = Path(__file__).parent.parent / "results" / "generate" / "equivariance.json"

Picture = Callable[[np.ndarray], np.ndarray]
"""From a move [2, 3], in pixels, to the picture [3, H, W] that it gives."""


def moves(metric: str, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random map [2, 3] from a moved picture's places to the picture's, (x, y) pixels from the centre."""
    if metric == "EQ-R":
        angle = rng.uniform(0, 2 * math.pi)
        c, s = math.cos(angle), math.sin(angle)
        return np.array([[c, -s, 0.0], [s, c, 0.0]])
    shift = rng.uniform(-1, 1, 2) * LARGEST_SHIFT * np.array([width, height])
    return np.column_stack([np.eye(2), -(np.round(shift) if metric == "EQ-T" else shift)])


def source_places(move: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return where each pixel of a moved picture lies in the picture, [2, H, W]: row and column."""
    y, x = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    x, y = (row[0] * x + row[1] * y + row[2] for row in move)
    return np.stack([y + (height - 1) / 2, x + (width - 1) / 2])


def moved(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return `picture` [3, H, W] at `places` [2, H, W], interpolated."""
    taps = signal.firwin(2 * REACH * UP + 1, 1 / UP, window=WINDOW)
    fine = picture.astype(np.float64)
    for axis in (1, 2):
        fine = signal.resample_poly(fine, UP, 1, axis=axis, window=taps)  # type: ignore[call-overload]
    places = places * UP
    return np.stack([ndimage.map_coordinates(one, places, order=DEGREE, mode="nearest") for one in fine])  # type: ignore[call-overload]


def disc_filter() -> np.ndarray:
    """Return a low-pass filter that is the same in every direction, [13, 13], sum 1: a jinc under a round window."""
    radius = np.hypot(*np.meshgrid(*[np.arange(-REACH, REACH + 1)] * 2))
    with np.errstate(invalid="ignore"):
        jinc = np.where(radius == 0, np.pi * DISC, special.j1(2 * np.pi * DISC * radius) / radius)
    window = np.i0(WINDOW[1] * np.sqrt(np.maximum(1 - np.square(radius / (REACH + 0.5)), 0)))
    kernel = np.where(radius <= REACH, jinc * window, 0.0)
    return kernel / kernel.sum()


def low_passed(picture: np.ndarray) -> np.ndarray:
    """Return `picture` [3, H, W] without what lies beyond a disc in its spectrum."""
    return signal.fftconvolve(picture.astype(np.float64), disc_filter()[None], mode="same", axes=(1, 2))


def inside(places: np.ndarray, margin: float, height: int, width: int) -> np.ndarray:
    """Return which `places` [2, H, W] lie at least `margin` pixels within the picture: bool [H, W]."""
    ends = np.array([height, width])[:, None, None] - 1 - margin
    return np.all((places >= margin) & (places <= ends), axis=0)


def squared_error(picture: Picture, still: np.ndarray, metric: str, rng: np.random.Generator) -> tuple[float, int]:
    """Return the sum of squared differences for one random move of `picture`, and how many values it runs over.

    `still` [3, H, W] is the picture unmoved.
    """
    height, width = still.shape[1:]
    move = moves(metric, height, width, rng)
    got, places = picture(move), source_places(move, height, width)
    margin = 0 if metric == "EQ-T" else REACH
    valid = np.ones((height, width), dtype=bool)
    if metric == "EQ-R":
        still, got = low_passed(still), low_passed(got)
        valid &= inside(source_places(np.eye(2, 3), height, width), REACH, height, width)
        margin += REACH
    valid &= inside(places, margin, height, width)
    if metric == "EQ-T":
        rows, columns = np.rint(places).astype(int).clip(0, np.array([height, width])[:, None, None] - 1)
        expected = still[:, rows, columns]
    else:
        expected = moved(still, places)
    return float(np.square(got - expected)[:, valid].sum()), 3 * int(valid.sum())


def decibels(squared: float, count: int) -> float | None:
    """Return the PSNR of a sum of `count` squared differences; None where a picture is too small for any."""
    if count == 0:
        return None
    return round(10 * math.log10(SPAN**2 * count / max(squared, 1e-300)), 2)


def of_generator(generator: StyleGAN3, seed: int) -> Picture:
    """Return what makes the picture of `seed`, moved by its input."""
    z = torch.from_numpy(np.random.default_rng((seed, 0)).standard_normal(generator.w_dim).astype(np.float32))
    with torch.no_grad():
        w = generator.styles(z[None])

    def picture(move: np.ndarray) -> np.ndarray:
        transform = torch.from_numpy(move * np.array([1, 1, 1 / generator.height])).float()
        with torch.no_grad():
            return generator.synthesize(w, transform=transform)[0].numpy()

    return picture


def of_waves(power: np.ndarray, deviation: float, seed: int) -> Picture:
    """Return what makes a sum of random waves, moved exactly; `power` [H, W] is its spectrum."""
    rng = np.random.default_rng((seed, 1))
    height, width = power.shape
    drawn = rng.choice(power.size, (3, WAVES), p=power.ravel() / power.sum())
    # anywhere in the bin, but not beyond what pixels can hold
    rows = (np.fft.fftfreq(height)[drawn // width] + rng.uniform(-0.5, 0.5, drawn.shape) / height).clip(-0.5, 0.5)
    columns = (np.fft.fftfreq(width)[drawn % width] + rng.uniform(-0.5, 0.5, drawn.shape) / width).clip(-0.5, 0.5)
    phases = rng.uniform(0, 2 * math.pi, drawn.shape)

    def picture(move: np.ndarray) -> np.ndarray:
        y, x = source_places(move, height, width)
        waves = rows[..., None, None] * y + columns[..., None, None] * x
        made = np.cos(2 * math.pi * waves + phases[..., None, None]).sum(1)
        return made * deviation * math.sqrt(2 / WAVES)

    return picture


def spectrum(pictures: np.ndarray) -> np.ndarray:
    """Return the mean power [H, W] of pictures [N, 3, H, W] at each frequency, under a Hann window."""
    centred = pictures - pictures.mean((2, 3), keepdims=True)
    window = np.outer(*(signal.windows.hann(side, sym=False) for side in pictures.shape[2:]))
    return np.square(np.abs(np.fft.fft2(centred * window))).mean((0, 1))


def share_beyond_disc(power: np.ndarray) -> float:
    """Return the share of `power` [H, W] that lies beyond the disc to which EQ-R low-passes."""
    rows, columns = (np.fft.fftfreq(side) for side in power.shape)
    beyond = np.hypot(rows[:, None], columns[None]) > DISC
    return float(power[beyond].sum() / power.sum())


def pooled(makers: list[Picture], still: np.ndarray, metric: str, stream: int) -> float | None:
    """Return `metric` in dB over all pictures; `still` [N, 3, H, W] are they unmoved."""
    rngs = [np.random.default_rng((SEED + number, 2, stream)) for number in range(len(makers))]
    errors = [squared_error(a, b, metric, rng) for a, b, rng in zip(makers, still, rngs, strict=True)]
    return decibels(*(sum(part) for part in zip(*errors, strict=True)))


def measure(generator: Generator, metrics: tuple[str, ...]) -> dict[str, Any]:
    """Return `metrics` of a generator in dB, each with the floor of its measurement."""
    assert isinstance(generator, StyleGAN3)
    makers = [of_generator(generator, SEED + number) for number in range(PICTURES)]
    still = np.stack([make(np.eye(2, 3)) for make in makers])
    power, deviation = spectrum(still), float(still.std((2, 3)).mean())
    waves = [of_waves(power, deviation, SEED + number) for number in range(FLOOR_PICTURES)]
    found: dict[str, Any] = {}
    for column, metric in enumerate(metrics):
        found[metric] = pooled(makers, still, metric, column)
        if metric != "EQ-T":  # whole pixels are moved exactly
            found[f"{metric}, floor"] = pooled(waves, np.stack([make(np.eye(2, 3)) for make in waves]), metric, column)
    return {
        **found,
        "unrelated": decibels(float(np.square(still[1:] - still[:-1]).sum()), still[1:].size),
        "contrast": round(deviation, 4),
        "share_of_power_beyond_disc": round(share_beyond_disc(power), 9),
    }


def self_check() -> list[dict[str, Any]]:
    """Return what the measurement makes of true moves of 64x64 waves up to some frequencies, at a photo's contrast."""
    found = []
    for highest in (0.25, 0.35, 0.4, 0.45):
        rows, columns = np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64))
        power = (np.hypot(rows, columns) <= highest).astype(float)
        makers = [of_waves(power, CONTRAST, SEED + number) for number in range(FLOOR_PICTURES)]
        still = np.stack([make(np.eye(2, 3)) for make in makers])
        values = {metric: pooled(makers, still, metric, column) for column, metric in enumerate(METRICS) if column}
        found.append({"cycles_per_pixel_up_to": highest, "contrast": CONTRAST, **values})
    return found


def named(gan: Path) -> tuple[dict[str, Any], StyleGAN3]:
    """Return what a trained generator is (never where it lies), and the generator."""
    place = generator_place(gan)
    generator = load_generator(place)
    if not isinstance(generator, StyleGAN3):
        raise UserError(f"{gan} is not a generator of StyleGAN3, so nothing moves its input; name another one.")
    file = place if place.is_file() else place / "generator.safetensors"
    options, _ = architecture(file)
    kimg = float(place.stem.split("-")[-1]) if place.is_file() else read_run(place, "gan")["kimg"]
    return {**_shape(options), "weights": f"trained for {kimg:g} kimg"}, generator


def _shape(options: dict[str, Any]) -> dict[str, Any]:
    size = f"{options['height']}x{options['width']}"
    return {"cfg": options["cfg"], "size": size, "cmax": options["cmax"], "cbase": options["cbase"]}


def random_generator(cfg: Any, height: int, width: int) -> tuple[dict[str, Any], Generator]:
    """Return what a generator with random weights is, and the generator."""
    options = GanOptions(cfg=cfg, height=height, width=width, cmax=64, cbase=2048)
    torch.manual_seed(SEED)
    return {**_shape(vars(options)), "weights": "random"}, new_generator(options).eval()


def main() -> None:
    """Measure all generators and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gan", nargs="*", type=Path, help="finished gan train runs or snapshots of StyleGAN3")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cases: list[tuple[tuple[dict[str, Any], Generator], tuple[str, ...]]] = []
    for cfg, height, width in RANDOM:
        cases.append((random_generator(cfg, height, width), METRICS if height == width else METRICS[:2]))
    cases += [(named(gan), METRICS) for gan in given.gan]
    values = []
    for (what, generator), metrics in cases:
        values.append({**what, **measure(generator, metrics)})
        say(str(values[-1]))
    write_json(
        RESULT,
        {
            "what": "translation and rotation equivariance of StyleGAN3, dB (PSNR, pictures span 2), with the floor of "
            "the measurement itself, the PSNR of unrelated pictures, and the pictures' contrast",
            "command": "python benchmarks/equivariance.py" + " GAN" * len(given.gan),
            "pictures": {"of a generator": PICTURES, "for a floor": FLOOR_PICTURES},
            "seeds": [SEED, SEED + PICTURES - 1],
            "values": values,
            "self_check": self_check(),
            "paper": "trained on FFHQ-U at 256x256, pictures of much more contrast: EQ-T 63.01 and EQ-R 13.12 for T, "
            "EQ-T 66.65 and EQ-R 40.48 for R",
            "machine": machine(),
        },
    )


if __name__ == "__main__":
    main()
