"""What a privacy audit's numbers say in plain words, and what they do not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHANCE = 0.001  # below it a count is no accident
ODDS = 2.0  # of training pictures to be hit, over those of chance, from which on copying is suspected
HIT_CHANCE = 0.01  # below it more training pictures are hit than by accident


def space_in_words(numbers: Mapping[str, Any], made: int, variations: bool) -> str:
    """Return a sentence on one space's numbers (`quality.privacy.summarize`) for `made` pictures."""
    count = (
        f"{numbers['near']:,} of {made:,} made pictures are as near to a training picture as the nearest "
        f"{numbers['near_held_out_share']:.1%} of unseen real ones, where about {numbers['near_expected']:.0f} would "
        "be by chance"
    )
    if variations:
        return f"{count[0].upper()}{count[1:]}."
    if numbers["chance"] >= CHANCE:
        on_the_whole = "nearer on the whole" if numbers["auc_low"] > 0.5 else "no nearer on the whole"
        auc = f"AUC {numbers['auc']:.3f}, 95 % interval {numbers['auc_low']:.3f} to {numbers['auc_high']:.3f}"
        return f"No clear sign of copying: {count}; {_as_many(numbers)}; they are {on_the_whole} ({auc})."
    if copied(numbers):
        return f"Suspicious: {count}, and {_hit(numbers['hit'])}."
    return (
        f"Near, yet not clearly by copying: {count}, but {_hit(numbers['hit'])}. Smooth and ordinary pictures are near "
        "to all."
    )


def overall(numbers: Mapping[str, Any], made: int, held: int, variations: bool) -> str:
    """Return the verdict on `made` pictures, of what is flagged among them and among `held` held-out pictures."""
    count = (
        f"{numbers['flagged']:,} of {made:,} made pictures are flagged ({numbers['flagged_share']:.2%}); of unseen "
        f"real pictures the same rule flags {numbers['flagged_held_out']:,} of {held:,} "
        f"({numbers['flagged_held_out_share']:.2%})"
    )
    if variations:
        return f"{count}. They are variations of real persons, so nearness is by design: the number says how near."
    if numbers["copied_by"]:
        return (
            f"Training pictures were copied, as {' and '.join(numbers['copied_by'])} tell: {count}. Leave the flagged "
            "ones out."
        )
    if numbers["chance"] >= CHANCE:
        ending = " Look at the flagged ones all the same, and leave them out." if numbers["flagged"] else ""
        return f"No clear sign of copying on the whole: {count}; {_as_many(numbers)}.{ending}"
    if copied(numbers):
        return f"Training pictures were copied: {count}, and {_hit(numbers['hit'])}. Leave the flagged ones out."
    return (
        f"More are near than chance explains: {count}. But {_hit(numbers['hit'])}, and smooth or ordinary pictures are "
        "near to all: look at the sheet before calling them copies."
    )


def limits(variations: bool, held: int) -> list[str]:
    """Return what an audit against `held` held-out pictures does not show, a sentence or two each."""
    told = [
        "It can show that training pictures were copied. It cannot show that nobody is recognisable: a face, a tattoo "
        "or rare clothes may come through in a picture that is far from every training picture.",
        "Held-out pictures show other persons than training pictures do. So a made picture that shows a training "
        "person anew, as no training picture does, may count as near too, mainly in re-ID features; nearness there is "
        "not yet a copied picture.",
        "Nearness is judged in the spaces named here, at the made pictures' resolution. A part of a picture that is "
        "copied into another one need not be seen.",
        "A few copies among many pictures need not change the verdict; that they are flagged is what counts for them.",
        "A re-ID model or embedder that was trained on these very training pictures makes them stand apart from all "
        "others: judge by one that was trained on other persons.",
    ]
    if variations:
        told.insert(
            0,
            "These pictures are variations of real persons: each is made from a picture of a real person and shows "
            "that person by construction. No distance makes them anonymous.",
        )
    if held <= 100:
        told.append(f"With {held} held-out pictures the nearest 1 % of them is a single picture.")
    return told


def copied(numbers: Mapping[str, Any]) -> bool:
    """Tell from the `chance` and the `hit` of near pictures whether they are copies on the whole."""
    return bool(numbers["chance"] < CHANCE and _mostly_training(numbers["hit"]))


def _mostly_training(hit: Mapping[str, Any]) -> bool:
    """Tell from `quality.privacy.hits` whether training pictures are hit clearly more readily than held-out ones."""
    by_chance = hit["training_share_by_chance"]
    often = hit["training"] * (1 - by_chance) >= ODDS * by_chance * hit["held_out"]
    return bool(often and hit["chance"] < HIT_CHANCE)


def _as_many(numbers: Mapping[str, Any]) -> str:
    return f"counted once a person, at least as many come by chance with probability {numbers['chance']:.2g}"


def _hit(hit: Mapping[str, Any]) -> str:
    real = hit["training"] + hit["held_out"]
    return (
        f"of the {real:,} real pictures that made ones come so near to, {hit['training']:,} are training pictures (by "
        f"chance {hit['training_share_by_chance'] * real:.0f})"
    )
