"""Writes one page that holds several studies against each other: answers, headline differences, recipes, arms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synreid.report import answers, figures
from synreid.report.entries import Study
from synreid.report.facts import is_drawn, recipe_of
from synreid.report.folder import read_study
from synreid.report.page import page_file, render, tables_of
from synreid.report.tables import Cell, Table, write_csv
from synreid.report.words import METRIC_NAMES, NONE, count, duration, interval, mean_sd, points, several
from synreid.stage.errors import UserError
from synreid.stage.files import write_text

PAGE = "comparison.html"
SHOWN = ("map", "rank1")
SAME_IN_NAME_ONLY = ("name", "question")  # keys of a recipe that say nothing of what was done


def write_comparison(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page that compares two studies or more and return its path.

    `out` is the HTML file, by default `comparison.html` in the first study's folder; its tables are written as CSV
    files into the folder of `page.tables_of`. The studies are not paired with each other: their seeds, data and
    machines may differ, so each keeps its own interval and none is computed between them.

    Raises UserError for fewer than two folders, for one that is named twice, and for one that is no study.
    """
    if len(folders) < 2:
        raise UserError(f"{len(folders)} study is named, but a comparison takes two or more; name another folder.")
    places = [Path(folder).resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"{folder} is named twice, but a study says nothing against itself; name another folder.")
    studies = [read_study(Path(folder)) for folder in folders]
    tables = tables_of(studies[0].folder, out)
    out = page_file(out, studies[0].folder / PAGE)
    context = comparison_context(studies)
    page = render("compare.html.j2", context)
    for table in context["tables"].values():
        write_csv(tables / f"{table.name}.csv", table.csv)
    write_text(out, page)
    return out


def comparison_context(studies: Sequence[Study]) -> dict[str, Any]:
    """Return everything that the template names."""
    names = names_of(studies)
    found = [headline_table(studies, names), arms_table(studies, names), recipe_table(studies, names)]
    return {
        "studies": [
            {
                "name": name,
                "study": study,
                "headline": study.headline,
                "verdict": answers.verdict(study.headline),
                "drawn": is_drawn(study),
            }
            for name, study in zip(names, studies, strict=True)
        ],
        "figures": [
            figure
            for metric in SHOWN
            if (figure := figures.headlines(dict(zip(names, studies, strict=True)), metric)) is not None
        ],
        "verdict": _verdict(studies),
        "in_numbers": _in_numbers(studies, names),
        "tables": {table.name: table for table in found if table is not None},
        "without_recipe": [name for name, study in zip(names, studies, strict=True) if not recipe_of(study)],
    }


def names_of(studies: Sequence[Study]) -> list[str]:
    """Return a short name for each study: its folder's, with as many folders above it as tell them apart."""
    parts = [study.folder.resolve().parts for study in studies]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-depth:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    return [str(study.folder) for study in studies]


def _verdict(studies: Sequence[Study]) -> str:
    """Say in how many studies the headline's interval lies where."""
    verdicts = [study.headline.verdict if study.headline else "none" for study in studies]
    above, below = verdicts.count("above"), verdicts.count("below")
    return (
        f"Of {several(len(verdicts), 'study', 'studies')}, made pictures raise mAP in {above}, lower it in {below}, "
        f"and in {len(verdicts) - above - below} that is not settled."
    )


def _in_numbers(studies: Sequence[Study], names: Sequence[str]) -> str:
    """Say what each headline is, and whether the intervals have a point in common."""
    headlines = {name: d for name, study in zip(names, studies, strict=True) if (d := study.headline) is not None}
    if not headlines:
        return "None of these studies lists a difference of an augmented arm against a control."
    told = [f"{name} {points(d.mean)} points ({interval(d.low, d.high)})" for name, d in headlines.items()]
    text = f"In mAP, with 95 % intervals: {'; '.join(told)}."
    bounds = [(d.low, d.high) for d in headlines.values() if d.low is not None and d.high is not None]
    if len(bounds) == len(headlines) > 1:
        apart = max(low for low, _ in bounds) > min(high for _, high in bounds)
        text += " At least two of the intervals have no point in common." if apart else " All the intervals overlap."
    return text


