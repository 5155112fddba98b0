"""Which pictures each step sees: shuffled passes, passes with a fixed share of made pictures, or persons by groups."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
import torch

from synreid.reid.options import ReidOptions, made_in_batch
from synreid.reid.seeds import CHOICE, MADE_ORDER, MADE_PERSONS, ORDER, PERSONS, generator
from synreid.stage.errors import UserError
from synreid.stage.log import say
from synreid.stage.world import World


class Sampler(Protocol):
    """Chooses the pictures of a step from (seed, step) alone, so that resuming needs no state of a generator."""

    def rows(self, step: int) -> torch.Tensor:
        """Return which pictures step `step` sees, int64 [B]."""


def sampler_for(options: ReidOptions, made: np.ndarray, persons: np.ndarray | None = None) -> Sampler:
    """Return the sampler that `options` ask for.

    `made`, bool [N], says which pictures are made; `persons`, int64 [N], which person a picture is of, -1 for no
    certain one, and is needed for `options.pictures_each` alone. Raises UserError as `PersonGroups` does.
    """
    if options.pictures_each is not None:
        if persons is None:
            raise ValueError("groups of persons want to know who is who")
        return PersonGroups(options, made, persons)
    if options.made_ratio is None or not made.any() or made.all():
        return ShuffledPasses(options, len(made))
    return MixedPasses(options, made)


class ShuffledPasses:
    """An endless stream of shuffled passes over all pictures, cut into batches."""

    def __init__(self, options: ReidOptions, count: int) -> None:
        self.options, self.count = options, count

    def rows(self, step: int) -> torch.Tensor:
        """Return which pictures step `step` sees, int64 [B]."""
        return torch.from_numpy(rows_of_step(self.options.seed, step, self.options.batch, self.count))


class MixedPasses:
    """Two such streams, of real and of made pictures, `options.made_ratio` to one."""

    def __init__(self, options: ReidOptions, made: np.ndarray) -> None:
        assert options.made_ratio is not None
        self.options, self.which = options, made
        self.made = made_in_batch(options.batch, options.made_ratio)

    def rows(self, step: int) -> torch.Tensor:
        """Return which pictures step `step` sees, int64 [B]: real ones first."""
        options = self.options
        return torch.from_numpy(
            mixed_rows_of_step(options.seed, step, options.batch - self.made, self.made, self.which)
        )


class PersonGroups:
    """P groups of K pictures, each of one person (Hermans et al. 2017, section 2, arXiv 1703.07737).

    K is `options.pictures_each`, P is batch / K. Whose turn it is goes by shuffled passes over the persons, real or
    made, so each comes as often as the others, however many pictures there are of it. Pictures of no certain person (-1
    in `persons`) come in groups of K, too, from shuffled passes over them.

    With `options.made_ratio` there are that many groups of made pictures for each group of real ones; they are divided
    among made pictures of certain persons and others by how many there are, and a person with real and with made
    pictures has groups of either kind. Without it, pictures of no certain person have as many groups as is their share
    of all pictures, but at least one, and a person's group is drawn from its real and made pictures alike.

    Raises UserError where there are fewer persons than a batch has groups for; pictures that have to be repeated are
    counted and said.
    """

    def __init__(self, options: ReidOptions, made: np.ndarray, persons: np.ndarray) -> None:
        assert options.pictures_each is not None
        self.seed, self.each = options.seed, options.pictures_each
        groups = options.batch // self.each
        free = np.flatnonzero(persons < 0)
        if options.made_ratio is None or not made.any() or made.all():
            parts, counts = [np.flatnonzero(persons >= 0)], [groups]
            self.free_groups = _share(len(free), len(persons), groups)
        else:
            wanted = made_in_batch(groups, options.made_ratio)
            parts = [np.flatnonzero((persons >= 0) & (made == kind)) for kind in (False, True)]
            self.free_groups = _share(len(free), int(made.sum()), wanted)
            counts = [groups - wanted, wanted]
        if len(free) and not self.free_groups:
            raise UserError(
                f"a batch of {options.batch} has one group of {self.each} for made pictures, but {len(free):,} of them "
                "are of no certain person and the others are; choose a larger batch or made_ratio."
            )
        counts[-1] -= self.free_groups
        self.free = free
        self.pools = [
            Pool(part, persons, count, purpose)
            for part, count, purpose in zip(parts, counts, (PERSONS, MADE_PERSONS), strict=False)
            if count
        ]
        for pool in self.pools:
            pool.check(self.each)

    def rows(self, step: int) -> torch.Tensor:
        """Return which pictures step `step` sees, int64 [B], group by group, those of no certain person last."""
        draw = generator(self.seed, CHOICE, step)
        chosen = [
            np.resize(draw.permutation(rows), self.each)  # repeated where there are fewer
            for pool in self.pools
            for rows in pool.of_step(self.seed, step)
        ]
        if self.free_groups:
            place = rows_of_step(self.seed, step, self.free_groups * self.each, len(self.free), MADE_ORDER)
            chosen.append(self.free[place])
        return torch.from_numpy(np.concatenate(chosen))


class Part:
    """A device's part of another sampler's batches: every `world.size`-th picture, or group of one person, of them.

    Where `made_ratio` sets how many are made, every part has real and made pictures as the whole batch has, one more or
    less.
    """

    def __init__(self, whole: Sampler, options: ReidOptions, world: World) -> None:
        self.whole, self.each, self.world = whole, options.pictures_each or 1, world

    def rows(self, step: int) -> torch.Tensor:
        """Return which pictures this device sees in step `step`, int64 [B / devices]."""
        groups = self.whole.rows(step).view(-1, self.each)
        return groups[self.world.rank :: self.world.size].flatten()


def check_parts(options: ReidOptions, gpus: int) -> None:
    """Raise UserError where a batch has no equal parts for `gpus` devices that can each be learned from."""
    if gpus < 1:
        raise UserError(f"--gpus is {gpus}, but a training needs a device; take at least 1.")
    each, groups = options.pictures_each, options.batch // (options.pictures_each or 1)
    held = f"{groups} groups of {each} pictures (pictures_each)" if each else f"{groups} pictures"
    if groups % gpus:
        raise UserError(
            f"a batch of {held} does not spread evenly over {gpus} devices (--gpus); take a batch that does."
        )
    if gpus > 1 and groups // gpus < 2:
        raise UserError(
            f"a batch of {held} leaves one for each of {gpus} devices (--gpus), which has nothing to compare it with; "
            "take a larger batch or fewer devices."
        )


class Pool:
    """Persons of one kind and their pictures, of whom `groups` different ones come in every step."""

    def __init__(self, rows: np.ndarray, persons: np.ndarray, groups: int, purpose: int) -> None:
        order = rows[np.argsort(persons[rows], kind="stable")]
        starts = np.flatnonzero(np.diff(persons[order])) + 1
        self.pictures = np.split(order, starts) if len(order) else []
        self.groups, self.purpose = groups, purpose

    def check(self, each: int) -> None:
        """Raise UserError where there are fewer persons than groups; say how many have too few pictures."""
        kind = "made persons" if self.purpose == MADE_PERSONS else "persons"
        if len(self.pictures) < self.groups:
            raise UserError(
                f"there are {len(self.pictures)} {kind} to train on, but a batch holds {self.groups} of them; choose a "
                "smaller batch, or more pictures_each."
            )
        sizes = np.array([len(rows) for rows in self.pictures])
        if few := int((sizes < each).sum()):
            say(
                f"{few:,} of {len(sizes):,} {kind} have fewer than {each} training pictures ({(sizes == 1).sum():,} "
                "have a single one), which are repeated within a batch."
            )

    def of_step(self, seed: int, step: int) -> list[np.ndarray]:
        """Return the pictures of each of the step's persons.

        A pass over the persons is cut into whole batches, and the few who are left over miss it: so no batch has a
        person twice.
        """
        batches = len(self.pictures) // self.groups
        order = _order(seed, self.purpose, step // batches, len(self.pictures))
        first = step % batches * self.groups
        return [self.pictures[person] for person in order[first : first + self.groups]]


def _share(part: int, whole: int, groups: int) -> int:
    """Return how many of `groups` are for `part` of `whole` pictures: one at least where there are any."""
    if part in (0, whole):
        return groups if part else 0
    return min(max(1, round(groups * part / whole)), groups - 1)


def rows_of_step(seed: int, step: int, batch: int, count: int, purpose: int = ORDER) -> np.ndarray:
    """Return the rows of a step, int64 [batch], from an endless stream of shuffled passes over `count` rows.

    An epoch's order is drawn from (seed, purpose, epoch). The stream is cut into batches across the border of epochs:
    every batch is full, none is left with the few pictures that batch norm cannot bear, and no picture is left out.
    """
    place = np.arange(step * batch, (step + 1) * batch)
    epoch, within = place // count, place % count
    rows = np.empty(batch, dtype=np.int64)
    for number in np.unique(epoch):
        chosen = epoch == number
        rows[chosen] = _order(seed, purpose, int(number), count)[within[chosen]]
    return rows


def mixed_rows_of_step(seed: int, step: int, real: int, made: int, which: np.ndarray) -> np.ndarray:
    """Return `real` real rows and then `made` made ones, int64 [real + made]; `which` [N] says which rows are made.

    Each kind has its own stream as in `rows_of_step`, so a pass over the one need not end with a pass over the other.
    """
    kinds = (np.flatnonzero(~which), real, ORDER), (np.flatnonzero(which), made, MADE_ORDER)
    return np.concatenate([rows[rows_of_step(seed, step, size, len(rows), purpose)] for rows, size, purpose in kinds])


@lru_cache(maxsize=4)
def _order(seed: int, purpose: int, epoch: int, count: int) -> np.ndarray:
    return generator(seed, purpose, epoch).permutation(count)
