"""Whether made pictures are copies of training pictures: their nearest ones, against those of unseen real pictures.

The yardstick is a held-out real picture. Nobody has copied it, so its distance to the nearest training picture says how
near a picture of another person comes by chance. That is the three-sample test of Meehan, Chaudhuri and Dasgupta 2020,
"A Non-Parametric Test to Detect Data-Copying in Generative Models" (AISTATS, arXiv 2004.05675), with one cell. Both
distances go to the same training pictures, so that their number, which changes all distances, does not matter: of few
training pictures both are long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.stats

from synreid.data.table import column, groups
from synreid.features.embedders import Embedder, PixelEmbedder
from synreid.quality.cached import blocks, cached_features, embedded
from synreid.quality.neighbours import nearest, unit_length
from synreid.quality.origin import area_under_roc, auc_interval
from synreid.quality.privacy_words import copied, limits, overall, space_in_words
from synreid.stage.errors import UserError

NEAR = 0.01  # share of held-out pictures whose distance counts as near
QUANTILES = (0.01, 0.05, 0.5)
AGREE = 2  # spaces in which a flagged picture is near
LEAST_HELD_OUT = 20
DRAWS = 21  # of one picture a person
PART = 2048  # pictures whose neighbours are searched at a time


@dataclass(frozen=True)
class Distances:
    """One space: how far M made and H held-out pictures are from their nearest training picture, or its mirror image.

    Distances are Euclidean, 0 or more: of plain pixels in 0 to 1, of a network's features at length 1.
    """

    training: int
    """Number of training pictures."""
    made: np.ndarray
    """Float64 [M]: from each made picture to the nearest training picture."""
    held_out: np.ndarray
    """Float64 [H]: from each held-out picture to the nearest training picture."""
    index: np.ndarray
    """int64 [M]: row of the training picture nearest to each made one."""
    mirrored: np.ndarray
    """bool [M]: whether it is its mirror image that is near."""
    to_held_out: np.ndarray
    """Float64 [M]: from each made picture to the nearest held-out one."""
    held_out_index: np.ndarray
    """int64 [M]: row of that held-out picture."""

    @property
    def threshold(self) -> float:
        """The distance up to which a picture is near: the held-out pictures' 1 % quantile, one of their distances."""
        return float(np.sort(self.held_out)[int(NEAR * (len(self.held_out) - 1))])

    @property
    def near(self) -> np.ndarray:
        """Whether each made picture is near a training picture, bool [M]."""
        return self.made <= self.threshold  # not below: copies of training pictures have distance 0, whatever it is

    @property
    def near_held_out(self) -> np.ndarray:
        """Whether each held-out picture is near a training picture, bool [H]: 1 %, with the one at the threshold."""
        return self.held_out <= self.threshold


def distances(embedder: Embedder, training: np.ndarray, held_out: np.ndarray, made: np.ndarray) -> Distances:
    """Return the distances between pictures, uint8 [N, H, W, 3], [H, ...] and [M, ...] of one size, in one space.

    Mirrored training pictures are taken in by mirroring the other picture instead: of pixels that is the same, of a
    network's features nearly, and a mirrored copy has distance 0 either way. Raises ValueError for unequal sizes.
    """
    if not training.shape[1:] == held_out.shape[1:] == made.shape[1:]:
        raise ValueError(f"pictures are {training.shape[1:]}, {held_out.shape[1:]} and {made.shape[1:]}, not of a size")
    # pixels stay as they are, since brightness is part of a picture
    scaled = (lambda features: features) if isinstance(embedder, PixelEmbedder) else unit_length
    learned, unseen, unseen_mirrored = (
        scaled(cached_features(pictures, embedder)) for pictures in (training, held_out, held_out[:, :, ::-1])
    )
    samples, mirrored_samples = (
        scaled(embedded(blocks(pictures), len(made), embedder)) for pictures in (made, made[:, :, ::-1])
    )
    own, index, mirrored = _nearest(learned, samples, mirrored_samples)
    held, _, _ = _nearest(learned, unseen, unseen_mirrored)
    to_held_out, held_out_index, _ = _nearest(unseen, samples, mirrored_samples)
    return Distances(len(training), own, held, index, mirrored, to_held_out, held_out_index)


