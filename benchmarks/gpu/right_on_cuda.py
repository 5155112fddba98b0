"""Is what the GPU computes right? Every network and loss of the generators, against the same in float64 on the CPU.

    python benchmarks/gpu/right_on_cuda.py

Takes about a minute. The same weights and random numbers go through the filtered rectifier of both StyleGAN3
configurations, all generators, both discriminators with the R1 penalty's second derivative, all augmentations with
theirs, path lengths, one training step of each configuration (its losses, and the gradients of both networks, through
an update of the discriminator), a re-ID network with its ranking, and the feature networks whose weights are at hand.
Errors are relative, in the Frobenius norm over all numbers of a kind. Three number formats: float32 throughout, float32
as PyTorch has it by default (convolutions in TF32), and bfloat16 as training takes it; each has its bound. Ranking
itself has no GPU path: it is checked on features of the GPU.

Without a GPU: `--device cpu --tiny` (TF32 is the same as float32 there).
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from common import SEED, Loop, Result, parser, table

from synreid.features import registry
from synreid.features.embedders import EfficientNetLite0
from synreid.features.inception import InceptionEmbedder, missing
from synreid.generate import filtered_lrelu as rectifier
from synreid.generate.augment import augment
from synreid.generate.diffaugment import diffaugment
from synreid.generate.filtered_lrelu import Resampling, filtered_lrelu
from synreid.generate.generator import Generator
from synreid.generate.losses import path_lengths, r1_penalty
from synreid.generate.network import new_discriminator, new_generator
from synreid.generate.options import GanOptions
from synreid.generate.stylegan3 import StyleGAN3
from synreid.reid.backbone import build
from synreid.reid.options import ReidOptions
from synreid.reid.ranking import rank
from synreid.stage.device import choose_device
from synreid.stage.errors import UserError
from synreid.stage.log import say

# relative errors that are allowed: float32, TF32, bfloat16
VALUE = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 0.1}
GRADIENT = {"fp32": 1e-3, "tf32": 5e-2, "bf16": 0.3}
# of a whole step, where gradients for real and for made pictures nearly cancel out: not judged in bfloat16
STEP = {"fp32": 1e-2, "tf32": 0.3, "bf16": None}
FULL: dict[str, Any] = {"height": 64, "width": 32, "cmax": 64, "cbase": 2048, "w_dim": 64, "batch": 8}
TINY: dict[str, Any] = {"height": 16, "width": 8, "cmax": 16, "cbase": 256, "w_dim": 8, "batch": 4}
CFGS: dict[str, dict[str, Any]] = {
    "stylegan3-t": {"cfg": "stylegan3-t"},
    "stylegan3-r": {"cfg": "stylegan3-r"},
    "stylegan2": {"cfg": "stylegan2"},
    "stylegan2, as in the paper": {"cfg": "stylegan2", "noise": True, "edges": "zero"},
    "dcgan": {"cfg": "dcgan"},
}

Module = TypeVar("Module", bound=nn.Module)
Numbers = dict[str, Tensor]


@dataclass(frozen=True)
class Way:
    """Where and in which number format something is computed."""

    device: torch.device
    format: str

    def network(self, network: Module) -> Module:
        """Return a copy of `network` to compute with."""
        moved = copy.deepcopy(network).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return moved.double() if self.format == "fp64" else moved

    def numbers(self, x: Tensor) -> Tensor:
        """Return `x` to compute with, wanting a gradient."""
        moved = x.detach().to(self.device)
        return (moved.double() if self.format == "fp64" else moved).requires_grad_()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute in this format; in the reference, what asks for float32 gets float64.

        A CPU takes the filtered rectifier's way for GPUs, too, but in the reference.
        """
        asked, tf32, by_taps = Tensor.float, torch.backends.cudnn.allow_tf32, rectifier.BY_TAPS
        torch.backends.cudnn.allow_tf32 = self.format != "fp32"
        if self.format == "fp64":
            Tensor.float = Tensor.double  # type: ignore[method-assign, assignment]
        else:
            rectifier.BY_TAPS = ()
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.format == "bf16"):
                yield
        finally:
            Tensor.float, torch.backends.cudnn.allow_tf32 = asked, tf32  # type: ignore[method-assign]
            rectifier.BY_TAPS = by_taps


