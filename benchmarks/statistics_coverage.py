"""How often a study's intervals hold the truth, and how often its tests find an effect where there is none.

    python benchmarks/statistics_coverage.py [--studies 4000] [--out results/statistics]

Simulated studies with known effects go through the functions that a study's own numbers come from, into OUT.json and
OUT.md. Scatter between seeds, test persons and queries is that of the paired differences in mAP of `market-labels` on
Market-1501.
"""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from synreid.reid.bootstrap import resampled_means
from synreid.stage.files import write_json, write_text
from synreid.stage.log import say
from synreid.stage.machine import machine
from synreid.study.clustered import sign_flip_p, two_way_interval
from synreid.study.statistics import holm, monotone_contrast, slopes, t_interval

SEED = 0
GOAL, ALARMS = (0.93, 0.97), 0.05
SEEDS, EFFECTS = (3, 5, 10), (0.0, 0.5, 2.0)
BLOCK = 250  # studies at a time
RESAMPLES = 500
QUERIES = np.repeat([2, 3, 4, 5, 6], [27, 89, 222, 313, 99])  # of each of Market-1501's 750 test persons
# standard deviations in points: of a difference between seeds; of a person's part in it, the same for all seeds; of
# what a seed makes of a person; of a query. With Market's persons the last three give errors of 0.15 and 0.21 points.
BY_SEED, BY_PERSON, BY_BOTH, BY_QUERY = 0.7, 4.0, 4.0, 8.0
AMOUNTS = np.arange(20, 360, 20)  # 17 of them
NESTED = 0.8  # correlation of what the pictures of two neighbouring amounts do, the smaller lying within the larger
NOISES = {
    "normal": "bell-shaped",
    "skewed": "skewed",
    "extreme": "exponential",
}
SCATTER = 2.0  # points, of a difference in Rank-1 between seeds
MOVED, FAVOUR = 0.2, 0.3  # share of queries that only one model gets right; sd of a person's share in favour of one


