"""How fast generators train and sample on a GPU, at the papers' channels: s/kimg, pictures/s, memory.

    python benchmarks/gpu/generator_throughput.py [--peer DIR]

StyleGAN3-R, StyleGAN3-T and StyleGAN2 (presets of those names) at 128x128, 128x64 and 256x128, batches of 32, 16, 64
and 128, in bfloat16. A training step is everything that training does with its pictures, augmentation with a
probability of 0.2 and the moving average included; the blur of the first 200 kimg is left out. Steps with a lazy
penalty are measured apart from those without and weighted as often as they come. Sampling goes from z to uint8 pictures
in the CPU's memory: by the network alone in both number formats, and by the sampler that makes persons (float32,
batches of 32). The share of time outside matrix products and convolutions comes from a profile of one step without
penalties.

`DIR` is a checkout of NVlabs/stylegan3 (non-commercial: it is run from there, nothing of it is kept here): its
networks, losses, augmentation and compiled kernels, in its mixed precision, then take the same steps in the same call,
at square sizes, which are all that it makes. Without it that column says "not run". Each program's memory is its peak
while the other one is not there.

Takes some 10 minutes, the batch of 32 first; cut off, it goes on after the last finished row. Without a GPU:
`--device cpu --tiny`.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from packaging.version import parse as parse_version
from torch import nn
from torch.utils import cpp_extension

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parent.parent))
from common import SEED, Loop, Result, parser, table

from clock import timed, wait
from synreid.generate.generator import Generator
from synreid.generate.options import GAN_PRESETS, GanOptions
from synreid.generate.sample import StyleSampler, to_uint8
from synreid.stage.device import autocast, choose_device
from synreid.stage.log import say

CFGS = ("stylegan3-r", "stylegan3-t", "stylegan2")
SIZES, BATCHES = ((128, 128), (128, 64), (256, 128)), (32, 16, 64, 128)
TINY_SIZES, TINY_BATCHES = ((32, 32), (16, 8)), (4, 2)
TINY: dict[str, Any] = {"cmax": 8, "cbase": 128, "w_dim": 16}
REPEATS, CYCLE, ADA_P = 2, 16, 0.2
SAMPLED = 256  # pictures by the sampler
OFFICIAL_A100 = {"stylegan3-r": 34.2, "stylegan3-t": 27.2, "stylegan2": 6.8}  # s/kimg, 128x128, batch 32, one A100
PRODUCTS = ("conv", "mm", "bmm", "linear")  # in the names of what multiplies matrices
FAR = 10**9  # pictures shown: all that fades in or out has done so


class Contender(Protocol):
    """Something that trains on batches of `options.batch`."""

    options: GanOptions

    def take(self, batch: int) -> None:
        """Go on with batches of another size."""
        ...

    def step(self, penalised: bool, lengths: bool) -> None:
        """Take one step, with R1, with path length."""
        ...


class Ours(Loop):
    """Our training loop."""

    def step(self, penalised: bool, lengths: bool) -> None:
        """Take one step of the kind."""
        self.state.step = 0 if penalised else self.options.pl_every if lengths else 1
        self._step()


class Official:
    """The official networks, loss, augmentation and kernels, called as the official training loop calls them."""

    def __init__(self, peer: Path, options: GanOptions, device: torch.device) -> None:
        sys.path.insert(0, str(peer))
        # the one thing that it takes from setuptools, which a new environment does not have
        sys.modules["pkg_resources"] = SimpleNamespace(parse_version=parse_version)  # type: ignore[assignment]
        from torch_utils.ops import conv2d_gradfix, grid_sample_gradfix  # type: ignore[import-not-found]
        from training import loss, networks_stylegan2, networks_stylegan3  # type: ignore[import-not-found]
        from training.augment import AugmentPipe  # type: ignore[import-not-found]

        conv2d_gradfix.enabled = grid_sample_gradfix.enabled = True  # as its training loop does

        self.options, self.device = options, device
        wide = 2 if options.cfg == "stylegan3-r" else 1
        shape = {"c_dim": 0, "img_resolution": options.height, "img_channels": 3}
        own: dict[str, Any] = {"channel_base": options.cbase * wide, "channel_max": options.cmax * wide}
        if options.cfg == "stylegan2":
            kind, own["fused_modconv_default"] = networks_stylegan2.Generator, "inference_only"
        else:
            kind, own["magnitude_ema_beta"] = networks_stylegan3.Generator, 0.5 ** (options.batch / 20e3)
            own |= {"conv_kernel": 1, "use_radial_filters": True} if options.cfg == "stylegan3-r" else {}
        sizes = {"z_dim": options.w_dim, "w_dim": options.w_dim, "mapping_kwargs": {"num_layers": options.map_depth}}
        self.generator: nn.Module = kind(**sizes, **own, **shape).to(device)
        self.average: nn.Module = kind(**sizes, **own, **shape).to(device).eval()
        self.judge: nn.Module = networks_stylegan2.Discriminator(
            channel_base=options.cbase, channel_max=options.cmax, epilogue_kwargs={"mbstd_group_size": 4}, **shape
        ).to(device)
        names = ("xint", "scale", "aniso", "xfrac", "brightness", "contrast", "hue", "saturation")  # our `upright`
        pipe = AugmentPipe(**dict.fromkeys(names, 1)).to(device)
        pipe.p.fill_(ADA_P)
        extra = {"pl_no_weight_grad": True, "pl_weight": options.pl_weight, "style_mixing_prob": options.mixing}
        self.loss = loss.StyleGAN2Loss(device, self.generator, self.judge, pipe, r1_gamma=options.gamma, **extra)
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), lr=lr, betas=(0.0, 0.99), eps=1e-8)
            for network, lr in ((self.generator, options.glr), (self.judge, options.dlr))
        )

    def take(self, batch: int) -> None:
        """Go on with batches of another size."""
        self.options = dataclasses.replace(self.options, batch=batch)

    @torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)  # as its training loop sets them
    def step(self, penalised: bool, lengths: bool) -> None:
        """Take one step of the kind."""
        options = self.options
        self._phase("Gmain", self.generator, self.adam_g, 1)
        if lengths:
            self._phase("Greg", self.generator, self.adam_g, options.pl_every)
        self._phase("Dmain", self.judge, self.adam_d, 1)
        if penalised:
            self._phase("Dreg", self.judge, self.adam_d, options.r1_every)
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
            for mean, newest in pairs:
                mean.lerp_(newest, 0.001)

    def _phase(self, name: str, network: nn.Module, adam: torch.optim.Adam, gain: int) -> None:
        n, side = self.options.batch, self.options.height
        real = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8).to(self.device).float() / 127.5 - 1
        z, none = torch.randn(n, self.options.w_dim, device=self.device), torch.zeros(n, 0, device=self.device)
        adam.zero_grad(set_to_none=True)
        network.requires_grad_(True)
        self.loss.accumulate_gradients(name, real, none, z, none, gain, FAR)
        network.requires_grad_(False)
        adam.step()


def import_what_is_compiled() -> None:
    """Let `import` find what PyTorch compiles, as it did when the official program was written."""
    load = cpp_extension.load

    def loaded(name: str, *more: Any, **named: Any) -> Any:
        sys.modules[name] = load(name, *more, **named)
        return sys.modules[name]

    cpp_extension.load = loaded


def kinds(options: GanOptions) -> Counter[tuple[bool, bool]]:
    """Return how many of CYCLE steps have an R1 penalty and a path length penalty."""
    return Counter(
        (step % options.r1_every == 0, bool(options.pl_weight) and step % options.pl_every == 0)
        for step in range(CYCLE)
    )


def training(one: Contender, device: torch.device, repeats: int) -> dict[str, Any]:
    """Return s/kimg, the seconds of each kind of step, and the peak of the GPU's memory in GiB."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    seconds: dict[tuple[bool, bool], list[float]] = {}
    counts = kinds(one.options)
    for kind in counts:
        one.step(*kind)
        seconds[kind] = [timed(lambda kind=kind: one.step(*kind), device) for _ in range(repeats)]  # type: ignore[misc]
    a_step = sum(count * statistics.median(seconds[kind]) for kind, count in counts.items()) / CYCLE
    words = {(False, False): "plain", (False, True): "path length", (True, False): "R1", (True, True): "both"}
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    return {
        "s_per_kimg": round(1000 * a_step / one.options.batch, 3),
        "seconds_a_step": {words[kind]: [round(value, 4) for value in found] for kind, found in seconds.items()},
        "peak_gib": None if peak is None else round(peak, 2),
    }