def rng() -> torch.Generator:
    """Return the random numbers of a check, always the same."""
    return torch.Generator().manual_seed(SEED)


def gradients(loss: Tensor, network: nn.Module) -> Tensor:
    """Return the gradients of all parameters as one row."""
    found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    return torch.cat([one.flatten() for one in found if one is not None])


def twice(x: Tensor, function: Callable[[Tensor], Tensor], way: Way) -> Numbers:
    """Return `function` of `x`, its gradient, and the derivative of that gradient's length by what it came from."""
    x = way.numbers(x)
    y = function(x)
    v = way.numbers(torch.randn(y.shape, generator=rng()))
    (slope,) = torch.autograd.grad((y * v).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), v)
    return {"value": y, "gradient": slope, "second gradient": second}


def check_rectifier(options: GanOptions, way: Way) -> Numbers:
    """The filtered leaky rectifier of a layer in the middle of StyleGAN3, without its convolution."""
    generator = new_generator(options)
    assert isinstance(generator, StyleGAN3)
    layer: Any = way.network(generator.layers[8])
    up, down = Resampling(layer.up_rows, layer.up_columns), Resampling(layer.down_rows, layer.down_columns)
    x = torch.randn(options.batch, 8, up.rows.shape[2], up.columns.shape[2], generator=rng())

    def function(x: Tensor) -> Tensor:
        x = x.bfloat16() if way.format == "bf16" else x
        return filtered_lrelu(x, up, down, layer.forwards, layer.backwards)

    return twice(x, function, way)


def styles(generator: Generator, options: GanOptions, way: Way) -> tuple[Tensor, Tensor]:
    """Return seeded styles [N, num_ws, w_dim] and noise [N, noise_length]."""
    z = way.numbers(torch.randn(options.batch, options.w_dim, generator=rng()))
    noise = torch.randn(options.batch, generator.noise_length, generator=rng())
    return generator.styles(z), way.numbers(noise).detach()


def noisy(options: GanOptions) -> Generator:
    """Return a generator whose noise counts."""
    generator = new_generator(options)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.1)
    return generator


def check_generator(options: GanOptions, way: Way) -> Numbers:
    """Pictures, and the gradient of every weight."""
    generator = way.network(noisy(options))
    pictures = generator.synthesize(*styles(generator, options, way))
    v = way.numbers(torch.randn(pictures.shape, generator=rng()))
    return {"value": pictures, "gradient": gradients((pictures * v).sum(), generator)}


def check_path_length(options: GanOptions, way: Way) -> Numbers:
    """StyleGAN2's path lengths, and the gradient of their penalty by every weight."""
    generator = way.network(noisy(options))
    lengths = path_lengths(generator, *styles(generator, options, way), rng())
    return {"value": lengths, "gradient": gradients((lengths - 1).square().mean(), generator)}


def check_discriminator(options: GanOptions, way: Way, classes: int = 0) -> Numbers:
    """Logits and the R1 penalty, and the gradients of both by every weight, R1's a second derivative.

    Apart from each other and without made pictures: a random network's gradients for real and made ones cancel out.
    """
    judge = way.network(new_discriminator(options, [str(number) for number in range(classes)]))
    real = way.numbers(torch.randn(options.batch, 3, options.height, options.width, generator=rng()) * 0.5)
    wanted = (torch.arange(options.batch) % classes).to(way.device) if classes else None
    logits = judge(real, wanted)
    penalty = r1_penalty(logits, real)
    found = {"value": logits, "R1": penalty, "gradient of R1": gradients(penalty, judge)}
    return {**found, "gradient": gradients(judge(real, wanted).sum(), judge)}


def check_augmentation(options: GanOptions, way: Way, size: tuple[int, int], light: bool = False) -> Numbers:
    """All augmentations at once, each sure to happen."""
    x = torch.randn(2 * options.batch, 3, *size, generator=rng()) * 0.5
    return twice(x, lambda x: diffaugment(x, rng()) if light else augment(x, 1.0, rng(), ["bgcfnc"]), way)


