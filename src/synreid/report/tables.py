"""Tables as the page shows them, and the same as CSV with every digit."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synreid.report.entries import Arm, Difference, Selection, Study
from synreid.report.folder import CALIBRATION
from synreid.report.words import METRIC_NAMES, MINUS, NONE, count, interval, mean_sd, p_value, percent, points, writable
from synreid.stage.files import atomic_path

Cell = str | float | int | None
NO_TEST = ("duplicates", "different persons")  # older studies list it, though these are no duplicates either


@dataclass(frozen=True)
class Table:
    """A table of the page: `name` is its file's, `rows` are shown, `csv_rows` hold the unrounded values."""

    name: str
    caption: str
    head: list[str]
    rows: list[list[str]]
    csv_head: list[str]
    csv_rows: list[list[Cell]]
    words: int = 1  # how many leading columns are words, set flush left
    lists: bool = False  # whether the last column lists numbers, so that its cells may break between them

    @property
    def csv(self) -> str:
        """The table as RFC 4180 text."""
        return to_csv([self.csv_head, *self.csv_rows])

    @property
    def csv_uri(self) -> str:
        """The CSV file as a data: URI."""
        return "data:text/csv;charset=utf-8;base64," + base64.b64encode(self.csv.encode()).decode("ascii")


def to_csv(rows: Sequence[Sequence[Cell]]) -> str:
    """Return rows as CSV; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in rows:
        writer.writerow(["'" + c if isinstance(c, str) and c.startswith(("=", "+", "-", "@")) else c for c in row])
    return writable(buffer.getvalue())


def write_csv(path: Path, text: str) -> None:
    """Write a table's text as UTF-8, whole or not at all, with its own ends of lines on every system."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def arms_table(study: Study) -> Table:
    """Arms by their amounts and measures, mean ± standard deviation over the seeds, in percent."""
    facts = ["persons", "variations", "pictures_real", "pictures_made", "steps"]
    amounts = {"made persons": [arm.persons for arm in study.arms]}
    amounts |= {"variations a person": [arm.variations for arm in study.arms]}
    amounts = {head: numbers for head, numbers in amounts.items() if any(numbers)}
    return Table(
        name="arms",
        caption=f"Mean ± standard deviation over the seeds ({_runs(study)}), in percent.",
        head=["arm", "pictures at", *amounts, "pictures", "steps", *METRIC_NAMES.values()],
        rows=[
            _arm_row(study, arm, [count(numbers[place]) for numbers in amounts.values()])
            for place, arm in enumerate(study.arms)
        ],
        csv_head=["arm", "title", "resolution", *facts, *_mean_sd_heads(), "seeds", "seconds_mean"],
        csv_rows=[_arm_csv(study, arm) for arm in study.arms],
    )


def _arm_row(study: Study, arm: Arm, amounts: list[str]) -> list[str]:
    made = f" + {count(arm.pictures_made)}" if arm.pictures_made else ""
    measures = [mean_sd(study.values(arm.name, metric)) for metric in METRIC_NAMES]
    pictures = count(arm.pictures_real) + made
    return [arm.title, arm.resolution, *amounts, pictures, count(arm.steps), *measures]


def _runs(study: Study) -> str:
    runs = {arm.title: sum(result.arm == arm.name for result in study.results) for arm in study.arms}
    if len(set(runs.values())) == 1:
        return f"{next(iter(runs.values()))} for each arm"
    return ", ".join(f"{title}: {number}" for title, number in runs.items())


def _mean_sd_heads() -> list[str]:
    return [f"{metric}_{part}" for metric in METRIC_NAMES for part in ("mean", "sd")]


def _arm_csv(study: Study, arm: Arm) -> list[Cell]:
    measures: list[Cell] = []
    for metric in METRIC_NAMES:
        values = np.asarray(study.values(arm.name, metric))
        measures.append(float(values.mean()) if values.size else None)
        measures.append(float(values.std(ddof=1)) if values.size > 1 else None)
    runs = [result for result in study.results if result.arm == arm.name]
    seconds = [run.seconds for run in runs if run.seconds is not None]
    facts: list[Cell] = [arm.persons, arm.variations, arm.pictures_real, arm.pictures_made, arm.steps]
    mean_seconds = sum(seconds) / len(seconds) if seconds else None
    return [arm.name, arm.title, arm.resolution, *facts, *measures, len(runs), mean_seconds]


def differences_table(study: Study) -> Table:
    """Paired differences with their intervals, in percentage points; their other tests are for the CSV file."""
    longest = max((len(d.per_seed) for d in study.differences), default=0)
    corrected = any(d.p_holm is not None for d in study.differences)
    of_holm = (
        " Holm's correction is over all arms with made pictures, each against its control, shuffled labels aside."
        if corrected
        else ""
    )
    tests = ["p_holm", "persons_low", "persons_high", "mcnemar_gained", "mcnemar_lost", "mcnemar_p"]
    pairs = [f"pair_{index + 1}" for index in range(longest)]
    return Table(
        name="differences",
        caption=f"Differences of the same seed, in percentage points: their mean and its 95 % interval.{of_holm}",
        head=[
            *("arm", "against", "measure", "difference", "95 % interval"),
            *(["p, Holm-corrected"] if corrected else []),
            *("seeds", "seed by seed"),
        ],
        rows=[_difference_row(study, d, corrected) for d in study.differences],
        csv_head=["arm", "against", "metric", "mean", "low", "high", "n", *pairs, *tests],
        csv_rows=[_difference_csv(d, longest) for d in study.differences],
        words=3,
        lists=True,
    )


