"""StyleGAN2 on a CPU: pictures a second of training, its step against its convolutions alone, and sampling.

    GOMP_SPINCOUNT=10000 python benchmarks/stylegan2_speed.py    # what synreid sets where it is loaded before PyTorch

To reach on two cores at 64x32 (about 2.2 million parameters, discriminator included): 85 pictures/s in bfloat16; a
step at most 1.6 times as long as its convolutions alone; sampling, PNG files included, 0.8 of the rate of one forward
of the same batch.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from synreid.generate.augment import transforms_of
from synreid.generate.feed import Feed
from synreid.generate.options import GanOptions, PersonOptions
from synreid.generate.persons import make_persons
from synreid.generate.place import SHIPPED
from synreid.generate.sample import BATCH, StyleSampler
from synreid.generate.state import new_state
from synreid.generate.train import _Training
from synreid.stage.device import autocast, choose_device
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine
from synreid.stage.world import World

ROUNDS, STEPS = 3, 16  # one R1 penalty in each round
TO_REACH = {"pictures_per_second": 85.0, "step_over_convolutions": 1.6, "sampling_over_forward": 0.8}
SAMPLED = 300  # persons of 10 pictures
# the goal is judged in memory: a new file cost 0.04 to 0.7 ms of the kernel's time on one disk, by the folder
PLACES = {"in memory": "/dev/shm", "on the disk": None}
RESULT = Path(__file__).parent.parent / "results" / "speed" / "stylegan2-training.json"


class Loop(_Training):
    """The training loop on random pictures, without a folder."""

    def __init__(self, options: GanOptions) -> None:
        self.options, self.device, self.start = options, choose_device("cpu"), None
        self.world = World(self.device)
        self.state, _ = new_state(options, None, self.device)
        numbers = np.random.default_rng(0).integers(0, 256, (256, 3, options.height, options.width), dtype=np.uint8)
        none = torch.zeros(256, dtype=torch.int64)
        generator = self.state.generator
        self.feed = Feed(torch.from_numpy(numbers), none, options, generator.num_ws, 0, self.device)
        self.transforms, self.rounds = transforms_of(options.augpipe), 1
        self.judging = list(self.state.discriminator.parameters())
        self.buffers = []

    def seconds(self) -> float:
        """Run STEPS steps; return seconds a step."""
        start = time.perf_counter()
        for _ in range(STEPS):
            self._step()
        return (time.perf_counter() - start) / STEPS


class Convolutions:
    """Every convolution that a training step computes, with the same shapes and number format, and nothing else.

    The shapes are recorded while one step runs: each call forward, and backward to those of its inputs that want a
    gradient. R1's second derivatives are three convolutions more for each of the discriminator's, every 16th step.
    """

    def __init__(self, loop: Loop) -> None:
        self.calls: list[Callable[[], Any]] = []
        plain, up = F.conv2d, F.conv_transpose2d

        def recorded(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def call(x: Tensor, weight: Tensor, *rest: Any, **options: Any) -> Tensor:
                self._keep(function, x, weight, rest, options)
                return function(x, weight, *rest, **options)

            return call

        F.conv2d, F.conv_transpose2d = recorded(plain), recorded(up)
        try:
            loop.state.step = 1  # a step without R1
            loop._step()
        finally:
            F.conv2d, F.conv_transpose2d = plain, up
        self.r1 = self._r1_calls(loop)

    def _keep(self, function: Callable[..., Tensor], x: Tensor, weight: Tensor, rest: Any, options: Any) -> None:
        wanted = [x.requires_grad, weight.requires_grad]
        inputs = [torch.randn(one.shape).to(torch.bfloat16) for one in (x, weight)]
        inputs = [
            one.contiguous(memory_format=torch.channels_last).requires_grad_(want)
            for one, want in zip(inputs, wanted, strict=True)
        ]
        rest = tuple(one.detach().to(torch.bfloat16) if isinstance(one, Tensor) else one for one in rest)
        options = {k: v.detach().to(torch.bfloat16) if isinstance(v, Tensor) else v for k, v in options.items()}
        with torch.no_grad():
            slope = torch.randn_like(function(*inputs, *rest, **options))

        def call() -> None:
            y = function(*inputs, *rest, **options)
            learning = [one for one, want in zip(inputs, wanted, strict=True) if want]
            if learning:
                torch.autograd.grad(y, learning, slope)

        self.calls.append(call)

    def _r1_calls(self, loop: Loop) -> list[Callable[[], Any]]:
        """Return the discriminator's convolutions on one batch, whose cost R1 adds about once more."""
        before = len(self.calls)
        pictures = torch.randn(loop.options.batch, 3, loop.options.height, loop.options.width).requires_grad_()
        plain = F.conv2d

        def call(x: Tensor, weight: Tensor, *rest: Any, **options: Any) -> Tensor:
            self._keep(plain, x, weight, rest, options)
            return plain(x, weight, *rest, **options)

        F.conv2d = call
        try:
            with autocast(loop.device, loop.options.precision):
                loop.state.discriminator(pictures)
        finally:
            F.conv2d = plain
        found = self.calls[before:]
        del self.calls[before:]
        return found

    def seconds(self) -> float:
        """Run the convolutions of STEPS steps, R1's in one of them; return seconds a step."""
        start = time.perf_counter()
        for step in range(STEPS):
            for call in self.calls:
                call()
            if step == 0:
                for call in self.r1:
                    call()
        return (time.perf_counter() - start) / STEPS