def check_step(sizes: dict[str, Any], more: dict[str, Any], way: Way) -> Numbers:
    """One training step with everything that one can hold: its losses, and the gradients of both networks.

    Adam's first step is a sign, which rounding turns where a gradient is near nothing; its epsilon of 1 smooths that.
    """
    loop = Loop(step_options(sizes, more, way), way.device)
    if way.format == "fp64":
        for network in (loop.state.generator, loop.state.discriminator, loop.state.average, loop.state.vision_aid):
            if network is not None:
                network.double()
        loop.state.path_length = np.float64(0)  # becomes a tensor of its own type
    for adam in (loop.state.adam_g, loop.state.adam_d, loop.state.adam_v):
        if adam is not None:
            adam.param_groups[0].update(eps=1.0, lr=0.1)
    facts = loop._step()
    numbers = {"losses": torch.tensor([value for name, value in sorted(facts.items()) if name != "sign"])}
    for name, network in (("gradient of G", loop.state.generator), ("gradient of D", loop.state.discriminator)):
        found = [parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None]
        numbers[name] = torch.cat(found)
    return numbers


def check_reid(tiny: bool, way: Way) -> Numbers:
    """Features of a re-ID network, their gradient, and the mAP of a ranking by them."""
    asked = ReidOptions(height=32, width=16) if tiny else ReidOptions(backbone="resnet50", height=128, width=64)
    network = way.network(build(asked, 10)).eval()
    count = 16 if tiny else 64
    x = way.numbers(torch.randn(count, 3, *asked.size, generator=rng()))
    features = network.embed(x.contiguous(memory_format=torch.channels_last)).float()
    unit = nn.functional.normalize(features.detach()).cpu().float().numpy()
    pid, camera = np.arange(count) % 4, np.arange(count) % 3
    half = count // 2
    ranking = rank(1 - unit[:half] @ unit[half:].T, pid[:half], camera[:half], pid[half:], camera[half:])
    value = torch.tensor(ranking.summary()["map"])
    (slope,) = torch.autograd.grad(features.square().sum(), x)
    return {"value": features, "gradient": slope, "mAP": value}


def check_features(kind: Callable[[str], Any], way: Way) -> Numbers:
    """Features of pictures by a network that quality is measured on, as it is computed there: never in bfloat16."""
    pictures = np.random.default_rng(SEED).integers(0, 256, (16, 64, 32, 3), dtype=np.uint8)
    embedder = kind(str(way.device))
    if way.format == "fp64":
        embedder._network.double()
    with torch.autocast(way.device.type, enabled=False):
        return {"value": torch.from_numpy(embedder.embed(pictures))}


def checks(sizes: dict[str, Any], tiny: bool) -> dict[str, Callable[[Way], Numbers]]:
    """Return all checks by their names."""
    found: dict[str, Callable[[Way], Numbers]] = {}
    options = {name: GanOptions(**sizes, **more, vision_aid=0) for name, more in CFGS.items()}
    for name in ("stylegan3-t", "stylegan3-r"):
        found[f"filtered rectifier, {name}"] = partial(check_rectifier, options[name])
    for name, one in options.items():
        found[f"generator, {name}"] = partial(check_generator, one)
        if name != "dcgan":
            found[f"path length, {name}"] = partial(check_path_length, one)
    one = options["stylegan2"]
    found["discriminator and R1"] = partial(check_discriminator, one)
    found["discriminator and R1, classes"] = partial(check_discriminator, one, classes=3)
    found["discriminator and R1, dcgan"] = partial(check_discriminator, options["dcgan"])
    oblong, square = (one.height, one.width), (one.height, one.height)
    found["augmentation, oblong"] = partial(check_augmentation, one, size=oblong)
    found["augmentation, square"] = partial(check_augmentation, one, size=square)
    found["DiffAugment"] = partial(check_augmentation, one, size=oblong, light=True)
    for name, more in CFGS.items():
        found[f"training step, {name}"] = partial(check_step, sizes, more)
    if registry.have("efficientnet-lite0"):
        found["training step, vision-aided"] = partial(check_step, sizes, {"vision_aid": 0.5})
        found["features, EfficientNet-Lite0"] = partial(check_features, EfficientNetLite0)
    if missing() is None:
        found["features, Inception"] = partial(check_features, InceptionEmbedder)
    found["re-ID network and ranking"] = partial(check_reid, tiny)
    return found


