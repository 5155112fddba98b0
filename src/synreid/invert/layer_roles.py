"""Which layers hold what: how identity, pose, background and colour change when one layer takes another's style.

Style mixing as in Karras et al. 2019 (StyleGAN), section 3.1, one layer at a time; which layers are coarse, medium and
fine is then read off the measurement of this very generator.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synreid.features.embedders import Embedder
from synreid.features.pose import CONFIDENT, POINTS, PoseFinder, border_strips, torso_colour
from synreid.generate.sample import StyleSampler
from synreid.invert.layer_options import LayerOptions
from synreid.stage.errors import UserError
from synreid.stage.progress import progress

UNITS = {
    "identity": "1 - cosine of features",
    "pose": "mean distance of key points, shares of the height",
    "background": "mean difference at the left and right border, grey levels of 255",
    "colour": "difference of the torso's mean colour, grey levels of 255",
}
NAMES = {2: ("coarse", "fine"), 3: ("coarse", "medium", "fine")}
ENOUGH = 8  # key points that both pictures of a pair must show, of 17
WORTH = 0.3  # share of pose or background: between a picture and its mirror image key points wander by up to 0.23
SAFE = 0.5  # of that share: how much of identity a layer that is safe to change may change
PERSONS = 16  # worked through at a time


@dataclass(frozen=True)
class Change:
    """How much one attribute changed, over persons; None where it could not be measured."""

    mean: float | None
    """In the unit that UNITS gives."""
    error: float | None
    """Its standard error."""
    share: float | None
    """`mean` over the mean change when all layers are replaced: 1 is as different as another person."""
    share_error: float | None
    """Standard error of that ratio (Cochran 1977, "Sampling Techniques", section 6.4)."""

    @property
    def known_share(self) -> float:
        """`share`, NaN where it could not be measured."""
        return math.nan if self.share is None else self.share


Changes = dict[str, Change]


@dataclass(frozen=True)
class Group:
    """Neighbouring layers that do alike, and what changes when all of them are replaced at once."""

    name: str
    layers: str
    """As `generate.persons.layer_group` takes it, such as `0-3`."""
    changes: Changes


@dataclass(frozen=True)
class LayerRoles:
    """What each layer, each proposed group and all layers together change. `pose` is absent where it was left out."""

    layers: tuple[Changes, ...]
    groups: tuple[Group, ...]
    whole: Changes
    persons: int
    identity_by: str
    """Name of the embedder."""
    pose_by: str | None
    """Name of what finds key points."""
    posed: float | None
    """Share of the compared pairs that both show enough key points."""

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes that were measured."""
        return tuple(self.whole)

    def most(self) -> dict[str, str]:
        """Return which group changes each attribute most, replaced as a whole; none for what could not be measured."""
        shares = {name: [(group.changes[name].share, group.name) for group in self.groups] for name in self.names}
        known = {
            name: [(share, group) for share, group in pairs if share is not None] for name, pairs in shares.items()
        }
        return {name: max(pairs)[1] for name, pairs in known.items() if pairs}

    def safe(self) -> tuple[int, ...]:
        """Return the layers that may change in a person's pictures, in their order.

        Such a layer changes pose or background by WORTH of what another person does, or more, and identity by no more
        than SAFE of that: `cost(changes) <= SAFE`.
        """
        costs = [cost(changes) for changes in self.layers]
        return tuple(layer for layer, found in enumerate(costs) if found is not None and found <= SAFE)

    def as_text(self) -> str:
        """Return the table: shares with standard errors, below them what 1 stands for, and what follows from it."""
        rows = [["layers", *self.names, "cost"]]
        parts = [(str(layer), changes) for layer, changes in enumerate(self.layers)]
        parts += [(f"{group.name} {group.layers}", group.changes) for group in self.groups]
        for head, changes in parts:
            rows.append([head, *(_with_error(changes[name]) for name in self.names), _rounded(cost(changes), 2)])
        rows.append(["all (1.00)", *(_rounded(self.whole[name].mean, 4) for name in self.names), ""])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([*lines, "", *self._sentences()])

    def _sentences(self) -> list[str]:
        by = {"identity": self.identity_by, "pose": self.pose_by}
        units = "; ".join(f"{name}: {UNITS[name]}" + (f" ({by[name]})" if name in by else "") for name in self.names)
        most = self.most()
        held = "; ".join(
            f"{group.name} ({group.layers}): {', '.join(name for name in most if most[name] == group.name) or 'none'}"
            for group in self.groups
        )
        safe = ", ".join(map(str, self.safe())) or "none"
        return [
            f"{self.persons} persons; one layer at a time takes another's style; 1 is what all layers together change.",
            f"Units of the last line: {units}.",
            "Pose is left out: nothing that finds key points was at hand."
            if self.posed is None
            else f"{self.posed:.0%} of the pairs show {ENOUGH} key points or more and count for pose.",
            f"Groups, and what each holds most of: {held}.",
            "persons make and persons vary take these ranges (--layers 0-2); there the words coarse, medium and fine "
            "are fixed shares of the layers.",
            f"Cost: identity over the larger of pose and background. Layers safe to change (cost {SAFE:g} at most, for "
            f"{WORTH:g} or more of pose or background): {safe}.",
        ]