def headline_table(studies: Sequence[Study], names: Sequence[str]) -> Table:
    """The headline difference of each study, in mAP and Rank-1, with what it rests on."""
    rows: list[list[str]] = []
    csv_rows: list[list[Cell]] = []
    for name, study in zip(names, studies, strict=True):
        headline = study.headline
        pair = (headline.arm, headline.against) if headline else ("", "")
        shown = [name, *((study.title(arm) if arm else NONE) for arm in pair)]
        cells: list[Cell] = [name, study.recipe, *pair, len(study.seeds)]
        for metric in SHOWN:
            d = next((d for d in study.differences if (d.arm, d.against, d.metric) == (*pair, metric)), None)
            shown += [points(d.mean if d else None), interval(d.low, d.high) if d else NONE]
            cells += [d.mean, d.low, d.high] if d else [None] * 3
        seconds = sum(value for value in study.times.values() if isinstance(value, int | float))
        rows.append([*shown, count(len(study.seeds)), duration(seconds or None)])
        csv_rows.append([*cells, seconds or None])
    measured = [head for metric in SHOWN for head in (METRIC_NAMES[metric], "95 % interval")]
    return Table(
        name="comparison-headlines",
        caption="The arm that each study's answer is about, against its control, in percentage points.",
        head=["study", "arm", "against", *measured, "seeds", "time"],
        rows=rows,
        csv_head=[
            *("study", "recipe", "arm", "against", "seeds"),
            *(f"{metric}_{part}" for metric in SHOWN for part in ("difference", "low", "high")),
            "seconds",
        ],
        csv_rows=csv_rows,
        words=3,
    )


def arms_table(studies: Sequence[Study], names: Sequence[str]) -> Table | None:
    """The arms that two studies or more have by the same name, None where there is none."""
    order = dict.fromkeys(arm.name for study in studies for arm in study.arms)
    shared = [name for name in order if sum(study.arm(name) is not None for study in studies) > 1]
    if not shared:
        return None
    rows: list[list[str]] = []
    csv_rows: list[list[Cell]] = []
    for arm in shared:
        values = [study.values(arm, metric) for metric in SHOWN for study in studies]
        title = next(study.title(arm) for study in studies if study.arm(arm) is not None)
        rows.append([title, *(mean_sd(own) for own in values)])
        means: list[Cell] = [sum(own) / len(own) if own else None for own in values]
        csv_rows.append([arm, *means])
    alone = len(order) - len(shared)
    others = f" {count(alone)} more {'is' if alone == 1 else 'are'} in one study alone." if alone else ""
    return Table(
        name="comparison-arms",
        caption=f"Arms of the same name: mean ± standard deviation over the seeds, in percent.{others}",
        head=["arm", *(f"{METRIC_NAMES[metric]}, {name}" for metric in SHOWN for name in names)],
        rows=rows,
        csv_head=["arm", *(f"{metric}_mean {name}" for metric in SHOWN for name in names)],
        csv_rows=csv_rows,
    )


def recipe_table(studies: Sequence[Study], names: Sequence[str]) -> Table | None:
    """The options that are not the same in all recipes, with the data and the machine; None where all agree."""
    recipes = [_options(study) for study in studies]
    facts = [{**_facts(study), **options} for study, options in zip(studies, recipes, strict=True)]
    keys = dict.fromkeys(key for own in facts for key in own)
    of_recipes = {key for options in recipes for key in options}
    differing = []
    for key in keys:
        told = [own for own, options in zip(facts, recipes, strict=True) if options or key not in of_recipes]
        if len({own.get(key, NONE) for own in told}) > 1:
            differing.append(key)
    if not differing:
        return None
    return Table(
        name="comparison-recipes",
        caption="Options, data and machine that differ; all others are the same. A dash: not given.",
        head=["option", *names],
        rows=[[key, *(own.get(key, NONE) for own in facts)] for key in differing],
        csv_head=["option", *names],
        csv_rows=[[key, *(own.get(key) for own in facts)] for key in differing],
        words=1 + len(names),
    )


def _options(study: Study) -> dict[str, str]:
    """Return the recipe's options, spelled with dots, without those that are left out or empty."""
    recipe = {key: value for key, value in recipe_of(study).items() if key not in SAME_IN_NAME_ONLY}
    return {
        key: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in _flat(recipe).items()
        if value not in (None, [], {})
    }


def _flat(options: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in options.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def _facts(study: Study) -> dict[str, str]:
    """Return what else tells a study from another, each under a name."""
    data = {f"data: {key}": study.data.get(key) for key in ("name", "train_pictures", "query", "gallery")}
    machine = {f"machine: {key}": study.machine.get(key) for key in ("cpu", "cores", "gpu", "commit")}
    generator = study.generator.get("fingerprint")
    own = {"recipe": study.recipe, **data, **machine, "generator: fingerprint": generator}
    return {key: str(value) for key, value in own.items() if value not in (None, "")}