def scatter(noise: str, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return noise of mean 0 and variance 1."""
    if noise == "normal":
        return rng.standard_normal(shape)
    if noise == "extreme":
        return rng.standard_exponential(shape) - 1
    added, control = ((rng.standard_gamma(2, shape) - 2) / np.sqrt(2) for _ in range(2))
    return 0.8 * added - 0.6 * control  # the arm with made pictures scatters more


def study_sums(
    seeds: int, effect: float, noise: str, queries: np.ndarray, studies: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the persons' sums of paired differences [C, studies, seeds] and the true effect on these persons."""
    persons, n = len(queries), queries[:, None, None]
    own = BY_PERSON * scatter(noise, rng, (persons, studies, 1))
    of_both = np.sqrt(BY_BOTH**2 + BY_QUERY**2 / n) * rng.standard_normal((persons, studies, seeds))
    by_seed = BY_SEED * scatter(noise, rng, (studies, seeds))
    return n * (effect + by_seed + own + of_both), effect + (n * own).sum(0)[:, 0] / queries.sum()


def blocks(studies: int) -> Iterator[int]:
    """Yield sizes of blocks that add up to `studies`."""
    for start in range(0, studies, BLOCK):
        yield min(BLOCK, studies - start)


def coverage(
    seeds: int, effect: float, noise: str, queries: np.ndarray, studies: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Return the share of studies whose intervals hold the effect, and half their mean widths, in points."""
    found: dict[str, list[np.ndarray]] = {}
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    for size in blocks(studies):
        sums, here = study_sums(seeds, effect, noise, queries, size, rng)
        means = sums.sum(0) / queries.sum()
        draws = resampled_means(sums.reshape(len(queries), -1), queries, RESAMPLES, int(rng.integers(2**31)))
        draws = draws.reshape(RESAMPLES, size, seeds)
        low, high, p = t_interval(means)
        half, _, _ = two_way_interval(means, draws, len(queries))
        ends = np.quantile(np.einsum("rks,rs->rk", draws, weights), [0.025, 0.975], axis=0)
        off = np.abs(means.mean(-1) - effect)
        of_seeds = np.quantile(means @ weights.T, [0.025, 0.975], axis=1)
        block = {
            "seeds": (low <= here) & (here <= high),
            "seeds_half": (high - low) / 2,
            "seeds_other_persons": (low <= effect) & (effect <= high),
            "persons": off <= half,
            "persons_half": half,
            "percentile_both": (ends[0] <= effect) & (effect <= ends[1]),
            "percentile_seeds": (of_seeds[0] <= here) & (here <= of_seeds[1]),
            "p_below_5": p < 0.05,
        }
        for key, value in block.items():
            found.setdefault(key, []).append(value)
    shares = {key: float(np.concatenate(values).mean()) for key, values in found.items()}
    return {"seeds_trained": seeds, "effect": effect, "noise": noise, "test_persons": len(queries), **shares}


def sweep_differences(seeds: int, nested: bool, noise: str, studies: int, rng: np.random.Generator) -> np.ndarray:
    """Return differences [studies, seeds, 17] of a sweep in which nothing helps."""
    shape = (studies, seeds, len(AMOUNTS))
    if not nested:
        return BY_SEED * scatter(noise, rng, shape)
    added, control = (scatter(noise, rng, shape) for _ in range(2))
    for place in range(1, len(AMOUNTS)):
        added[..., place] *= np.sqrt(1 - NESTED**2)
        added[..., place] += NESTED * added[..., place - 1]
    return BY_SEED * (added + control) / np.sqrt(2)


def sweep(seeds: int, nested: bool, noise: str, studies: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return shares of false alarms of a sweep of 17 amounts without any effect."""
    values = sweep_differences(seeds, nested, noise, studies, rng)
    means = values.mean(1)
    best = means.argmax(1)
    _, _, p = t_interval(values.swapaxes(1, 2))
    of_best = np.take_along_axis(p, best[:, None], 1)[:, 0]
    low, high, of_slope = t_interval(slopes(AMOUNTS, values))
    _, _, of_trend = t_interval(values @ monotone_contrast(len(AMOUNTS)))
    return {
        "seeds_trained": seeds,
        "nested": nested,
        "noise": noise,
        "holm": float((holm(p) < 0.05).any(1).mean()),
        "uncorrected": float((p < 0.05).any(1).mean()),
        "best_of_17": float(((of_best < 0.05) & (means.max(1) > 0)).mean()),
        "best_gain": float(means.max(1).mean()),
        "slope_covered": float(((low <= 0) & (high >= 0)).mean()),
        "slope": float((of_slope < 0.05).mean()),
        "trend": float((of_trend < 0.05).mean()),
        "page": page_alarms(values) if (seeds, noise) == (5, "normal") else None,
    }


def page_alarms(values: np.ndarray) -> float:
    """Return the share of studies [studies, seeds, amounts] in which Page's test, two-sided, finds a trend."""
    p = [[stats.page_trend_test(side).pvalue for side in (study, study[:, ::-1])] for study in values]
    return float((2 * np.min(p, axis=1) < 0.05).mean())


def single_runs(studies: int, rng: np.random.Generator) -> dict[str, float]:
    """Return what the best of 17 single trainings seems to gain over one without made pictures, where nothing helps."""
    runs = BY_SEED / np.sqrt(2) * rng.standard_normal((studies, len(AMOUNTS) + 1))
    gain = runs[:, 1:].max(1) - runs[:, 0]
    return {"above": float((gain > 0).mean()), "gain": float(gain.mean())}


def first_places(seeds: int, sd: float, studies: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return false alarms at Rank-1 of McNemar's test by query and by person, and of the t test over seeds."""
    found = []
    for size in blocks(studies):
        shift = sd / 100 * rng.standard_normal((size, seeds, 1))
        favour = FAVOUR * MOVED * rng.choice([-1, 1], (size, 1, len(QUERIES)))
        for_added = np.clip((MOVED + shift + favour) / 2, 0, 1)
        gained, lost = (rng.binomial(QUERIES, share) for share in (for_added, MOVED - for_added))
        net = gained - lost
        _, _, p = t_interval(net.sum(2) / QUERIES.sum())
        all_gained, all_lost = gained.sum((1, 2)), lost.sum((1, 2))
        for place in range(size):
            moved = int(all_gained[place] + all_lost[place])
            by_query = stats.binomtest(int(all_gained[place]), moved, 0.5).pvalue
            found.append((by_query < 0.05, sign_flip_p(net[place].sum(0)) < 0.05, p[place] < 0.05))
    by_query, by_person, by_seed = np.mean(found, axis=0).tolist()
    return {"seeds_trained": seeds, "sd": sd, "by_query": by_query, "by_person": by_person, "t_by_seed": by_seed}


def measure(studies: int) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of the result."""
    small = QUERIES[:: len(QUERIES) // 60][:60]
    asked = [(seeds, effect, noise, QUERIES) for noise in ("normal", "skewed") for seeds in SEEDS for effect in EFFECTS]
    asked += [(seeds, 0.5, "normal", small) for seeds in SEEDS]
    asked += [(seeds, 0.5, "extreme", QUERIES) for seeds in SEEDS]
    rows: dict[str, list[dict[str, Any]]] = {"coverage": [], "sweep": [], "first_places": []}
    for place, cell in enumerate(asked):
        rows["coverage"].append(coverage(*cell, studies, np.random.default_rng((SEED, 0, place))))
        say(f"intervals, {place + 1} of {len(asked)}: {rows['coverage'][-1]}")
    sweeps = [(seeds, nested, noise) for noise in ("normal", "skewed") for nested in (False, True) for seeds in SEEDS]
    for place, way in enumerate(sweeps):
        rows["sweep"].append(sweep(*way, studies, np.random.default_rng((SEED, 1, place))))
        say(f"sweeps, {place + 1} of {len(sweeps)}: {rows['sweep'][-1]}")
    for place, sd in enumerate((0.0, SCATTER)):
        rows["first_places"].append(first_places(5, sd, studies, np.random.default_rng((SEED, 2, place))))
        say(f"first places: {rows['first_places'][-1]}")
    rows["single_runs"] = [single_runs(studies, np.random.default_rng((SEED, 3)))]
    return rows


INTERVALS = {
    "seeds": "other seeds, these test persons (`low`, `high`)",
    "persons": "other seeds and other test persons (`persons`)",
    "seeds_other_persons": "not so used: the first, taken for other test persons",
    "percentile_both": "not used: seeds and persons redrawn, percentiles",
    "percentile_seeds": "not used: seeds redrawn, percentiles",
}
TESTS = {
    "holm": "some amount, after Holm's correction (`p_holm`)",
    "slope": "the slope (`dose`, `p`)",
    "trend": "the trend (`dose`, `trend_p`)",
    "uncorrected": "not used: some amount, uncorrected",
    "best_of_17": "not used: the best of the 17, by its own test",
    "page": "not used: Page's trend test",
}


def as_text(result: dict[str, Any]) -> str:
    """Return the result as tables in plain words."""
    whole, single, places = result["coverage"], result["single_runs"][0], result["first_places"]
    usual = [row for row in whole if row["noise"] != "extreme" and row["test_persons"] == len(QUERIES)]
    few = [row for row in whole if row["test_persons"] < len(QUERIES)]
    extreme = [row for row in whole if row["noise"] == "extreme"]
    host = result["machine"]
    parts = [
        "# Statistics of a study: how often its intervals hold the truth, and how often its tests err",
        f"{result['studies']:,} simulated studies a row, with a known effect (0, 0.5 and 2 points of mAP), through the "
        "functions that a study's own numbers come from. A 95 % interval is to hold the truth in 93 to 97 of 100 "
        "studies, and a test is to find something where there is nothing in at most 5 of 100. Scatter as measured on "
        f"Market-1501 (`market-labels`): the paired difference of two arms varies by {BY_SEED} points between seeds; "
        f"{len(QUERIES)} test persons, {QUERIES.sum():,} queries. What misses its goal by more than chance is "
        "**bold**.",
        f"In short: a study's two intervals held the truth in {_range(usual, 'seeds')} and {_range(usual, 'persons')} "
        f"of 100 studies, but only in {_range(extreme, 'seeds')} and {_range(extreme, 'persons')} where seeds differ "
        "as skewed as an exponential law. A sweep over 17 amounts of which none helps found an amount that does in "
        f"{_range(result['sweep'], 'holm')} of 100 after Holm's correction, and in "
        f"{_range(result['sweep'], 'uncorrected')} without it.",
        "## Share of studies whose interval holds the true effect (%)",
        _coverage_table(usual),
        "Ranges are over the three effects. Skewed: trainings that go wrong go far wrong, and those with made pictures "
        "scatter more than their controls. The same with 60 test persons, as few as in the drawn set `street`, where "
        "the choice of persons matters and the first interval does not know of it:",
        _coverage_table(few),
        "## Share of studies whose test by seeds (`p`) finds the effect (%)",
        _power_table([row for row in usual if row["noise"] == "normal" and row["effect"] > 0]),
        "## Where they end (%)",
        "Differences between seeds as skewed as an exponential law:",
        _coverage_table(extreme),
        "## Share of sweeps over 17 amounts that find an effect where there is none (%)",
        _sweep_table(result["sweep"]),
        "Nested: the pictures of a smaller amount lie within those of a larger one, as in our studies, so that "
        f"neighbouring amounts err alike (what their pictures do correlates by {NESTED}). Page's test takes them for "
        "independent, so it is not used. The best of 17 means "
        f"seems to gain {_range(result['sweep'], 'best_gain', 1, 1)} points where nothing helps; the best of 17 "
        f"single trainings lies above one training without made pictures in {single['above']:.0%} of sweeps, by "
        f"{single['gain']:.1f} points on average.",
        "## Rank-1: share of studies of 5 seeds that find a difference where the method makes none (%)",
        _places_table(places),
        "McNemar's test asks whether *these models* differ, and two trainings of one recipe do. So it is no test of "
        "the method, and stands beside the t test over seeds, never instead of it. Of these models it is right where a "
        "person's queries are kept together; the plain one takes each query for itself. The t test in turn speaks of "
        "these test persons: where they favour one arm in all trainings, it takes that for the method's.",
        f"Made by `{result['command']}` in {result['seconds']:.0f} s; seed {result['seed']}; {host['cpu']}, "
        f"{host['cores']} cores; numpy {host['versions']['numpy']}, scipy {result['scipy']}.",
    ]
    return "\n\n".join(part if part[0] in "#|" else textwrap.fill(part, 120) for part in parts) + "\n"


def _range(rows: list[dict[str, Any]], key: str, scale: float = 100, digits: int = 1) -> str:
    low, high = (f"{end(row[key] for row in rows) * scale:.{digits}f}" for end in (min, max))
    return low if low == high else f"{low} to {high}"


def _marked(rows: list[dict[str, Any]], key: str, least: float, most: float) -> str:
    """Return the rows' range in %, bold where one misses its goal by more than chance."""
    if any(row[key] is None for row in rows):
        return ""
    slack = 0.007  # two standard errors of a share of 95 % of 4,000 studies
    missed = any(not least - slack <= row[key] <= most + slack for row in rows)
    return f"**{_range(rows, key)}**" if missed else _range(rows, key)


def _table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines))


def _coverage_table(rows: list[dict[str, Any]]) -> str:
    kinds = list(dict.fromkeys((row["noise"], row["seeds_trained"]) for row in rows))
    groups = [[row for row in rows if (row["noise"], row["seeds_trained"]) == kind] for kind in kinds]
    head = ["seeds vary", "seeds", *INTERVALS.values()]
    return _table(
        head,
        [
            [NOISES[noise], str(seeds), *(_marked(group, key, *GOAL) for key in INTERVALS)]
            for (noise, seeds), group in zip(kinds, groups, strict=True)
        ],
    )


def _power_table(rows: list[dict[str, Any]]) -> str:
    effects = list(dict.fromkeys(row["effect"] for row in rows))
    lines = []
    for seeds in SEEDS:
        mine = {row["effect"]: row for row in rows if row["seeds_trained"] == seeds}
        lines.append([str(seeds), *(_range([mine[effect]], "p_below_5") for effect in effects)])
    return _table(["seeds", *(f"{effect:g} points" for effect in effects)], lines)


def _sweep_table(rows: list[dict[str, Any]]) -> str:
    head = ["seeds vary", "amounts", "seeds", *TESTS.values()]
    lines = []
    for row in rows:
        facts = [NOISES[row["noise"]], "nested" if row["nested"] else "independent", str(row["seeds_trained"])]
        lines.append([*facts, *(_marked([row], key, 0, ALARMS) for key in TESTS)])
    return _table(head, lines)


def _places_table(rows: list[dict[str, Any]]) -> str:
    head = ["trainings of one recipe", "McNemar, plain", "McNemar by person (`mcnemar`)", "t test over seeds (`p`)"]
    keys = ("by_query", "by_person", "t_by_seed")
    return _table(
        head,
        [
            [
                "are alike" if row["sd"] == 0 else f"differ by {row['sd']:.0f} points",
                *(_marked([row], key, 0, ALARMS) for key in keys),
            ]
            for row in rows
        ],
    )


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000, help="simulated studies of each row")
    parser.add_argument("--out", type=Path, default=Path("results/statistics"))
    given = parser.parse_args()
    start = time.perf_counter()
    result = {
        "what": "how often a study's intervals hold the truth, and how often its tests find what is not there",
        "command": f"python benchmarks/statistics_coverage.py --studies {given.studies}",
        "studies": given.studies,
        "goal": {"coverage": GOAL, "false_alarms": ALARMS},
        "points": {"seeds": BY_SEED, "person": BY_PERSON, "seed_and_person": BY_BOTH, "query": BY_QUERY},
        **measure(given.studies),
        "seed": SEED,
        "seconds": round(time.perf_counter() - start, 1),
        "scipy": version("scipy"),
        "machine": machine(),
    }
    write_json(given.out.with_suffix(".json"), result)
    write_text(given.out.with_suffix(".md"), as_text(result))


if __name__ == "__main__":
    main()