def cost(changes: Changes) -> float | None:
    """Return the share of identity over the larger share of pose and background; None where that is below WORTH."""
    gains = [changes[name].share for name in ("pose", "background") if name in changes]
    gain, lost = max((share for share in gains if share is not None), default=0.0), changes["identity"].share
    return lost / gain if lost is not None and gain >= WORTH else None


def _with_error(change: Change) -> str:
    return f"{_rounded(change.share, 2)} \N{PLUS-MINUS SIGN} {_rounded(change.share_error, 2)}"


def _rounded(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def measure_layers(
    sampler: StyleSampler,
    embedder: Embedder,
    options: LayerOptions,
    finder: PoseFinder | None = None,
) -> LayerRoles:
    """Return what each layer of the generator changes, and the groups of layers that follow from it.

    The persons are `options.persons` samples; each takes one layer after another from a sample of a later seed. All
    pictures have the same noise. Without `finder` pose is left out, and regions are taken where a person mostly stands.
    Raises UserError for a generator without layers.
    """
    check_layers(sampler)
    first = options.seed + options.persons
    w = sampler.latents(range(options.seed, first), options.truncation)
    other = sampler.latents(range(first, first + options.persons), options.truncation)
    layers = torch.eye(sampler.num_ws, dtype=torch.bool)
    every = torch.ones(1, sampler.num_ws, dtype=torch.bool)
    found = _changes(sampler, embedder, finder, w, other, torch.cat([layers, every]), options.seed)
    changed, whole = found[:, :-1], found[:, -1]
    summed = [_summary(changed[:, layer], whole, finder) for layer in range(sampler.num_ws)]
    parts = contiguous_groups(np.array([[change.known_share for change in layer.values()] for layer in summed]))
    masks = torch.stack([layers[list(part)].any(0) for part in parts])
    together = _changes(sampler, embedder, finder, w, other, masks, options.seed)
    groups = [
        Group(name, f"{part[0]}-{part[-1]}" if len(part) > 1 else f"{part[0]}", _summary(together[:, k], whole, finder))
        for k, (name, part) in enumerate(zip(NAMES[len(parts)], parts, strict=True))
    ]
    return LayerRoles(
        layers=tuple(summed),
        groups=tuple(groups),
        whole=_summary(whole, whole, finder),
        persons=len(w),
        identity_by=embedder.name,
        pose_by=finder.name if finder else None,
        posed=float(np.isfinite(found[..., 1]).mean()) if finder else None,
    )


def check_layers(sampler: StyleSampler) -> None:
    """Raise UserError for a generator that takes one style and has no layers of it, such as DCGAN's."""
    if sampler.num_ws == 1:
        raise UserError(
            "this generator has no style layers (num_ws 1), so there are none to tell apart; "
            "use one of cfg stylegan2, stylegan3-t or stylegan3-r."
        )


def _changes(
    sampler: StyleSampler,
    embedder: Embedder,
    finder: PoseFinder | None,
    w: Tensor,
    other: Tensor,
    masks: Tensor,
    noise_seed: int,
) -> np.ndarray:
    """Return how much each person of `w` changes, [N, C, 4], where the layers of a mask, [C, num_ws], are `other`'s."""
    found = []
    taken = masks.to(w.device)[None, :, :, None]
    with progress("measuring layers", len(w) * (len(masks) + 1), "pictures") as bar:
        for own, its in zip(w.split(PERSONS), other.split(PERSONS), strict=True):
            styles = torch.cat([own[:, None], torch.where(taken, its[:, None], own[:, None])], dim=1)
            made = sampler.synthesize(styles.flatten(0, 1), [noise_seed] * styles.shape[0] * styles.shape[1])
            found.append(compare(made.reshape(*styles.shape[:2], *made.shape[1:]), embedder, finder))
            bar.advance(len(made))
    return np.concatenate(found)


def compare(pictures: np.ndarray, embedder: Embedder, finder: PoseFinder | None) -> np.ndarray:
    """Return the changes of UNITS, float64 [N, C, 4], from each row's first picture to its others.

    `pictures` is uint8 [N, 1 + C, H, W, 3]. What a pair does not show enough of to be compared is NaN.
    """
    rows, columns, height, width = pictures.shape[:4]
    flat = pictures.reshape(-1, height, width, 3)
    features = embedder.embed(flat).astype(np.float64)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    points, confidence = (np.zeros((len(flat), len(POINTS), 2)), 0.0) if finder is None else finder.find(flat)
    seen = np.broadcast_to(np.asarray(confidence) >= CONFIDENT, points.shape[:2])
    colours = np.stack([torso_colour(*one) for one in zip(flat, points, seen, strict=True)])

    def apart(values: np.ndarray) -> np.ndarray:
        values = values.reshape(rows, columns, *values.shape[1:])
        return values[:, 1:] - values[:, :1]

    def both(values: np.ndarray) -> np.ndarray:
        values = values.reshape(rows, columns, -1)
        return values[:, 1:] & values[:, :1]

    strips, behind = border_strips(flat, points, seen)
    moved = np.linalg.norm(apart(points) * (1, width / height), axis=3)
    changed = np.abs(apart(strips)).mean(-1).reshape(rows, columns - 1, -1)
    return np.stack(
        [
            (apart(features) ** 2).sum(2) / 2,  # 1 - cosine, of unit vectors
            _mean_where(moved, both(seen), ENOUGH),
            _mean_where(changed, both(behind), 1),
            np.abs(apart(colours)).mean(2),
        ],
        axis=2,
    )


def _mean_where(values: np.ndarray, chosen: np.ndarray, least: int) -> np.ndarray:
    """Return the mean of the chosen values along the last axis; NaN where fewer than `least` are chosen."""
    count = chosen.sum(-1)
    return np.where(count >= least, (values * chosen).sum(-1) / np.maximum(count, 1), np.nan)


def _summary(changed: np.ndarray, whole: np.ndarray, finder: PoseFinder | None) -> Changes:
    """Return the mean of `changed` [N, 4] over persons, and its ratio to that of `whole` [N, 4], of each attribute."""
    return {
        name: _change(changed[:, k], whole[:, k])
        for k, name in enumerate(UNITS)
        if name != "pose" or finder is not None
    }


def _change(x: np.ndarray, y: np.ndarray) -> Change:
    own, both = x[np.isfinite(x)], np.isfinite(x) & np.isfinite(y)
    mean, error = (own.mean(), _standard_error(own)) if len(own) else (math.nan, math.nan)
    x, y = x[both], y[both]
    share = x.sum() / y.sum() if y.sum() > 0 else math.nan
    share_error = _standard_error(x - share * y) / y.mean() if y.sum() > 0 else math.nan
    return Change(*(float(v) if np.isfinite(v) else None for v in (mean, error, share, share_error)))


def _standard_error(x: np.ndarray) -> float:
    return float(x.std(ddof=1) / math.sqrt(len(x))) if len(x) > 1 else math.nan


def contiguous_groups(profiles: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Return three groups of neighbouring layers (two of two layers) whose profiles, [L, A], are most alike.

    The cuts are those, of all, with the least sum of squared distances from each profile to its group's mean (Fisher
    1958, "On Grouping for Maximum Homogeneity"); the earliest ones among equals. Attributes with a NaN do not count.
    """
    known = profiles[:, np.isfinite(profiles).all(0)]
    numbers = range(1, len(profiles))
    best = min(itertools.combinations(numbers, min(2, len(numbers))), key=lambda cuts: _within(known, cuts))
    return tuple(tuple(range(a, b)) for a, b in itertools.pairwise((0, *best, len(profiles))))


def _within(profiles: np.ndarray, cuts: Sequence[int]) -> float:
    return sum(float(((part - part.mean(0)) ** 2).sum()) for part in np.split(profiles, cuts))