@torch.no_grad()
def sampling(generator: Generator, batch: int, device: torch.device, repeats: int) -> dict[str, float]:
    """Return pictures/s from z to uint8 in the CPU's memory, in each number format."""
    z = torch.randn(batch, generator.w_dim)
    noise = torch.randn(batch, generator.noise_length)
    found = {}
    for form in ("fp32", "bf16"):

        def sample(form: str = form) -> None:
            with autocast(device, form):
                to_uint8(generator.synthesize(generator.styles(z.to(device)), noise.to(device)))

        sample()
        found[form] = round(batch / statistics.median(timed(sample, device) for _ in range(repeats)), 1)
    return found


def sampler_rate(generator: Generator, device: torch.device, count: int) -> float:
    """Return pictures/s of the sampler that persons are made with."""
    sampler = StyleSampler(generator, "random", device)
    seeds = range(count)
    sampler.synthesize(sampler.latents(seeds[:1]), seeds[:1])
    return round(count / timed(lambda: sampler.synthesize(sampler.latents(seeds), seeds), device), 1)


def outside_products(one: Contender, device: torch.device) -> float:
    """Return the share of a plain step's device time that is neither a matrix product nor a convolution."""
    with torch.profiler.profile() as profile:
        one.step(False, False)
        wait(device)
    inside = whole = 0.0
    for event in profile.key_averages():
        if event.device_type.name != "CPU":
            continue  # a kernel, whose time stands at its operation, too
        spent = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
        whole += spent
        name = event.key.removeprefix("aten::")
        inside += spent if event.key.startswith("aten::") and any(word in name for word in PRODUCTS) else 0.0
    return round(1 - inside / max(whole, 1e-9), 3)


