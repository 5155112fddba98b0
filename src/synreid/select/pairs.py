"""Pairs of pictures for scores that compare two: of one person, and of two persons."""

from __future__ import annotations

import numpy as np

from synreid.data.table import groups

MOST = 500  # pictures of a person that lend pairs, so that their number stays small


def same_pairs(persons: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return up to `count` different pairs of rows, int64 `[P, 2]`, of one person each.

    Persons lend equally many pairs as far as they have them, so that one with many pictures does not outweigh others.
    """
    rng = np.random.default_rng(seed)
    pairs, turns = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for members in groups(persons):
        if len(members) > MOST:
            members = np.sort(rng.permutation(members)[:MOST])
        first, second = np.triu_indices(len(members), 1)
        pairs.append(np.stack([members[first], members[second]], axis=1))
        turns.append(rng.permutation(len(first)))
    every, turn = np.concatenate(pairs), np.concatenate(turns)
    return every[np.lexsort((rng.random(len(every)), turn))[:count]]


def different_pairs(persons: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return up to `count` different pairs of rows, int64 `[P, 2]`, of two persons each, drawn over all pictures."""
    rng = np.random.default_rng(seed)
    sizes = np.unique(persons, return_counts=True)[1]
    count = min(count, (len(persons) ** 2 - int((sizes**2).sum())) // 2)  # of that many there are
    drawn = np.zeros((0, 2), dtype=np.int64)
    while len(drawn) < count:  # some that are drawn are of one person, some come twice
        more = np.sort(rng.integers(0, len(persons), (2 * count, 2)), axis=1)
        drawn = np.concatenate([drawn, more[persons[more[:, 0]] != persons[more[:, 1]]]])
        drawn = drawn[np.sort(np.unique(drawn, axis=0, return_index=True)[1])]
    return drawn[:count]
