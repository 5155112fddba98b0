"""What is known of how a study was made: recipe, times, machine, versions."""

from __future__ import annotations

import re
from typing import Any

import yaml

from synreid.report import words
from synreid.report.entries import Study
from synreid.stage.errors import UserError
from synreid.stage.files import read_yaml

RECIPE = "recipe.yaml"


def configurations(study: Study) -> list[tuple[str, str]]:
    """Return captioned texts: what was asked, and the recipe that it named."""
    found = [("Asked", yaml.safe_dump(study.config, sort_keys=False, allow_unicode=True))] if study.config else []
    recipe = study.folder / RECIPE
    if recipe.is_file():
        found.append(("Recipe", recipe.read_text(encoding="utf-8", errors="replace")))
    return found


def recipe_of(study: Study) -> dict[str, Any]:
    """Return the recipe as plain values, empty where the folder has none; raises UserError for a damaged one."""
    path = study.folder / RECIPE
    if not path.is_file():
        return {}
    recipe = read_yaml(path)
    if not isinstance(recipe, dict):
        raise UserError(f"{path} holds no options; take the recipe's file in its place.")
    return recipe


def subset_words(study: Study) -> str:
    """Say which part of the data the recipe took, empty where it took all or says nothing of it."""
    subset = recipe_of(study).get("subset")
    if not isinstance(subset, dict):
        return ""
    if isinstance(number := subset.get("identities"), int):
        part = words.several(number, "training person")
    elif isinstance(share := subset.get("fraction"), int | float) and share < 1:
        part = f"{words.percent(share, 0)} % of the training persons"
    else:
        return ""
    return f"{part} (drawn by seed {subset.get('seed')})"


def is_drawn(study: Study) -> bool:
    """Whether no real person can be in the pictures: the study drew its own, and its generator saw no others."""
    own = study.config.get("data", "") is None and (study.folder / "street").is_dir()
    generator = study.config.get("gan") is None and study.generator.get("start") in (None, "street")
    return (own or study.data.get("drawn") is True) and generator


def facts_of(study: Study) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return captioned lists of name and value: times, machine, versions."""
    numbers = {name: value for name, value in study.times.items() if isinstance(value, int | float)}
    times = [(name, words.duration(value)) for name, value in numbers.items()]
    if len(times) > 1 and "total" not in numbers:
        times.append(("sum", words.duration(sum(numbers.values()))))
    when = [(name, value) for name, value in (("started", study.started), ("finished", study.finished)) if value]
    when = [
        (name, re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d):.*(?:\+00:00|Z)$", r"\1 \2 UTC", value)) for name, value in when
    ]
    nested = study.machine.get("versions")
    versions = {**(nested if isinstance(nested, dict) else {}), **study.versions}
    machine = [(key, str(value)) for key, value in study.machine.items() if key != "versions" and value is not None]
    found = [
        ("Times", [*when, *times]),
        ("Machine", machine),
        ("Versions", [(name, str(version)) for name, version in versions.items() if version is not None]),
    ]
    return [(caption, rows) for caption, rows in found if rows]