def step_options(sizes: dict[str, Any], more: dict[str, Any], way: Way) -> GanOptions:
    """Return options of a step with R1, path length, mixing, blur and all augmentations, as the network takes them."""
    plain = more.get("cfg") == "dcgan"
    everything: dict[str, Any] = {"pl_weight": 0 if plain else 2, "blur_sigma": 1, "aug": "none" if plain else "fixed"}
    precision: Any = "bf16" if way.format == "bf16" else "fp32"
    asked = {"vision_aid": 0, "ada_p": 0.6, "augpipe": ("bgcfnc",), **everything, **sizes, **more}
    return GanOptions(**asked, precision=precision)


def computed(check: Callable[[Way], Numbers], way: Way) -> Numbers:
    """Return what a check gives, in float64 on the CPU."""
    torch.manual_seed(SEED)
    with way.computing():
        found = check(way)
    return {name: value.detach().cpu().double() for name, value in found.items()}


def compare(name: str, check: Callable[[Way], Numbers], device: torch.device) -> dict[str, Any]:
    """Return a check's relative errors in each format, with their bounds, and whether all hold."""
    start = time.perf_counter()
    reference = computed(check, Way(torch.device("cpu"), "fp64"))
    row: dict[str, Any] = {"check": name, "errors": {}, "right": True}
    for form in VALUE if device.type == "cuda" else ("fp32", "bf16"):
        try:
            found = computed(check, Way(device, form))
        except (RuntimeError, UserError) as error:
            row |= {"right": False, "failed": f"{form}: {str(error).splitlines()[0]}"}
            continue
        errors = {kind: relative(found[kind], value) for kind, value in reference.items()}
        row["errors"][form] = errors
        row["right"] &= all(within(error, bound(kind, form)) for kind, error in errors.items())
    return {**row, "seconds": round(time.perf_counter() - start, 2)}


def relative(found: Tensor, reference: Tensor) -> float:
    """Return the relative error; infinite where a number is not finite."""
    error = float((found - reference).norm() / reference.norm().clamp(min=1e-300))
    return float(f"{error:.2e}") if np.isfinite(error) else float("inf")


def within(error: float, allowed: float | None) -> bool:
    """Return whether an error is small enough; what is not judged must be a number at least."""
    return error <= allowed if allowed is not None else bool(np.isfinite(error))


def bound(kind: str, form: str) -> float | None:
    """Return the error that is allowed for a kind of number in a format; None where it is not judged."""
    if kind in ("gradient of G", "gradient of D"):
        return STEP[form]
    return (GRADIENT if "gradient" in kind or kind in ("R1", "losses", "mAP") else VALUE)[form]


def shown(values: list[dict[str, Any]]) -> str:
    """Return a table of the worst error of each check in each format."""
    rows = [["check", *VALUE, "right"]]
    for row in values:
        worst = {form: f"{max(errors.values()):.1e}" for form, errors in row["errors"].items()}
        rows.append([row["check"], *(worst.get(form, "-") for form in VALUE), "yes" if row["right"] else "NO"])
    return table(rows)


def main(arguments: list[str] | None = None) -> None:
    """Run all checks that are not done yet and write the result."""
    given = parser(__doc__, "right-on-cuda").parse_args(arguments)
    device = choose_device(given.device)
    sizes = TINY if given.tiny else FULL
    result = Result(
        given.out,
        "what the GPU computes against float64 on the CPU: relative errors of values, gradients and second gradients",
        "python benchmarks/gpu/right_on_cuda.py",
        {"device": device.type, **sizes},
    )
    for name, check in checks(sizes, given.tiny).items():
        if not result.has(check=name):
            result.add(compare(name, check, device))
            say(f"{name}: {result.values[-1]['errors']} {result.values[-1].get('failed', '')}")
    right = sum(row["right"] for row in result.values)
    bounds = {"values": VALUE, "gradients, R1, losses, mAP": GRADIENT, "gradients of a whole step": STEP}
    result.finish(bounds=bounds, right=right, checks=len(result.values))
    print(shown(result.values))
    print(f"{right} of {len(result.values)} right")


if __name__ == "__main__":
    main()
