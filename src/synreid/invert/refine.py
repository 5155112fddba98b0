"""From styles that nearly show a real picture to styles that do, and from there to a generator tuned to a person.

Styles: Abdal et al. 2019, "Image2StyleGAN", with the schedule of Karras et al. 2020 (StyleGAN2), appendix D. Weights:
Roich et al. 2022, "Pivotal Tuning for Latent-based Editing of Real Images", sections 3.2 and 3.3. Noise is not
optimised: it would hold what the styles should; a generator with noise is looked at with its constant one.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from synreid.generate.generator import Generator
from synreid.generate.sample import filled
from synreid.invert.options import RefineOptions
from synreid.stage.device import autocast
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import fingerprint
from synreid.stage.progress import progress
from synreid.stage.tensors import DAMAGED, read_header, write_tensors

RAMP_UP, RAMP_DOWN = 0.05, 0.25  # shares of the steps: StyleGAN2, appendix D
HEADER = "difference"  # key of a file's metadata

Loss = Callable[[Tensor], Callable[[Tensor], Tensor]]
"""From real pictures [N, 3, H, W] in -1 to 1 to a judge: it gives made pictures of that shape one number each [N], from
its own pair only. What is looked at in the real pictures is so worked out once, not at every step."""


@dataclass(frozen=True, eq=False)
class Difference:
    """What a generator tuned to a person has that its parent has not: the change of each tensor that changed.

    `parent` is the parent's `weights_fingerprint`; `tensors` are float16, on the CPU.
    """

    parent: str
    tensors: dict[str, Tensor]

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name the tuned generator."""
        return fingerprint(self.parent, _digest(self.tensors))

    def apply_to(self, generator: Generator) -> Generator:
        """Return a copy of `generator` with the difference added, for evaluation, its weights frozen.

        Raises UserError where `generator` is not the parent.
        """
        found = weights_fingerprint(generator)
        if found != self.parent:
            raise UserError(
                f"the difference {self.fingerprint} belongs to the generator with weights {self.parent}, "
                f"not to the one given ({found}); load the generator that was tuned."
            )
        tuned = _frozen(generator)
        with torch.no_grad():
            for name, change in self.tensors.items():
                weight = tuned.get_parameter(name)
                weight.add_(change.to(weight))
        return tuned

    def save(self, path: Path) -> None:
        """Write the difference as safetensors; equal differences have equal bytes."""
        write_tensors(path, self.tensors, HEADER, {"parent": self.parent, "fingerprint": self.fingerprint})

    @classmethod
    def load(cls, path: Path) -> Difference:
        """Read what `save` wrote; raises UserError for a file that is missing, damaged or no difference."""
        if not Path(path).is_file():
            raise UserError(f"{path} does not exist; name the file of a generator tuned to a person.")
        try:
            header = read_header(path, HEADER)
            difference, wanted = cls(header["parent"], load_file(path)), header["fingerprint"]
            found = difference.fingerprint  # of a parent, too, which may be anything
        except DAMAGED as error:
            raise UserError(f"{path} is damaged or not a tuned generator ({error}); tune it again.") from error
        if found != wanted:
            raise UserError(f"{path} holds other weights than were written into it; tune it again.")
        return difference


def weights_fingerprint(generator: Generator) -> str:
    """Return sixteen hexadecimal digits that name a generator's weights, wherever and however they are stored."""
    return _digest(generator.state_dict())[:16]


def ramp(step: int, steps: int) -> float:
    """Return the factor, 0 to 1, of the learning rate in that step: up in a line, down along a cosine."""
    up = (step + 1) / (RAMP_UP * steps)
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (steps - step) / (RAMP_DOWN * steps)))
    return min(1.0, up) * down


def refine_styles(generator: Generator, pictures: Tensor, w: Tensor, loss: Loss, options: RefineOptions) -> Tensor:
    """Return styles [N, num_ws, w_dim], float32, that show `pictures` [N, 3, H, W] in -1 to 1 better than `w` does.

    Each picture is optimised for itself, in batches of one size: what stands beside it does not change its result.
    `generator` stays as it is. Raises UserError for shapes that do not fit and where an optimisation runs away.
    """
    _check(generator, pictures, w)
    network, device = _frozen(generator), _device(generator)
    batches = zip(*(filled(x, options.batch).split(options.batch) for x in (pictures, w)), strict=True)
    refined = []
    with progress("refining styles", total=len(w)) as bar:
        for number, (real, start) in enumerate(batches):
            refined.append(_refined(network, real.to(device), start.to(device).float(), loss, options))
            bar.advance(min(options.batch, len(w) - number * options.batch))
    found = torch.cat(refined)[: len(w)].to(w.device)
    lost = (~found.isfinite().flatten(1).all(dim=1)).nonzero().flatten().tolist()
    if lost:
        raise UserError(
            f"the styles of picture {lost[0]} are no numbers any more; take a smaller lr than {options.lr}."
        )
    return found


