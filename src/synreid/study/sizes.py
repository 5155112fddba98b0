"""How much room a study takes: its models, its pictures, and what is decoded of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from synreid.generate.network import load_generator, new_discriminator, new_generator
from synreid.generate.options import GanOptions
from synreid.generate.place import generator_place
from synreid.invert.encoder import new_encoder
from synreid.reid.backbone import ReidNetwork, build
from synreid.reid.options import ReidOptions
from synreid.study.arms import Arm
from synreid.study.counts import Counts
from synreid.study.recipe import Recipe

FLOAT = 4  # bytes
LARGE = ("new-identity", "shuffled")  # labels under which every artificial person is a class


def network_bytes(network: nn.Module) -> int:
    """Return how many bytes a network's weights and running means take."""
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def reid_bytes(counts: Counts) -> int:
    """Return what the models of all arms and seeds take."""
    networks: dict[str | None, ReidNetwork] = {}
    total = 0
    for arm in counts.arms:
        if arm.baseline not in networks:
            networks[arm.baseline] = build(counts.reid(arm), counts.persons, weights=False)
        network = networks[arm.baseline]
        classes = (counts.persons if arm.real else 0) + (arm.persons if arm.labels in LARGE else 0) + arm.more_real
        more = (classes - counts.persons) * (network.classifier.in_features + (network.classifier.bias is not None))
        total += network_bytes(network) + more * FLOAT
    return total * len(counts.recipe.seeds)


def gan_bytes(options: GanOptions) -> int:
    """Return what a generator's training leaves: the networks, and the generator of each snapshot."""
    generator, discriminator = (network_bytes(new(options)) for new in (new_generator, new_discriminator))
    return (snapshots(options) + 1) * generator + discriminator


def snapshots(options: GanOptions) -> int:
    """Return how many snapshots a generator's training leaves: one before it begins, one at its end, and between."""
    steps = math.ceil(options.kimg * 1000 / options.batch)
    return 1 + math.ceil(steps / max(1, round(options.snap * options.tick * 1000 / options.batch)))


def made_pictures(recipe: Recipe, counts: Counts) -> int:
    """Return how many pictures are made for all pools together, at most."""
    made = recipe.persons.persons * recipe.persons.images if recipe.amounts else 0
    if (asked := recipe.variations) is not None:
        varied = {"all", "selected", "soft"} & set(asked.arms)
        made += counts.persons * (asked.vary.images if varied else 0)
        made += counts.persons * (max(asked.amounts) if "inversion" in asked.arms else 0)
    return made


def disk_bytes(recipe: Recipe, counts: Counts, gan: Path | None) -> dict[str, int]:
    """Return the bytes that a whole study takes in its folder, by what they are, roughly.

    Pictures count as their pixels, which their files hardly exceed; logs and tables are left out, and so are the
    checkpoints of what is being trained and what a user's own command writes.
    """
    generator = load_generator(generator_place(gan)) if gan is not None else new_generator(recipe.gan)
    sizes = {"re-ID models": reid_bytes(counts) if recipe.command is None else 0}
    sizes["generator"] = gan_bytes(recipe.gan) if gan is None else 0
    sizes["made pictures"] = made_pictures(recipe, counts) * generator.height * generator.width * 3
    if recipe.variations is not None:
        latents = counts.pictures * generator.num_ws * generator.w_dim * FLOAT
        sizes["encoder and latents"] = latents + network_bytes(new_encoder(generator, recipe.variations.encoder))
    return {name: size for name, size in sizes.items() if size}


def decoded_bytes(counts: Counts, test: int, size: tuple[int, int]) -> int:
    """Return what the cache of decoded pictures takes, which may be emptied at any time.

    It holds what each draw of made pictures comes to, the real pictures and the `test` pictures, at the generator's
    `size` (height, width), and the real ones at the network's, too, where they are trained on as they are.
    """
    draws = {(arm.pool, arm.persons, arm.variations): counts.made(arm) for arm in counts.arms}
    draws |= {("real", arm.more_real, 0): counts.real(arm) for arm in counts.arms if arm.more_real}
    pictures = sum(draws.values()) * len(counts.recipe.seeds) + counts.pictures + test
    full = {counts.reid(arm).size for arm in counts.arms if arm.resolution == "full"}
    return _pixels(pictures, size) + sum(_pixels(counts.pictures + test, own) for own in full)


def largest_bytes(counts: Counts) -> int:
    """Return the bytes of memory that the pictures of the largest training take."""
    return max(_pixels(_pictures(counts, arm), counts.reid(arm).size) for arm in counts.arms)


def _pictures(counts: Counts, arm: Arm) -> int:
    return counts.real(arm) + counts.made(arm)


def _pixels(pictures: int, size: Sequence[int]) -> int:
    return pictures * size[0] * size[1] * 3


def embedded_share(options: ReidOptions) -> float:
    """Return what a test picture's features cost in steps of training, at most.

    A network's backward pass takes twice its forward pass, so that a picture is a third of what it is in training; with
    `flip_test` it is seen twice.
    """
    return (2 if options.flip_test else 1) / (3 * options.batch)