def _difference_row(study: Study, d: Difference, corrected: bool) -> list[str]:
    return [
        study.title(d.arm),
        study.title(d.against),
        METRIC_NAMES.get(d.metric, d.metric),
        points(d.mean),
        interval(d.low, d.high),
        *([p_value(d.p_holm, bare=True)] if corrected else []),
        count(d.n),
        "  ".join(points(value) for value in d.per_seed),
    ]


def _difference_csv(d: Difference, longest: int) -> list[Cell]:
    pairs: list[Cell] = [*d.per_seed, *[None] * (longest - len(d.per_seed))]
    tests = [d.persons.get("low"), d.persons.get("high"), *(d.mcnemar.get(key) for key in ("gained", "lost", "p"))]
    return [d.arm, d.against, d.metric, d.mean, d.low, d.high, d.n, *pairs, d.p_holm, *tests]


def results_csv(study: Study) -> str:
    """Every training on its own, as CSV."""
    rows = [[r.arm, r.seed, *(r.metrics[metric] for metric in METRIC_NAMES), r.seconds] for r in study.results]
    return to_csv([["arm", "seed", *METRIC_NAMES, "seconds"], *rows])


def quality_table(study: Study) -> Table:
    """The generator's measures at each snapshot; columns that say the same throughout are for the CSV file only."""
    keys = ["kimg", "frechet", "kid", "precision", "recall", "density", "coverage"]
    others = ["features", "real", "made"]
    heads = ["thousand pictures", "Fréchet distance", "KID", *keys[3:]]
    varied = [key for key in others if len({str(entry.get(key)) for entry in study.quality}) > 1]
    return Table(
        name="generator",
        caption="Lower is better for both distances, higher for the rest.",
        head=[*heads, *varied],
        rows=[
            [*(_four_digits(e[key]) for key in keys), *(NONE if e.get(key) is None else str(e[key]) for key in varied)]
            for e in study.quality
        ],
        csv_head=[*keys, *others],
        csv_rows=[[e.get(key) for key in [*keys, *others]] for e in study.quality],
        words=0,
    )


def _four_digits(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}".replace("-", MINUS)


def selection_table(selection: Selection) -> Table | None:
    """What each selection stage discarded, of its own input and of all made pictures (thesis, table 5.5)."""
    if not selection.stages:
        return None
    made: float = selection.made or selection.stages[0]["in"] or 0
    rows: list[list[str]] = []
    csv_rows: list[list[Cell]] = []
    for stage in selection.stages:
        entered, gone = stage["in"] or 0, stage["discarded"] or 0
        of_stage, of_all = (gone / whole if whole else None for whole in (entered, made))
        rows.append([str(stage.get("name")), count(entered), count(gone), percent(of_stage), percent(of_all)])
        csv_rows.append([str(stage.get("name")), entered, gone, of_stage, of_all])
    if selection.kept is not None:
        lost = made - selection.kept
        share = lost / made if made else None
        rows.append(["all stages", count(made), count(lost), percent(share), percent(share)])
        csv_rows.append(["all stages", made, lost, share, share])
    return Table(
        name=selection.name,
        caption="Each stage sees what the stages before it kept.",
        head=["stage", "pictures in", "discarded", "% of the stage's pictures", "% of all made"],
        rows=rows,
        csv_head=["stage", "in", "discarded", "fraction_of_stage", "fraction_of_all"],
        csv_rows=csv_rows,
    )


def calibration_table(study: Study) -> Table:
    """What each score tells apart on real training pictures, at the threshold that 9 of 10 good ones reach."""
    names = ["score", "should_pass", "against"]
    listed = [row for row in study.calibration if (row.get("score"), row.get("against")) != NO_TEST]
    return Table(
        name="calibration",
        caption=(
            "At the threshold that nine of ten of what should pass reach (of duplicates: nearly all), the share of "
            "each other kind that passes too; an AUC of 0.5 tells nothing, 1 tells all apart."
        ),
        head=["score", "should pass", "against", "threshold", "% of it that passes", "% of the other", "ROC AUC"],
        rows=[
            [
                *(str(row.get(name)) for name in names),
                _four_digits(row["threshold"]),
                percent(row["good"]),
                percent(row["passes"]),
                _four_digits(row["auc"]),
            ]
            for row in listed
        ],
        csv_head=[*names, *CALIBRATION],
        csv_rows=[[row.get(key) for key in [*names, *CALIBRATION]] for row in listed],
        words=3,
    )