def tune(generator: Generator, pictures: Tensor, w: Tensor, loss: Loss, options: RefineOptions) -> Difference:
    """Return what must change in `generator` so that styles `w` [N, num_ws, w_dim] show `pictures` [N, 3, H, W].

    `pictures`, in -1 to 1, are of one person; the styles (the pivots) are held still and the mapping keeps its weights.
    `generator` stays as it is. Raises UserError for shapes that do not fit and where the optimisation runs away.
    """
    _check(generator, pictures, w)
    device = _device(generator)
    before, network = _frozen(generator), _frozen(generator)
    old, weights = (
        {name: p for name, p in net.named_parameters() if not name.startswith("mapping.")} for net in (before, network)
    )
    learned = [weight.requires_grad_(True) for weight in weights.values()]
    pictures, w = pictures.to(device), w.to(device).float()
    adam = torch.optim.Adam(learned, lr=options.tune_lr)
    rng = torch.Generator().manual_seed(options.seed)
    batches = [
        (pivots, _judge(loss, real, options))
        for real, pivots in zip(pictures.split(options.batch), w.split(options.batch), strict=True)
    ]
    for step in range(options.tune_steps):
        adam.param_groups[0]["lr"] = options.tune_lr * ramp(step, options.tune_steps)
        adam.zero_grad()
        for pivots, judge in batches:
            shown = _losses(network, pivots, judge, options).sum() / len(w)
            shown.backward(inputs=learned)
        if options.locality:
            near = _near(before, w, options, rng)
            with torch.no_grad(), autocast(device, options.precision):
                as_before = before.synthesize(near)
            moved = options.locality * _losses(network, near, _judge(loss, as_before, options), options).mean()
            moved.backward(inputs=learned)
        adam.step()
    changes = {name: (weight - old[name]).detach().half().cpu().contiguous() for name, weight in weights.items()}
    if not all(change.isfinite().all() for change in changes.values()):
        raise UserError(
            f"the tuned generator's weights are no numbers any more; take a smaller tune_lr than {options.tune_lr}."
        )
    return Difference(weights_fingerprint(generator), changes)


def _refined(network: Generator, real: Tensor, start: Tensor, loss: Loss, options: RefineOptions) -> Tensor:
    """Return the styles of one batch. Adam works number by number, so the sum over pictures keeps them apart."""
    w = start.clone().requires_grad_(True)
    adam = torch.optim.Adam([w], lr=options.lr)
    judge = _judge(loss, real, options)
    for step in range(options.steps):
        adam.param_groups[0]["lr"] = options.lr * ramp(step, options.steps)
        away = (w - start).square().mean(dim=(1, 2))
        total = (_losses(network, w, judge, options) + options.w_keep * away).sum()
        (w.grad,) = torch.autograd.grad(total, w)
        adam.step()
    return w.detach()


@torch.no_grad()
def _judge(loss: Loss, real: Tensor, options: RefineOptions) -> Callable[[Tensor], Tensor]:
    with autocast(real.device, options.precision):
        return loss(real)


def _losses(network: Generator, w: Tensor, judge: Callable[[Tensor], Tensor], options: RefineOptions) -> Tensor:
    with autocast(w.device, options.precision):
        return judge(network.synthesize(w))


@torch.no_grad()
def _near(generator: Generator, w: Tensor, options: RefineOptions, rng: torch.Generator) -> Tensor:
    """Return styles between random pivots of `w` and random styles: [locality_pictures, num_ws, w_dim]."""
    count = options.locality_pictures
    z = torch.randn(count, generator.w_dim, generator=rng).to(w.device)
    classes = torch.randint(max(1, len(generator.classes)), (count,), generator=rng).to(w.device)
    pivots = torch.randint(len(w), (count,), generator=rng).to(w.device)
    return w[pivots].lerp(generator.styles(z, classes=classes), options.locality_share)


def _frozen(generator: Generator) -> Generator:
    """Return a copy that takes no gradients and keeps no running means."""
    return copy.deepcopy(generator).eval().requires_grad_(False)


def _device(generator: Generator) -> torch.device:
    return next(generator.parameters()).device


def _digest(tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of tensors with their names, types and shapes, whatever device they are on."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return hashlib.sha256(save(plain)).hexdigest()


def _check(generator: Generator, pictures: Tensor, w: Tensor) -> None:
    """Raise UserError for pictures or styles that are not this generator's, or not as many."""
    shown, styles = (3, generator.height, generator.width), (generator.num_ws, generator.w_dim)
    if tuple(pictures.shape[1:]) != shown:
        raise UserError(
            f"pictures of shape {list(pictures.shape)} are given, but the generator makes [N, {_listed(shown)}]; "
            "resize them."
        )
    if tuple(w.shape[1:]) != styles:
        raise UserError(
            f"styles of shape {list(w.shape)} are given, but the generator takes [N, {_listed(styles)}]; "
            "take those of this generator."
        )
    if len(pictures) != len(w) or not len(w):
        raise UserError(f"{len(pictures)} pictures and {len(w)} styles are given; give one style for each picture.")


def _listed(sizes: tuple[int, ...]) -> str:
    return ", ".join(map(str, sizes))
