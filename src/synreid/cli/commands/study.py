"""Commands that run whole studies and report them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from synreid.stage.errors import UserError


def study(
    recipe: str,
    *,
    out: Path | None = None,
    data: Path | None = None,
    gan: Path | None = None,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    camera_pattern: str | None = None,
    plan: bool = False,
) -> None:
    """Answer the question: do artificial persons help? Generator, persons, selection, all arms, all seeds, report.

    Args:
        recipe: Name of a shipped recipe (demo, quick, street-persons, street-variations, market-cpu, market-persons,
            market-labels, market-baselines, market-variations, market-variations-20, market-detail, thesis-persons,
            thesis-variations) or a YAML file.
        out: Folder for everything that the study makes; only a plan needs none.
        data: Folder or CSV file of person pictures; left out, the recipe's embedded set is drawn.
        gan: Folder of a finished generator to use instead of training one.
        workers: Trainings of re-ID models at a time, each with its share of the cores, on which its numbers depend as
            on a seed. By default one; with ray as many as the cluster has GPUs, or without any, cores.
        engine: What runs the trainings: this machine (local), or a cluster (ray), all nodes of which must see out, data
            and the folder that this is started in.
        address: Address of the Ray cluster, as HOST:PORT or ray://HOST:PORT; left out, the one that this machine is
            part of.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
        plan: Only say what would be run, what is finished in out already, how long the rest takes and how much room. A
            few steps are trained to time them; nothing is kept.
    """
    if plan:
        from synreid.study.plan import plan_study
        from synreid.study.plan_words import plan_text

        print(plan_text(plan_study(recipe, data, out, gan, camera_pattern), out))
        return
    if out is None:
        raise UserError("synreid study needs --out; see `synreid study --help`.")
    from synreid.report.folder import finished_report
    from synreid.stage.files import expected_shape, read_json
    from synreid.study.engine import choose_engine
    from synreid.study.request import STUDY
    from synreid.study.run import run_study
    from synreid.study.tracked import log_study

    run_study(recipe, data, out, gan, camera_pattern, choose_engine(engine, workers, address))
    report_path = finished_report(out)
    if report_path is None:
        from synreid.report.page import write_report  # a second, which a finished study does not ask for

        report_path = write_report(out)
    log_study(out)
    with expected_shape(out / STUDY):
        text = _table(read_json(out / STUDY))
    print(text)
    print(f"report: {report_path.resolve()}")


def report(folder: Path, others: tuple[Path, ...] = (), *, out: Path | None = None, watts: float | None = None) -> None:
    """Write the report of a study again, or a page that compares several, as one HTML file without a network.

    Args:
        folder: Folder of a finished study.
        others: Folders of further studies: the page then compares them all instead of reporting one.
        out: HTML file to write, its tables beside it in the folder NAME-tables; left out, report.html (comparison.html
            of several) in the first folder, and tables.
        watts: What the machine draws while it computes, in watts, for the energy in one study's report; left out, 15
            for each core and 300 for a GPU.
    """
    if others and watts is not None:
        raise UserError(
            f"--watts is for the report of one study, but {len(others) + 1} are compared; leave it out, or name one."
        )
    from synreid.report.compare import write_comparison
    from synreid.report.page import write_report

    print(write_comparison([folder, *others], out) if others else write_report(folder, out, watts))


def _table(result: dict[str, Any]) -> str:
    """Return the study's answer and its two tables as plain text."""
    from synreid.study.jobs import is_identical

    rows = {row["arm"]: row for row in result["summary"]}
    lines = ["", f"{'arm':44} {'steps':>6} {'Rank-1':>14} {'mAP':>14} {'mAP trapezoid':>14}"]
    for arm in result["arms"]:
        row = rows[arm["name"]]
        cells = "".join(f" {_percent(row, metric):>14}" for metric in ("rank1", "map", "map_trapezoid"))
        lines.append(f"{arm['title']:44} {arm['steps']:6d}{cells}")
    titles = {arm["name"]: arm["title"] for arm in result["arms"]}
    lines.append("")
    for row in result["differences"]:
        if row["low"] is not None:
            mean, low, high = (f"{row[name] * 100:+z.2f}" for name in ("mean", "low", "high"))
            interval = f"{mean} points, 95 % interval {low} to {high}"
            if is_identical(row):
                interval = "identical in every seed"
            metric = {"map": "mAP", "rank1": "Rank-1"}[row["metric"]]
            lines.append(f"{metric}: {titles[row['arm']]}, against {titles[row['against']]}: {interval}")
    return "\n".join([*lines, "", result["answer"]])


def _percent(row: dict[str, Any], metric: str) -> str:
    deviation = row[f"{metric}_sd"]
    spread = f" ± {deviation * 100:.1f}" if deviation is not None else ""
    return f"{row[f'{metric}_mean'] * 100:.1f}{spread}"