def sampling() -> dict[str, Any]:
    """Return the rate of making persons, PNG files and all, and of one forward of the same batch."""
    sampler = StyleSampler.load(SHIPPED / "street")
    w = sampler.latents(range(BATCH))
    noise = torch.zeros(BATCH, sampler.network.noise_length)
    options = PersonOptions(persons=SAMPLED, images=10, vary="interpolate")
    rates: dict[str, list[float]] = {"forward": [], **{f"made, {name}": [] for name in PLACES}}
    for _ in range(ROUNDS):
        start = time.perf_counter()
        with torch.no_grad():
            for _ in range(SAMPLED * 10 // BATCH + 1):
                sampler.network.synthesize(w, noise)
        rates["forward"].append((SAMPLED * 10 // BATCH + 1) * BATCH / (time.perf_counter() - start))
        for name, place in PLACES.items():
            with tempfile.TemporaryDirectory(dir=place) as folder:
                start = time.perf_counter()
                make_persons(SHIPPED / "street", Path(folder) / "persons", options)
                rates[f"made, {name}"].append(SAMPLED * 10 / (time.perf_counter() - start))
    return rates


def main() -> None:
    """Measure all loops in turns, so that a noisy neighbour hits both."""
    options = {name: GanOptions(precision=name, ada_p=0.2, vision_aid=0) for name in ("bf16", "fp32")}  # type: ignore[arg-type]
    options["bf16, vision-aided"] = GanOptions(precision="bf16", ada_p=0.2)
    options["bf16, path length"] = GanOptions(precision="bf16", ada_p=0.2, vision_aid=0, pl_weight=2)
    loops = {name: Loop(asked) for name, asked in options.items()}
    contenders: dict[str, Loop | Convolutions] = {**loops, "convolutions alone": Convolutions(loops["bf16"])}
    for one in contenders.values():
        one.seconds()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, one in contenders.items():
            seconds[name].append(one.seconds())
    batch = GanOptions().batch
    rates = {name: round(batch / statistics.median(values), 1) for name, values in seconds.items()}
    over = statistics.median(a / b for a, b in zip(seconds["bf16"], seconds["convolutions alone"], strict=True))
    sampled = sampling()
    share, on_disk = (
        statistics.median(a / b for a, b in zip(sampled[f"made, {name}"], sampled["forward"], strict=True))
        for name in PLACES
    )
    found = {
        "pictures_per_second": rates["bf16"],
        "step_over_convolutions": round(over, 3),
        "sampling_over_forward": round(share, 3),
    }
    reached = {
        name: value <= TO_REACH[name] if name == "step_over_convolutions" else value >= TO_REACH[name]
        for name, value in found.items()
    }
    state = loops["bf16"].state
    count = sum(p.numel() for network in (state.generator, state.discriminator) for p in network.parameters())
    say(f"{rates} pictures/s; {found}; {count:,} parameters")
    write_json(
        RESULT,
        {
            "what": f"StyleGAN2 at 64x32: pictures/s of training, step over its convolutions alone, sampling with PNG "
            f"over forward; medians of {ROUNDS} rounds; goals {TO_REACH}",
            "command": "GOMP_SPINCOUNT=10000 python benchmarks/stylegan2_speed.py",
            **found,
            "pictures_per_second_each": rates,
            "seconds_a_step": {name: [round(value, 4) for value in values] for name, values in seconds.items()},
            "sampling_over_forward_on_the_disk": round(on_disk, 3),
            "sampling": {name: [round(value, 1) for value in values] for name, values in sampled.items()},
            "parameters": count,
            "threads": torch.get_num_threads(),
            "to_reach": TO_REACH,
            "reached": reached,
            "machine": machine(),
        },
    )


if __name__ == "__main__":
    main()
