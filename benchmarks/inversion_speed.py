"""How fast an encoder is trained and inverts, against its networks fed one fixed batch; what batches save in refining.

Usage: python benchmarks/inversion_speed.py [--rounds 5] [--steps 6] [--out FILE]

The generator is the shipped one (64x32), pictures are of the embedded set, losses are the defaults (L2 and the
perceptual distance). What is between a loop and its networks is the loop's own doing: order, mirroring, features of the
real pictures, metrics.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synreid.data.pixels import pixels
from synreid.data.scan import open_data
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.data.table import pick
from synreid.generate.network import load_generator
from synreid.generate.place import generator_place
from synreid.invert.encoder import new_encoder
from synreid.invert.latents import Inversion
from synreid.invert.options import EncoderOptions, RefineOptions
from synreid.invert.train import _Training, hold_out
from synreid.stage.device import autocast
from synreid.stage.files import write_json
from synreid.stage.folder import StageFolder
from synreid.stage.log import say
from synreid.stage.machine import machine

PICTURES = 256  # inverted in a turn
REFINED = 16  # pictures refined in a turn
TO_REACH = {"training": 0.85, "inversion": 0.85, "refinement": 3.0}


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def training_turn(training: _Training, steps: int) -> tuple[float, float]:
    """Return seconds of `steps` steps of the loop, and of as many with one fixed batch."""

    def loop() -> None:
        for _ in range(steps):
            training._gradients()
            training.state.optimiser.step()
            training.state.step += 1

    encoder, options, losses = training.state.encoder, training.options, training.losses
    real = training._batches()[0]
    with autocast(training.device, options.precision):
        target = losses.target(real)
        start = encoder.start(training.generator, len(real))

    def fixed() -> None:
        for _ in range(steps):
            training.state.optimiser.zero_grad(set_to_none=True)
            w, made = start
            for _ in range(options.passes):
                with autocast(training.device, options.precision):
                    w, made = encoder.improve(training.generator, real, w, made)
                    loss = losses.total(losses(w, made, target)).mean()
                loss.backward()
            training.state.optimiser.step()

    return seconds(loop), seconds(fixed)


def inversion_turn(inversion: Inversion, pictures: np.ndarray) -> tuple[float, float]:
    """Return seconds of inverting `pictures`, and of as many forwards of encoder and generator alone."""
    batch, encoder, generator = inversion.options.batch, inversion.encoder, inversion.generator
    real = inversion._values(pictures[:batch])

    @torch.no_grad()
    def fixed() -> None:
        with autocast(inversion.device, inversion.options.precision):
            w, made = encoder.start(generator, batch)
            for _ in range(len(pictures) // batch):
                for _ in range(encoder.options.passes):
                    encoder.improve(generator, real, w, made)

    return seconds(lambda: inversion.encode(pictures)), seconds(fixed)


def refinement_turn(alone: Inversion, together: Inversion, pictures: np.ndarray) -> tuple[float, float]:
    """Return seconds of refining `pictures` one by one, and all at a time."""
    w = together.encode(pictures)
    return seconds(lambda: alone.refine(pictures, w)), seconds(lambda: together.refine(pictures, w))


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often the two take turns")
    parser.add_argument("--steps", type=int, default=6, help="steps of training and of refinement in a turn")
    parser.add_argument("--out", type=Path, default=Path("results/speed/inversion.json"), help="where the result goes")
    given = parser.parse_args()
    options = EncoderOptions()
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in TO_REACH}
    with tempfile.TemporaryDirectory() as place:
        draw_street(Path(place) / "street", StreetOptions(persons=30, test_persons=2, pictures=12))
        train = pick(open_data(Path(place) / "street"), split="train")
        generator = load_generator(generator_place(Path("street")))
        learning, held = hold_out(train, options.seed)
        with StageFolder(Path(place) / "encoder", "benchmark", 1, {}, {}) as folder:
            training = _Training(learning, held, generator, folder, options, None)
        refine = RefineOptions(steps=given.steps)
        encoder = new_encoder(generator, options).eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        together = Inversion(generator, encoder, refine)
        alone = Inversion(generator, encoder, dataclasses.replace(refine, batch=1))
        pictures = np.asarray(pixels(train, generator.height, generator.width)[:PICTURES])
        for turn in range(given.rounds + 1):
            found = {
                "training": training_turn(training, given.steps),
                "inversion": inversion_turn(together, pictures),
                "refinement": refinement_turn(alone, together, pictures[:REFINED]),
            }
            for name, pair in found.items() if turn else ():  # the first warms up
                turns[name].append(pair)
    write_json(given.out, _result(given, turns, len(pictures), options))
    say(f"wrote {given.out}")


def _result(
    given: argparse.Namespace, turns: dict[str, list[tuple[float, float]]], inverted: int, options: EncoderOptions
) -> dict[str, Any]:
    ratios = {
        "training": statistics.median(fixed / loop for loop, fixed in turns["training"]),
        "inversion": statistics.median(fixed / loop for loop, fixed in turns["inversion"]),
        "refinement": statistics.median(one / all_ for one, all_ in turns["refinement"]),
    }
    rates = {
        "training, pictures/s": given.steps * options.batch / statistics.median(loop for loop, _ in turns["training"]),
        "inversion, pictures/s": inverted / statistics.median(loop for loop, _ in turns["inversion"]),
        "refinement, picture steps/s": REFINED
        * given.steps
        / statistics.median(all_ for _, all_ in turns["refinement"]),
    }
    return {
        "asked": "an encoder's training and inversion against their networks fed one fixed batch (0.85), and refining "
        "16 pictures at a time against one by one (3 times as fast)",
        "to_reach": TO_REACH,
        "ratios_median_of_turns": {name: round(value, 3) for name, value in ratios.items()},
        "reached": {name: value >= TO_REACH[name] for name, value in ratios.items()},
        "rates": {name: round(value, 1) for name, value in rates.items()},
        "turns_seconds": {
            name: [[round(value, 3) for value in pair] for pair in pairs] for name, pairs in turns.items()
        },
        "options": dataclasses.asdict(options),
        "threads": torch.get_num_threads(),
        "command": shlex.join(
            ["python", "benchmarks/inversion_speed.py", "--rounds", str(given.rounds), "--steps", str(given.steps)]
        ),
        "seed": options.seed,
        "machine": machine(),
    }


if __name__ == "__main__":
    main()