def _nearest(real: np.ndarray, made: np.ndarray, mirrored: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distance, row and mirrored or not of each made picture's nearest real one, [M] each."""
    starts = range(0, len(made), PART)
    parts = [nearest(real, made[start : start + PART], mirrored[start : start + PART], 1) for start in starts]
    distance, index, flipped = (
        np.concatenate([getattr(part, name)[:, 0] for part in parts]) for name in ("distance", "index", "mirrored")
    )
    return distance, index, flipped


def flags(near: Sequence[np.ndarray], copied: Sequence[bool] = ()) -> np.ndarray:
    """Return which pictures are flagged, bool [M], of whether they are near in each space, bool [M] each.

    Flagged is what is near in two spaces or more (in the only one, if there is but one), or in a space whose near
    pictures are copies on the whole, as `copied` says of each (`quality.privacy_words.copied`). In a single space 1 %
    of pictures are near by chance: two strangers in like clothes before a like wall have like pixels, and two of like
    build have like re-ID features. A copy is near in all of them, and stays so in two where noise, a shift or another
    colour takes it out of one. `flagged_held_out` in `summarize` says what the rule does to pictures that are none.
    """
    flagged: np.ndarray = np.sum(near, axis=0) >= min(AGREE, len(near))
    for rows, sure in zip(near, copied, strict=False):
        flagged = flagged | rows if sure else flagged
    return flagged


def summarize(
    spaces: Mapping[str, Distances], made_groups: np.ndarray, held_out_groups: np.ndarray, variations: bool = False
) -> dict[str, Any]:
    """Return the numbers of each space, how many are flagged, a verdict in words, and what all that does not show.

    The groups [M], [H] name each picture's person, for the AUC's interval; `variations` says that the made pictures
    are of real persons. `auc` is the chance that a made picture is nearer to training than a held-out one (0.5: no
    nearer). `hit` has which real pictures made ones come as near to as the threshold (`hits`).
    `chance` is that of at least as many near (or flagged) pictures, had they been drawn as the held-out ones are, of
    one picture a person (`chance_by_person`). Raises UserError for fewer than 20 held-out pictures.
    """
    made, held = len(made_groups), len(held_out_groups)
    if held < LEAST_HELD_OUT:
        raise UserError(
            f"there are {held} held-out pictures, too few to say how near pictures come by chance; give data whose "
            f"test split (query and gallery) has {LEAST_HELD_OUT} pictures or more of persons outside training."
        )
    every = list(spaces.values())
    told = {name: _space(found, made_groups, held_out_groups, variations) for name, found in spaces.items()}
    sure = [numbers["copied"] for numbers in told.values()]
    count = int(flags([found.near for found in every], sure).sum())
    by_rule = int(flags([found.near_held_out for found in every], sure).sum())
    whole = {
        "flagged": count,
        "flagged_share": count / made,
        "flagged_held_out": by_rule,
        "flagged_held_out_share": by_rule / held,
        "chance": chance_by_person(every, made_groups, held_out_groups),
        "hit": hits(every),
        "copied_by": [name for name, numbers in told.items() if numbers["copied"]],
    }
    return {
        "spaces": told,
        **whole,
        "verdict": overall(whole, made, held, variations),
        "limits": limits(variations, held),
    }


def chance(count: int, made: int, place: int, held: int) -> float:
    """Return the chance that `count` or more of `made` values lie below the `place`-th smallest of `held`, all alike.

    Alike means drawn from one continuous distribution: then the share below that value is Beta(place, held + 1 - place)
    distributed, and the count beta-binomially.
    """
    return float(scipy.stats.betabinom.sf(count - 1, made, place, held + 1 - place))


def chance_by_person(spaces: Sequence[Distances], made_groups: np.ndarray, held_out_groups: np.ndarray) -> float:
    """Return the `chance` of at least as many flagged pictures, had they been drawn as the held-out ones are.

    It is that of one picture of each person, the median over seeded draws of which: pictures of one person are alike,
    and taking all of them for independent found copies in a fifth to a half of simulations where there were none.
    """
    persons = [groups(names) for names in (made_groups, held_out_groups)]
    alone = all(len(rows) == 1 for part in persons for rows in part)
    rng, chances = np.random.default_rng(0), []
    for _ in range(1 if alone else DRAWS):
        made, held = (np.array([rng.choice(rows) for rows in part]) for part in persons)
        thinned = [replace(found, made=found.made[made], held_out=found.held_out[held]) for found in spaces]
        count, place = (int(flags([getattr(one, kind) for one in thinned]).sum()) for kind in ("near", "near_held_out"))
        if len(spaces) > 1:  # the rule has no threshold of its own, at which one held-out picture would stand
            place = min(place + 1, len(held))
        chances.append(chance(count, len(made), place, len(held)))
    return float(np.median(chances))


def _space(found: Distances, made_groups: np.ndarray, held_out_groups: np.ndarray, variations: bool) -> dict[str, Any]:
    made, held = found.made, found.held_out
    low, high = auc_interval(-held, -made, np.asarray(held_out_groups).astype(str), np.asarray(made_groups).astype(str))
    middle = float(np.median(held))
    near, place = int(found.near.sum()), int(found.near_held_out.sum())
    numbers = {
        "median_ratio": float(np.median(made)) / middle if middle else None,
        "auc": area_under_roc(-held, -made),
        "auc_low": low,
        "auc_high": high,
        "quantiles_made": _quantiles(made),
        "quantiles_held_out": _quantiles(held),
        "threshold": found.threshold,
        "near": near,
        "near_share": near / len(made),
        "near_held_out_share": place / len(held),
        "near_expected": place / (len(held) + 1) * len(made),
        "chance": chance_by_person([found], made_groups, held_out_groups),
        "hit": hits([found]),
    }
    numbers["copied"] = copied(numbers) and not variations
    return {**numbers, "verdict": space_in_words(numbers, len(made), variations)}


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {f"{share:.0%}": float(np.quantile(values, share)) for share in QUANTILES}


def hits(spaces: Sequence[Distances]) -> dict[str, int | float]:
    """Return how many real pictures, training and held-out, are nearest to made ones within the threshold.

    The made pictures are those that `flags` would choose if held-out pictures counted as training pictures do. So those
    that are near to all, since they are smooth or ordinary, hit both kinds alike, and copies hit training; of pictures
    that were chosen for being near training, most would hit training by that choice. Each real picture counts once,
    since ordinary ones are hit again and again. `chance` is that of as many training pictures among those hit, were
    both kinds drawn alike (hypergeometric).
    """
    close = [np.minimum(found.made, found.to_held_out) <= found.threshold for found in spaces]
    chosen = flags(close)
    training, held_out = set[int](), set[int]()
    for found, near in zip(spaces, close, strict=True):
        training.update(found.index[chosen & near & (found.made <= found.to_held_out)].tolist())
        held_out.update(found.held_out_index[chosen & near & (found.to_held_out <= found.made)].tolist())
    kinds = spaces[0].training, len(spaces[0].held_out)
    chance_of = scipy.stats.hypergeom(sum(kinds), kinds[0], len(training) + len(held_out))
    return {
        "training": len(training),
        "held_out": len(held_out),
        "training_share_by_chance": kinds[0] / sum(kinds),
        "chance": float(chance_of.sf(len(training) - 1)),
    }


def privacy_table(
    made: Mapping[str, Sequence[Any] | np.ndarray],
    spaces: Mapping[str, Distances],
    training: np.ndarray,
    flagged: np.ndarray,
) -> pa.Table:
    """Return a row a made picture: the columns `made` (sha256 among them), and of each space what was found.

    `training` are the training pictures' sha256, [N]. Of a space `pixels` the columns are `distance_pixels`,
    `nearest_pixels` (sha256 of the training picture), `mirrored_pixels` and `near_pixels`. `flagged` are the `flags`,
    bool [M].
    """
    columns: dict[str, Any] = {name: pa.array(list(values)) for name, values in made.items()}
    for name, found in spaces.items():
        columns[f"distance_{name}"] = found.made
        columns[f"nearest_{name}"] = pa.array(np.asarray(training)[found.index].tolist(), pa.string())
        columns[f"mirrored_{name}"] = found.mirrored
        columns[f"near_{name}"] = found.near
    return pa.table({**columns, "flagged": flagged})


def too_near(made: pa.Table, audit: pa.Table) -> np.ndarray:
    """Return which rows of the picture table `made` the table of an audit flags, bool [N]: those to leave out.

    Pictures are matched by content (sha256), so a picture that was moved is still known. Raises UserError for a
    picture that the audit has not seen.
    """
    seen, contents = column(audit, "sha256"), column(made, "sha256")
    known, flagged = set(seen), set(seen[column(audit, "flagged")])
    if unknown := [path for path, one in zip(column(made, "path"), contents, strict=True) if one not in known]:
        raise UserError(
            f"{len(unknown)} pictures, {unknown[0]} first, are not in the privacy audit: run synreid privacy on them."
        )
    return np.array([content in flagged for content in contents], dtype=bool)
