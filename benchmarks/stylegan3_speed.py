"""StyleGAN3's time and peak memory, forward and backward on a CPU, against the official program's own CPU path.

    GOMP_SPINCOUNT=10000 python benchmarks/stylegan3_speed.py --peer DIR

`DIR` is a checkout of NVlabs/stylegan3 (non-commercial: it is run from there, nothing of it is kept here); without it
that column says "not run". GOMP_SPINCOUNT is what `synreid` sets by itself where it is loaded before PyTorch. Both
build the same network with random weights and take turns in one process; peak memory is measured in a process for each.
To reach, in float32: 10 times as fast and half the memory at 64x64 with up to 64 channels, 4 times as fast at 128x128
with up to 256.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from packaging.version import parse as parse_version
from torch import Tensor

from synreid.generate.network import new_generator
from synreid.generate.options import GanOptions
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

# size, most channels, channels times height, batch, rounds, goal: halved towards the finest layers, or not at all
CASES = ((64, 64, 2048, 8, 3, 10.0), (128, 256, 8192, 2, 2, 4.0), (64, 64, 4096, 8, 3, 10.0))
RESULT = Path(__file__).parent.parent / "results" / "speed" / "stylegan3.json"
W_DIM = 512


def ours(cfg: str, size: int, cmax: int, cbase: int, precision: str) -> Callable[[Tensor], Tensor]:
    """Return a function from styles [N, 16, 512] to pictures by our network; R's channels count doubled, as there."""
    half = 2 if cfg == "stylegan3-r" else 1
    options = GanOptions(cfg=cfg, height=size, width=size, cmax=cmax // half, cbase=cbase // half, w_dim=W_DIM)  # type: ignore[arg-type]
    network = new_generator(options).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(w: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return network.synthesize(w)

    return run


def official(peer: Path, cfg: str, size: int, cmax: int, cbase: int) -> Callable[[Tensor], Tensor]:
    """Return the same by the official network, in float32, which is all that it does on a CPU."""
    sys.path.insert(0, str(peer))
    # the one thing that it takes from setuptools, which a new environment does not have
    sys.modules["pkg_resources"] = SimpleNamespace(parse_version=parse_version)  # type: ignore[assignment]
    from training.networks_stylegan3 import SynthesisNetwork  # type: ignore[import-not-found]

    radial = {"conv_kernel": 1, "use_radial_filters": True} if cfg == "stylegan3-r" else {}
    network = SynthesisNetwork(W_DIM, size, 3, channel_base=cbase, channel_max=cmax, num_fp16_res=0, **radial)
    return lambda w: network(w, update_emas=True)


def step(run: Callable[[Tensor], Tensor], w: Tensor) -> float:
    """Run forward and backward once; return seconds."""
    start = time.perf_counter()
    run(w).square().mean().backward()
    return time.perf_counter() - start


def styles(batch: int) -> Tensor:
    """Return seeded styles that want a gradient."""
    return torch.randn(batch, 16, W_DIM, generator=torch.Generator().manual_seed(0)).requires_grad_()


def contender(name: str, peer: Path | None, cfg: str, size: int, cmax: int, cbase: int) -> Callable[[Tensor], Tensor]:
    """Return the function that `name` stands for."""
    if name == "official":
        assert peer is not None
        return official(peer, cfg, size, cmax, cbase)
    return ours(cfg, size, cmax, cbase, name)


def peak(name: str, peer: Path | None, cfg: str, case: tuple[Any, ...]) -> float:
    """Return the MiB that one step adds to a fresh process with the network in it."""
    asked = json.dumps([name, str(peer) if peer else None, cfg, *case[:4]])
    answer = subprocess.run([sys.executable, __file__, "--child", asked], capture_output=True, text=True, check=True)
    return float(answer.stdout.strip().splitlines()[-1])


def child(asked: str) -> None:
    """Build one network, run one step, print how much the peak of memory grew."""
    name, peer, cfg, size, cmax, cbase, batch = json.loads(asked)
    run = contender(name, Path(peer) if peer else None, cfg, size, cmax, cbase)
    w = styles(batch)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = high_water()
    step(run, w)
    print(high_water() - before)


def high_water() -> float:
    """Return the peak of this process's memory, MiB (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(cfg: str, case: tuple[Any, ...], peer: Path | None) -> dict[str, Any]:
    """Return seconds and MiB of each contender, and their ratios to the official one."""
    size, cmax, cbase, batch, rounds, goal = case
    names = ["fp32", "bf16", *(["official"] if peer else [])]
    runs = {name: contender(name, peer, cfg, size, cmax, cbase) for name in names}
    w = styles(batch)
    for run in runs.values():
        step(run, w)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(step(run, w))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    memory = {name: peak(name, peer, cfg, case) for name in names}
    found: dict[str, Any] = {
        "cfg": cfg,
        "size": f"{size}x{size}",
        "channels": f"{cmax} at the coarsest layers, {min(cmax, round(cbase / size))} at the finest",
        "batch": batch,
        "seconds": {name: [round(value, 4) for value in values] for name, values in seconds.items()},
        "peak_mib": {name: round(value, 1) for name, value in memory.items()},
        "goal": goal,
        "times_as_fast": "not run",
    }
    if peer:
        found["times_as_fast"] = {name: round(median["official"] / median[name], 2) for name in ("fp32", "bf16")}
        found["share_of_memory"] = {name: round(memory[name] / memory["official"], 3) for name in ("fp32", "bf16")}
    return found


def main() -> None:
    """Measure all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, help="checkout of NVlabs/stylegan3")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return
    values: list[dict[str, Any]] = []
    for case in CASES:
        for cfg in ("stylegan3-t", "stylegan3-r"):
            values.append(measure(cfg, case, given.peer))
            say(f"{cfg} {case[0]}: {values[-1]['times_as_fast']} times, memory {values[-1].get('share_of_memory')}")
            write(values)  # so that a run that is cut off leaves what it has measured


def write(values: list[dict[str, Any]]) -> None:
    """Write what has been measured so far."""
    for one in values:
        ratios = one["times_as_fast"]
        enough = one["size"] != "64x64" or one.get("share_of_memory", {}).get("fp32", 1.0) <= 0.5
        one["reached"] = isinstance(ratios, dict) and ratios["fp32"] >= one["goal"] and enough
    write_json(
        RESULT,
        {
            "what": "StyleGAN3 forward and backward against the official program's CPU path; goals in float32: 10 times"
            " as fast and half the memory at 64x64, 4 times at 128x128",
            "command": "GOMP_SPINCOUNT=10000 python benchmarks/stylegan3_speed.py --peer DIR",
            "values": values,
            "seed": 0,
            "threads": torch.get_num_threads(),
            "machine": machine(),
        },
    )


if __name__ == "__main__":
    main()
