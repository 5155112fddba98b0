"""Writes a study's report: one HTML file that opens without a network, and its tables as CSV beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from synreid.report import answers, cost, dose, dose_figures, figures, statement, svg, tables, words
from synreid.report.audit import audits_of
from synreid.report.entries import Study
from synreid.report.facts import configurations, facts_of, is_drawn, subset_words
from synreid.report.folder import REPORT, learning_curves, read_study
from synreid.report.ranked import ranked_lists
from synreid.report.sheets import sheets_of
from synreid.stage.errors import UserError
from synreid.stage.files import write_text

TEMPLATES = Path(__file__).parent / "templates"
CURVES = {  # keys of metrics.jsonl, the first one that is there, and what they are called
    "training loss": ("loss",),
    "training error (share of pictures)": ("classification_error", "error"),
    "loss on held-out pictures": ("val_loss",),
    "error on held-out pictures (share)": ("val_error",),
}


def write_report(study_folder: Path, out: Path | None = None, watts: float | None = None) -> Path:
    """Write the report of a finished study and return its path.

    `out` is the HTML file, by default `report.html` in the study's folder; the tables are written as CSV files into
    the folder of `tables_of`. `watts` is what the machine draws while it computes; left out, it is estimated from
    its cores. Parts that the study lacks are left out, and a sentence in their place says so.

    Raises UserError when `study_folder` is no study, when its `study.json`, its recipe, a `ranked.json` or an audit is
    damaged, when `watts` is not above zero, when `out` is a folder, or when the report cannot be written.
    """
    study = read_study(study_folder)
    folder = tables_of(study.folder, out)
    out = page_file(out, study.folder / REPORT)
    context = page_context(study, watts) | {"tables_folder": folder.name}
    page = render("report.html.j2", context)
    for table in context["tables"].values():
        tables.write_csv(folder / f"{table.name}.csv", table.csv)
    tables.write_csv(folder / "results.csv", tables.results_csv(study))
    write_text(out, page)
    return out


def page_file(asked: Path | None, usual: Path) -> Path:
    """Return the HTML file to write: the one that is asked for, or else the usual one; UserError for a folder."""
    if asked is None:
        return usual
    if Path(asked).is_dir():
        raise UserError(f"{asked} is a folder, but --out names the HTML file; give {Path(asked) / usual.name}, say.")
    return Path(asked)


def tables_of(study_folder: Path, out: Path | None) -> Path:
    """Return the folder of a page's tables: `tables` in the study's own, `NAME-tables` beside a named file `NAME.html`.

    So pages that are written into one folder keep theirs apart.
    """
    return study_folder / "tables" if out is None else Path(out).parent / f"{Path(out).stem}-tables"


def render(template: str, context: dict[str, Any]) -> str:
    """Fill a template of the folder `templates`; every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        {
            name: getattr(words, name)
            for name in ("percent", "points", "interval", "count", "several", "thousands", "duration")
        }
    )
    return words.writable(environment.get_template(template).render(context) + "\n")


def page_context(study: Study, watts: float | None = None) -> dict[str, Any]:
    """Return everything that the template names."""
    sweeps, audits, ranked, drawn = dose.sweeps_of(study), audits_of(study), ranked_lists(study), is_drawn(study)
    power = cost.watts_of(study, watts)
    costs = cost.costs_of(study, power)
    learned = {label: _curves(study, keys) for label, keys in CURVES.items()}
    found = [
        tables.arms_table(study),
        tables.differences_table(study) if study.differences else None,
        dose.dose_table(study, sweeps) if sweeps else None,
        dose.published_table(study, study.published) if study.published else None,
        cost.cost_table(study, costs, power) if costs else None,
        tables.quality_table(study) if study.quality else None,
        *(tables.selection_table(selection) for selection in study.selections),
        tables.calibration_table(study) if study.calibration else None,
        statement.splits_table(study),
        *(audit.table for audit in audits),
    ]
    return {
        "study": study,
        "headline": study.headline,
        "verdict": answers.verdict(study.headline),
        "answers": {
            "differences": answers.differences(study),
            "of_headline": answers.of_headline(study),
            "arms": answers.arms(study),
            "generator": answers.generator(study),
            "learning": answers.learning(study, learned["training loss"]),
            "ranked": answers.ranked(study, ranked) if ranked else "",
        },
        "tables": {table.name: table for table in found if table is not None},
        "difference_figures": _drawn(figures.differences(study, metric) for metric in dose.SHOWN),
        "cut": {"differences": figures.many_differences(study), "arms": figures.many_arms(study)},
        "arm_figures": _drawn(figures.arms(study, metric) for metric in dose.SHOWN),
        "dose": _dose(study, sweeps),
        "published": _published(study),
        "cost": {
            "answer": cost.cost_answer(study, costs),
            "figure": figures.costs(costs),
            "assumption": cost.assumption(study, power, watts is not None),
        },
        "generator": _generator(study),
        "sheets": sheets_of(study),
        "origin": _origin(study),
        "learning": _learning(study, learned),
        "ranked": ranked,
        "limits": answers.limits(study, learned["training loss"]),
        "statement": statement.statement_of(study, drawn),
        "subset": subset_words(study),
        "audits": audits,
        "audit_command": _audit_command(study),
        "configurations": configurations(study),
        "drawn": drawn,
        "facts": facts_of(study),
    }


def _drawn(charts: Iterable[Markup | None]) -> list[Markup]:
    return [chart for chart in charts if chart is not None]


def _dose(study: Study, sweeps: list[dose.Sweep]) -> dict[str, Any]:
    charts = [draw(study, sweeps, m) for draw in (dose_figures.levels, dose_figures.differences) for m in dose.SHOWN]
    return {
        "answer": dose.dose_answer(study, sweeps),
        "figures": _drawn(charts) if sweeps else [],
        "legend": dose_figures.legend(study, sweeps),
    }


def _published(study: Study) -> dict[str, Any] | None:
    entry = study.published
    if entry is None:
        return None
    return {
        "entry": entry,
        "answer": dose.published_answer(study, entry),
        "figures": _drawn(dose_figures.beside_published(study, entry, metric) for metric in dose.COMPARED),
        "legend": dose_figures.published_legend(entry),
    }


def _audit_command(study: Study) -> str:
    """Return the command whose audit the next report shows, of the generator that the study used."""
    own = study.folder / "gan"
    generator = own if own.is_dir() else study.generator.get("folder") or "GENERATOR"
    drawn = study.folder / "street"
    data = study.config.get("data") or (drawn if drawn.is_dir() else "PICTURES")
    return f"synreid privacy {generator} --data {data} --out {study.folder / 'privacy'}"


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
        "figures": _drawn(charts) if several else [],
        "legend": [(svg.swatch(index, "generator"), key) for index, key in enumerate(present)] if several else [],
        "features": ", ".join(features),
        "sizes": "; ".join(f"{words.count(real)} real and {words.count(made)} made pictures" for real, made in sizes),
    }


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


def _curves(study: Study, keys: tuple[str, ...]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return next((found for key in keys if (found := learning_curves(study, key))), {})


def _learning(study: Study, learned: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]) -> dict[str, Any]:
    order = [arm.name for arm in study.arms]
    drawn = {arm for curves in learned.values() for arm in curves}
    return {
        "figures": _drawn(figures.learning(curves, order, label) for label, curves in learned.items()),
        "legend": [(svg.swatch(i, "learning"), arm.title) for i, arm in enumerate(study.arms) if arm.name in drawn],
    }
