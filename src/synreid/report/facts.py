"""What is known of how a study was made: recipe, times, machine, versions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from synreid.report import words
from synreid.report.entries import Study
from synreid.stage.errors import UserError
from synreid.stage.files import read_yaml
from synreid.stage.folder import CONFIG

RECIPE = "recipe.yaml"
STREET = "street"  # where a study draws its own pictures, and the shipped generator, which learned from such ones


def configurations(study: Study) -> list[tuple[str, str]]:
    """Return captioned texts: what was asked, and the recipe that it named."""
    found = [("Asked", yaml.safe_dump(study.config, sort_keys=False, allow_unicode=True))] if study.config else []
    recipe = study.folder / RECIPE
    if recipe.is_file():
        found.append(("Recipe", recipe.read_text(encoding="utf-8", errors="replace")))
    return found


def recipe_of(study: Study) -> dict[str, Any]:
    """Return the recipe as plain values, empty where the folder has none; raises UserError for a damaged one."""
    return _recipe(study.folder)


def _recipe(folder: Path) -> dict[str, Any]:
    path = folder / RECIPE
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
    asked = study.config or _asked(study.folder)
    drew = study.data.get("drawn") is True or _drew_its_own(study.folder, asked)
    return drew and _saw_no_others(asked.get("gan"), study.generator.get("start"))


def is_drawn_so_far(folder: Path) -> bool:
    """The same of a study that has no answer yet, by what was asked; raises UserError for a damaged recipe."""
    asked, generator = _asked(folder), _recipe(folder).get("gan")
    start = generator.get("start") if isinstance(generator, dict) else None
    return _drew_its_own(folder, asked) and _saw_no_others(asked.get("gan"), start)


def _asked(folder: Path) -> dict[str, Any]:
    values = read_yaml(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    return values if isinstance(values, dict) else {}


def _drew_its_own(folder: Path, asked: dict[str, Any]) -> bool:
    return asked.get("data", "") is None and (folder / STREET).is_dir()


def _saw_no_others(given: Any, start: Any) -> bool:
    """Whether a generator, `given` or trained from `start`, learned from no pictures but the study's and drawn ones."""
    return given is None and start in (None, STREET)


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
    known = {key: value for key, value in study.machine.items() if key != "versions" and value is not None}
    machine = [("memory", f"{value} GiB") if key == "memory_gib" else (key, str(value)) for key, value in known.items()]
    found = [
        ("Times", [*when, *times]),
        ("Machine", machine),
        ("Versions", [(name, str(version)) for name, version in versions.items() if version is not None]),
    ]
    return [(caption, rows) for caption, rows in found if rows]