def attempt(function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `function` does, or why it could not."""
    try:
        return function()
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {"failed": "out of memory"}


def measure_ours(result: Result, options: GanOptions, batches: tuple[int, ...], repeats: int, profile: bool) -> None:
    """Add the rows of our network at one size that are still missing, with what one batch tells of all if `profile`."""
    device = choose_device(options.device)
    one = {"by": "ours", "cfg": options.cfg, "size": f"{options.height}x{options.width}"}
    missing = [batch for batch in batches if not result.has(**one, batch=batch)]
    if not missing:
        return
    torch.manual_seed(SEED)
    ours = Ours(options, device)
    generator = ours.state.average.eval()
    for batch in missing:
        ours.take(batch)
        row = {**one, "batch": batch, **attempt(lambda: training(ours, device, repeats))}
        row["pictures_per_s"] = attempt(lambda batch=batch: sampling(generator, batch, device, repeats))  # type: ignore[misc]
        if profile:
            row["share_outside_products"] = outside_products(ours, device)
            row["sampler_pictures_per_s"] = sampler_rate(generator, device, SAMPLED if repeats > 1 else 4)
        result.add(row)
        say(f"{options.cfg} {one['size']}, batch {batch}: {row.get('s_per_kimg', row.get('failed'))} s/kimg")


def measure_official(result: Result, options: GanOptions, batches: tuple[int, ...], repeats: int, peer: Path) -> None:
    """Add the official program's rows at one size that are still missing; it makes squares only."""
    device = choose_device(options.device)
    one = {"by": "official", "cfg": options.cfg, "size": f"{options.height}x{options.width}"}
    missing = [batch for batch in batches if not result.has(**one, batch=batch)]
    if not missing or options.height != options.width:
        return
    torch.manual_seed(SEED)
    try:
        theirs = Official(peer, options, device)
        theirs.step(False, False)  # compiles its kernels
    except Exception as error:  # whatever another program, its compiler or its age may raise
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        result.add({**one, "batch": missing[0], "failed": why})
        return
    for batch in missing:
        theirs.take(batch)
        row = {**one, "batch": batch, **attempt(lambda: training(theirs, device, repeats))}
        result.add(row)
        say(f"official {options.cfg} {one['size']}, batch {batch}: {row.get('s_per_kimg', row.get('failed'))} s/kimg")


def shown(values: list[dict[str, Any]], peer: bool) -> str:
    """Return the rows as a table, the official program's beside ours."""
    names = ["cfg", "size", "batch"]
    rows = [[*names, "s/kimg", "GiB", "official s/kimg", "GiB", "samples/s fp32", "bf16", "outside products"]]
    for row in values:
        if row["by"] == "official":
            continue
        same = [one for one in values if one["by"] == "official" and all(one[name] == row[name] for name in names)]
        theirs = same[0] if same else {"failed": "-" if peer else "not run"}
        made = row["pictures_per_s"]
        cells = [part.get(name, part.get("failed")) for part in (row, theirs) for name in ("s_per_kimg", "peak_gib")]
        cells += [made.get("fp32", made.get("failed")), made.get("bf16"), row.get("share_outside_products")]
        rows.append(["-" if cell is None else str(cell)[:30] for cell in [*(row[name] for name in names), *cells]])
    return table(rows)


def main(arguments: list[str] | None = None) -> None:
    """Measure all cases that are not done yet and write the result."""
    known = parser(__doc__, "generator-throughput")
    known.add_argument("--peer", type=Path, help="checkout of NVlabs/stylegan3")
    given = known.parse_args(arguments)
    device = choose_device(given.device)
    sizes, batches, repeats = (TINY_SIZES, TINY_BATCHES, 1) if given.tiny else (SIZES, BATCHES, REPEATS)
    result = Result(
        given.out,
        "training (s/kimg, bfloat16) and sampling (pictures/s) of the generators at the papers' channels; the official "
        "code's kernels in the same call",
        "python benchmarks/gpu/generator_throughput.py" + " --peer DIR" * (given.peer is not None),
        {"device": device.type, "sizes": sizes, "batches": batches, "ada_p": ADA_P, "peer": given.peer is not None},
    )
    if given.peer is not None:
        import_what_is_compiled()
    for some, profile in ((batches[:1], True), (batches[1:], False)):  # the official figures' batch first, at all sizes
        for (height, width), cfg in itertools.product(sizes, CFGS):
            preset = {**GAN_PRESETS[cfg], **(TINY if given.tiny else {}), "blur_sigma": 0.0, "precision": "bf16"}
            more: dict[str, Any] = {"height": height, "width": width, "batch": some[0], "device": given.device}
            options = GanOptions(**{**preset, **more}, aug="fixed", ada_p=ADA_P)
            measure_ours(result, options, some, repeats, profile)
            if given.peer is not None:
                measure_official(result, options, some, repeats, given.peer)
    official = "beside ours, at square sizes" if given.peer is not None else "not run: it takes --peer DIR"
    result.finish(official=official, official_on_one_a100_s_per_kimg=OFFICIAL_A100)
    print(shown(result.values, given.peer is not None))


if __name__ == "__main__":
    main()
