"""Writes a study's report: one HTML file that opens without a network, and its tables as CSV beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from synreid.report import figures, svg, tables, words
from synreid.report.folder import Study, learning_curves, read_study
from synreid.report.pictures import Embedded, embed_sheet, numbered
from synreid.report.ranked import ranked_lists
from synreid.stage.files import write_text

RECIPE = "recipe.yaml"
TEMPLATE = "template.html.j2"
LOSS_KEYS = ("loss",)
ERROR_KEYS = ("classification_error", "error")


@dataclass(frozen=True)
class Sheet:
    """A sheet of pictures and the words under it."""

    picture: Embedded
    caption: str


def write_report(study_folder: Path, out: Path | None = None) -> Path:
    """Write the report of a finished study and return its path.

    `out` is the HTML file, by default `report.html` in the study's folder; the tables are written as CSV files into
    the folder `tables` beside it. Parts that the study lacks are left out, and a sentence in their place says so.

    Raises UserError when `study_folder` is no study, when its `study.json` or a `ranked.json` is damaged, or when
    the report cannot be written.
    """
    study = read_study(study_folder)
    out = Path(out) if out is not None else study.folder / "report.html"
    context = page_context(study)
    page = render(context)
    for table in context["tables"].values():
        write_text(out.parent / "tables" / f"{table.name}.csv", table.csv)
    write_text(out.parent / "tables" / "results.csv", tables.results_csv(study))
    write_text(out, page)
    return out


def render(context: dict[str, Any]) -> str:
    """Fill the template; every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        {name: getattr(words, name) for name in ("percent", "points", "interval", "count", "several", "duration")}
    )
    return words.writable(environment.get_template(TEMPLATE).render(context) + "\n")


def page_context(study: Study) -> dict[str, Any]:
    """Return everything that the template names."""
    found = [tables.arms_table(study), tables.differences_table(study) if study.differences else None]
    found += [tables.quality_table(study) if study.quality else None]
    found += [tables.selection_table(selection) for selection in study.selections]
    found += [tables.calibration_table(study) if study.calibration else None]
    return {
        "study": study,
        "headline": study.headline,
        "verdict": _verdict(study),
        "tables": {table.name: table for table in found if table is not None},
        "difference_figures": _figures(figures.differences(study, metric) for metric in ("map", "rank1")),
        "arm_figures": _figures(figures.arms(study, metric) for metric in ("map", "rank1")),
        "generator": _generator(study),
        "sheets": _sheets(study),
        "origin": _origin(study),
        "learning": _learning(study),
        "ranked": ranked_lists(study),
        "configurations": _configurations(study),
        "drawn": _drawn(study),
        "facts": _facts(study),
    }


def _figures(drawn: Any) -> list[str]:
    return [figure for figure in drawn if figure is not None]


def _verdict(study: Study) -> str:
    """Say in plain words what the headline's interval allows one to believe."""
    headline = study.headline
    if headline is None:
        return "The study lists no difference of an augmented arm against a control, so it gives no interval."
    return {
        "above": "The whole interval lies above zero: chance between seeds alone does not explain the gain.",
        "below": "The whole interval lies below zero: chance between seeds alone does not explain the loss.",
        "across": "The interval contains zero: these seeds do not settle whether made persons help or harm.",
        "none": "One seed gives no interval: nothing can be said about chance.",
    }[headline.verdict]


def _generator(study: Study) -> dict[str, Any]:
    spread = ("recall", "coverage", "precision", "density")
    present = [key for key in spread if any(entry[key] is not None for entry in study.quality)]
    features = sorted({str(entry["features"]) for entry in study.quality if entry.get("features")})
    sizes = sorted({(entry["real"], entry["made"]) for entry in study.quality if entry["real"] and entry["made"]})
    several = len({entry["kimg"] for entry in study.quality}) > 1
    charts = [
        figures.quality(study, ["frechet"], "Fréchet distance (lower is better)"),
        figures.quality(study, present, "how much of the real pictures is reached (higher is better)"),
    ]
    return {
        "figures": _figures(charts) if several else [],
        "legend": [(svg.swatch(index, "generator"), key) for index, key in enumerate(present)] if several else [],
        "features": ", ".join(features),
        "sizes": "; ".join(f"{words.count(real)} real and {words.count(made)} made pictures" for real, made in sizes),
    }


