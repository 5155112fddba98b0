"""Make a person by hand: two seeds, how far the one turns into the other, and in which layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from synreid.generate.persons import GROUPS, layer_group
from synreid.generate.place import generator_place
from synreid.generate.sample import StyleSampler
from synreid.stage.device import choose_device
from synreid.stage.errors import UserError

WAY = (0.0, 0.25, 0.5, 0.75, 1.0)  # places of the strip from the one person to the other
LAST_SEED = 2**31 - 1


@dataclass(frozen=True)
class Wish:
    """What is asked for."""

    seed: int = 0
    other: int = 1
    truncation: float = 0.7
    share: float = 0.0
    """How far the styles go from the first seed's to the other's, 0 to 1."""
    groups: tuple[str, ...] = tuple(GROUPS)
    """Layers that go there (coarse, medium, fine); the others keep the first seed's style."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that nothing can be made with."""
        for name, seed in (("seed", self.seed), ("other seed", self.other)):
            if not 0 <= seed <= LAST_SEED:
                raise UserError(f"the {name} is {seed}, but must lie in 0 to {LAST_SEED}; correct it.")
        for name, value in (("truncation", self.truncation), ("share", self.share)):
            if not 0 <= value <= 1:
                raise UserError(f"{name} is {value}, but must lie in 0 to 1; correct it.")


@dataclass(frozen=True)
class Made:
    """Pictures, uint8 RGB [H, W, 3] each."""

    first: np.ndarray
    """The seed's own person, the picture that `persons make` gives for that seed and truncation."""
    picture: np.ndarray
    """What was asked for."""
    second: np.ndarray
    """The other seed's own person."""
    way: np.ndarray
    """What lies between, [P, H, W, 3], at the shares WAY, in the chosen layers."""


def open_maker(gan: Path, show_persons: bool) -> StyleSampler:
    """Return the generator that `gan` names; raises UserError where it makes persons that are not to be shown.

    A generator of `cond pid` makes further pictures of the very persons whom it was trained by: `show_persons` says
    that they are drawn, or that pictures of real ones are asked for.
    """
    sampler = StyleSampler.load(generator_place(gan), choose_device())
    if sampler.network.cond == "pid" and not show_persons:
        raise UserError(
            f"{gan.name} makes pictures of the {len(sampler.network.classes)} real persons that it was trained by; "
            "start with --show-real to see them."
        )
    return sampler


def layer_groups(sampler: StyleSampler) -> dict[str, tuple[int, ...]]:
    """Return the groups of layers that this generator has; a network with a single style has none."""
    if sampler.num_ws == 1:
        return {}
    return {name: layers for name in GROUPS if (layers := layer_group(name, sampler.num_ws))}


def make_person(sampler: StyleSampler, wish: Wish) -> Made:
    """Return the pictures that `wish` asks for; the same wish gives the same bytes.

    The styles of the chosen layers go along a straight line in W from the first seed's to the other's (interpolation,
    and at its end style mixing: Karras et al. 2019, StyleGAN, section 3.1); the noise is the first seed's throughout.
    """
    known = layer_groups(sampler)
    layers = [layer for name in wish.groups for layer in known.get(name, ())] if known else [0]
    classes = sampler.classes([wish.seed]).repeat(2)
    own, other = sampler.latents([wish.seed, wish.other], wish.truncation, classes)
    chosen = torch.zeros(sampler.num_ws, 1, device=own.device)
    chosen[layers] = 1.0
    between = [own.lerp(other, share * chosen) for share in (*WAY, wish.share)]
    seeds = [wish.seed, wish.other] + [wish.seed] * len(between)
    first, second, *rest = sampler.synthesize(torch.stack([own, other, *between]), seeds)
    return Made(first, rest[-1], second, np.stack(rest[:-1]))


def file_name(wish: Wish) -> str:
    """Return a name for the picture's file that says how it was made."""
    words = f"person-{wish.seed}-psi-{wish.truncation:g}"
    if wish.share:
        words += f"-{wish.share:g}-of-{wish.other}-{'-'.join(wish.groups) or 'nowhere'}"
    return f"{words}.png"