def _sheets(study: Study) -> dict[str, list[Sheet]]:
    gan, persons, select = (study.folder / room for room in ("gan", "persons", "select"))
    calibration = study.folder / "calibration"
    latents, variations, chosen = (study.folder / room for room in ("latents", "variations", "select-variations"))
    if not gan.is_dir() and isinstance(elsewhere := study.generator.get("folder"), str):
        gan = Path(elsewhere)  # the study used a generator that was there before
    samples = numbered(gan, "samples-*.png")
    real = [*numbered(gan, "real*.png"), study.folder / "real.png"]
    wanted = {
        "generator": [
            *((path, "The generator's first grid" + _after(path)) for path in samples[:-1][:1]),
            *((path, "Its last grid" + _after(path)) for path in samples[-1:]),
            *((path, "Real training pictures, for comparison") for path in real[:1]),
        ],
        "persons": [
            (persons / "sheet.png", "Made persons, a row a person"),
            (latents / "inverted.png", "Real pictures, and what the generator shows for the styles found for them"),
            (variations / "sheet.png", "Variations, a row a person, a real picture first"),
        ],
        "kept": [(select / "kept.png", "Kept"), (chosen / "kept.png", "Kept variations")],
        "discarded": [
            (select / "discarded.png", "Discarded, each with its reason"),
            (chosen / "discarded.png", "Discarded variations, each with its reason"),
        ],
        "calibration": [
            (calibration / "calibration.png", "How each score is distributed, and its ROC curves"),
            (
                calibration / "calibration-pictures.png",
                "Real training pictures, what was made of them that should not pass, and what each score says",
            ),
        ],
    }
    return {
        part: [Sheet(picture, caption) for path, caption in entries if (picture := embed_sheet(path))]
        for part, entries in wanted.items()
    }


def _after(path: Path) -> str:
    found = re.fullmatch(r"samples-0*(\d+(?:\.\d*[1-9])?)(?:\.0+)?", path.stem)
    if found is None:
        return f" ({path.stem})"
    return ", before it was trained" if float(found[1]) == 0 else f", after {found[1]} thousand pictures"


def _origin(study: Study) -> dict[str, Any] | None:
    auc = study.origin.get("auc")
    if auc is None:
        return None
    strength = max(auc, 1 - auc)
    grades = ((0.6, "Hardly better than chance"), (0.75, "A little"), (0.9, "Often"), (2.0, "Nearly always"))
    return {
        **{key: study.origin.get(key) for key in ("low", "high", "accuracy", "test_real", "test_made", "resolution")},
        "auc": auc,
        "grade": next(words for limit, words in grades if strength < limit),
        "place": 100 * min(1.0, max(0.0, 2 * strength - 1)),
    }


def _learning(study: Study) -> dict[str, Any]:
    order = [arm.name for arm in study.arms]
    charts, drawn = [], set()
    for keys, label in ((LOSS_KEYS, "training loss"), (ERROR_KEYS, "training error (share of pictures)")):
        curves = next((found for key in keys if (found := learning_curves(study, key))), {})
        charts.append(figures.learning(curves, order, label))
        drawn |= set(curves)
    return {
        "figures": _figures(charts),
        "legend": [(svg.swatch(i, "learning"), arm.title) for i, arm in enumerate(study.arms) if arm.name in drawn],
    }


def _configurations(study: Study) -> list[tuple[str, str]]:
    """Return captioned texts: what was asked, and the recipe that it named."""
    found = [("Asked", yaml.safe_dump(study.config, sort_keys=False, allow_unicode=True))] if study.config else []
    recipe = study.folder / RECIPE
    if recipe.is_file():
        found.append(("Recipe", recipe.read_text(encoding="utf-8", errors="replace")))
    return found


def _drawn(study: Study) -> bool:
    """Whether no real person can be in the pictures: the study drew its own, and its generator saw no others."""
    own = study.config.get("data", "") is None and (study.folder / "street").is_dir()
    return (own or study.data.get("drawn") is True) and study.config.get("gan") is None


def _facts(study: Study) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return captioned lists of name and value: times, machine, versions."""
    numbers = {name: value for name, value in study.times.items() if isinstance(value, int | float)}
    times = [(name, words.duration(value)) for name, value in numbers.items()]
    if len(times) > 1 and "total" not in numbers:
        times.append(("sum", words.duration(sum(numbers.values()))))
    when = [(name, value) for name, value in (("started", study.started), ("finished", study.finished)) if value]
    nested = study.machine.get("versions")
    versions = {**(nested if isinstance(nested, dict) else {}), **study.versions}
    machine = [(key, str(value)) for key, value in study.machine.items() if key != "versions" and value is not None]
    found = [
        ("Times", [*when, *times]),
        ("Machine", machine),
        ("Versions", [(name, str(version)) for name, version in versions.items() if version is not None]),
    ]
    return [(caption, rows) for caption, rows in found if rows]
