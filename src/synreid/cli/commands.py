"""One function a command. Positional parameters are positional on the command line, keyword-only ones are options."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synreid.data.street.options import StreetOptions
from synreid.generate.options import GanOptions, PersonOptions, ShowOptions
from synreid.invert.layer_options import LayerOptions
from synreid.invert.measure_options import MeasureOptions
from synreid.invert.options import EncoderOptions, RefineOptions, VaryOptions
from synreid.label.names import Labels
from synreid.reid.options import ReidOptions
from synreid.select.calibration_options import CalibrationOptions
from synreid.select.options import SelectOptions

if TYPE_CHECKING:
    import pyarrow as pa


def data_check(path: Path, *, camera_pattern: str | None = None) -> int:
    """Say what a folder or CSV file of person pictures holds, and every rule that it breaks.

    Args:
        path: Folder in Market-1501 layout, folder with one folder a person, or CSV file.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from rich.console import Console

    from synreid.data.check import check, format_report

    report = check(path, camera_pattern)
    Console(highlight=False).print(format_report(report))
    return 0 if report.ok else 2


def data_street(out: Path, *, options: StreetOptions) -> None:
    """Draw the embedded set `street` as a folder in Market-1501 layout, with the truth about every picture.

    Args:
        out: Folder to write; must not hold anything yet.
        options: Size and seed.
    """
    from synreid.data.street.write import draw_street

    print(draw_street(out, options))


def gan_train(
    *,
    data: Path,
    out: Path,
    options: GanOptions,
    subset: float = 1.0,
    subset_seed: int = 0,
    resume: bool = False,
    camera_pattern: str | None = None,
) -> None:
    """Train a generator on the training split of a folder; a run that was cut off goes on.

    Args:
        data: Folder or CSV file of person pictures.
        out: Folder for the generator, its snapshots and curves.
        options: The generator and its training.
        subset: Share of the training persons to learn from, above 0 and up to 1.
        subset_seed: Seed of the draw of those persons.
        resume: Only go on with a run that is there; never start a new one.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.generate.train import train_gan

    table = _to_learn_from(data, out, subset, subset_seed, resume, camera_pattern)
    asked = {"data": data, "out": out, "subset": subset, "subset_seed": subset_seed, "camera_pattern": camera_pattern}
    print(train_gan(table, out, options, {**asked, **dataclasses.asdict(options)}))


def gan_import(file: Path, *, out: Path) -> None:
    """Take over a generator of the official programs, without executing anything in its file, and say what was taken.

    Args:
        file: Pickle (.pkl) of StyleGAN2-ADA (PyTorch) or StyleGAN3, configurations T, R and StyleGAN2.
        out: Folder for the generator.
    """
    from synreid.generate.official import import_official

    print(import_official(file, out))


def gan_show(
    gan: Path, *, out: Path, options: ShowOptions, data: Path | None = None, camera_pattern: str | None = None
) -> None:
    """Draw sheets to judge a generator by: samples, truncation, style mixing, layers, interpolation, nearest pictures.

    Args:
        gan: Folder of a finished `gan train` or `gan import`, the file of one of its snapshots, or `street`, which is
            shipped.
        out: Folder for the sheets.
        options: What the sheets show.
        data: Folder or CSV file of person pictures: samples are shown beside the nearest of its training split, which
            are pictures of real persons if the data are.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.data.table import pick
    from synreid.generate.show import show_gan

    real = pick(open_data(data, camera_pattern), split="train") if data is not None else None
    asked = {"gan": gan, "data": data, "out": out, "camera_pattern": camera_pattern}
    print(show_gan(gan, out, options, real, {**asked, **dataclasses.asdict(options)}))


def gan_layers(gan: Path, *, out: Path, options: LayerOptions, reid: Path | None = None) -> None:
    """Measure which layers of a generator hold identity, pose, background and colour, and propose groups of them.

    Args:
        gan: Folder of a finished `gan train` or `gan import`, the file of one of its snapshots, or `street`, which is
            shipped.
        out: Folder for the numbers, a figure, and persons layer by layer.
        options: How many persons are looked at.
        reid: Folder of a finished `reid train`, whose model judges identity; left out, the best outside network does.
    """
    from synreid.invert.layer_stage import read_layers, show_layers

    asked = {"gan": gan, "out": out, "reid": reid, **dataclasses.asdict(options)}
    print(read_layers(show_layers(gan, out, options, reid, asked)).as_text())


def gan_measure(
    gan: Path,
    *,
    data: Path,
    features: str = "efficientnet-lite0",
    count: int = 10_000,
    real: int | None = None,
    k: int = 5,
    out: Path | None = None,
    camera_pattern: str | None = None,
) -> None:
    """Measure how near made pictures come to real ones: FID or FD, KID, precision, recall, density, coverage.

    Args:
        gan: Folder of a finished `gan train` or `gan import`, the file of one of its snapshots, or `street`, which is
            shipped.
        data: Folder or CSV file of person pictures; those of its training split are the real ones.
        features: Network that the pictures are compared by: `efficientnet-lite0`, `inception` (FID), `osnet`, `pixels`,
            the folder of a finished `reid train`, or an ONNX file with one input [N, 3, H, W] of fixed H and W (RGB,
            normalised by ImageNet's mean and standard deviation).
        count: Made pictures, from seeds 0, 1, 2 ...
        real: Real pictures, drawn with seed 0; left out: all.
        k: Neighbours that precision, recall, density and coverage look at (papers: 3 for the first two, 5 for the
            others).
        out: JSON file for the numbers.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.data.table import pick
    from synreid.features.embedders import embedder_by_name
    from synreid.generate.measure import measure_gan, measures_as_text
    from synreid.reid.embed import ReidEmbedder
    from synreid.stage.files import write_json

    embedder = ReidEmbedder(Path(features)) if Path(features).is_dir() else embedder_by_name(features)
    values = measure_gan(gan, pick(open_data(data, camera_pattern), split="train"), embedder, count, real, k)
    if out is not None:
        write_json(out, values)
    print(measures_as_text(values))


def encoder_train(
    *,
    data: Path,
    gan: Path,
    out: Path,
    options: EncoderOptions,
    reid: Path | None = None,
    subset: float = 1.0,
    subset_seed: int = 0,
    resume: bool = False,
    camera_pattern: str | None = None,
) -> None:
    """Train an encoder that finds a generator's styles for real pictures; a run that was cut off goes on.

    Args:
        data: Folder or CSV file of person pictures; only its training split is looked at.
        gan: Folder of a finished `gan train` or `gan import`, the file of one of its snapshots, or `street`, which is
            shipped. It stays as it is.
        out: Folder for the encoder, its sheets and curves.
        options: The encoder and its training.
        reid: Folder of a finished `reid train`, for the identity loss; left out, there is none.
        subset: Share of the training persons to learn from, above 0 and up to 1.
        subset_seed: Seed of the draw of those persons.
        resume: Only go on with a run that is there; never start a new one.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.invert.train import train_encoder

    table = _to_learn_from(data, out, subset, subset_seed, resume, camera_pattern)
    drawn = {"subset": subset, "subset_seed": subset_seed, "camera_pattern": camera_pattern}
    asked = {"data": data, "gan": gan, "out": out, "reid": reid, **drawn, **dataclasses.asdict(options)}
    print(train_encoder(table, gan, out, options, reid, asked))


def encoder_invert(
    encoder: Path,
    *,
    gan: Path,
    data: Path,
    out: Path,
    options: RefineOptions,
    reid: Path | None = None,
    split: Literal["train", "query", "gallery"] = "train",
    subset: float = 1.0,
    subset_seed: int = 0,
    camera_pattern: str | None = None,
) -> None:
    """Find a generator's styles for real pictures: the encoder's, refined; a run that was cut off goes on.

    Args:
        encoder: Folder of a finished `encoder train`.
        gan: The generator that the encoder was trained with.
        data: Folder or CSV file of person pictures.
        out: Folder for the latents, their table and a sheet to look at.
        options: How far styles are refined, and whether the generator is tuned to each person.
        reid: Folder of a finished `reid train`, for the identity loss; left out, there is none.
        split: Which pictures are inverted; variations are made from `train` only.
        subset: Share of the training persons whose pictures are inverted, above 0 and up to 1.
        subset_seed: Seed of the draw of those persons.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.table import pick
    from synreid.invert.latents import invert_pictures
    from synreid.reid.train import training_rows

    table = pick(_part_of(data, subset, subset_seed, camera_pattern), split=split)
    if split == "train":
        table = training_rows(table)
    drawn = {"split": split, "subset": subset, "subset_seed": subset_seed, "camera_pattern": camera_pattern}
    asked = {"encoder": encoder, "gan": gan, "data": data, "out": out, "reid": reid, **drawn}
    print(invert_pictures(table, gan, encoder, out, options, reid, {**asked, **dataclasses.asdict(options)}))


def encoder_measure(
    encoder: Path,
    *,
    gan: Path,
    data: Path,
    reid: Path,
    out: Path,
    options: MeasureOptions,
    refine: RefineOptions,
    camera_pattern: str | None = None,
) -> None:
    """Measure how well inversion keeps the person: likeness, and the rank of inverted queries beside the real ones.

    Args:
        encoder: Folder of a finished `encoder train`.
        gan: The generator that the encoder was trained with.
        data: Folder or CSV file with query and gallery.
        reid: Folder of a finished `reid train`, whose model ranks the gallery.
        out: Folder for the numbers, the queries' latents and a sheet to look at.
        options: How many queries, and which other network judges.
        refine: How far styles are refined.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.invert.measure import MEASURED, as_text, measure_encoder
    from synreid.stage.files import read_json

    asked = {"encoder": encoder, "gan": gan, "data": data, "reid": reid, "out": out, "camera_pattern": camera_pattern}
    asked |= {**dataclasses.asdict(options), **dataclasses.asdict(refine)}
    measure_encoder(open_data(data, camera_pattern), gan, encoder, out, options, refine, reid, asked)
    print(as_text(read_json(out / MEASURED)))


def persons_make(gan: Path, *, out: Path, options: PersonOptions) -> None:
    """Make artificial persons with a trained generator: the same options give the same bytes.

    Args:
        gan: Folder of a finished `gan train`, the file of one of its snapshots, or `street`, which is shipped.
        out: Folder for the pictures and their table.
        options: How many persons, and how their pictures differ.
    """
    from synreid.generate.persons import make_persons

    print(make_persons(gan, out, options))


def persons_vary(
    gan: Path,
    encoder: Path,
    *,
    out: Path,
    options: VaryOptions,
    data: Path | None = None,
    steps: int | None = None,
    subset: float = 1.0,
    subset_seed: int = 0,
    camera_pattern: str | None = None,
) -> None:
    """Make variations of real persons: pictures that show the same person otherwise. They are pictures of real people.

    Args:
        gan: Folder of a finished `gan train` or `gan import`, the file of one of its snapshots, or `street`, which is
            shipped.
        encoder: Folder of a finished `encoder train` with that generator, or of a finished `encoder invert`, whose
            latents are then taken. An encoder's go into the folder `out` with `-latents` behind its name.
        out: Folder for the pictures and their table.
        options: How many variations, and how they differ.
        data: With an encoder: folder or CSV file of person pictures, whose training split is varied.
        steps: With an encoder: steps that each picture's styles are refined for, 100 if left out; `encoder invert` has
            all options of refinement.
        subset: With an encoder: share of the training persons to vary, above 0 and up to 1.
        subset_seed: Seed of the draw of those persons.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.invert.vary import latents_of, vary_persons

    table = _part_of(data, subset, subset_seed, camera_pattern) if data is not None else None
    refine = RefineOptions(steps=steps) if steps is not None else None
    drawn = {"subset": subset, "subset_seed": subset_seed, "camera_pattern": camera_pattern}
    asked = {"gan": gan, "encoder": encoder, "data": data, "out": out, "steps": steps, **drawn}
    latents = latents_of(gan, encoder, table, out, refine)
    print(vary_persons(gan, latents, out, options, {**asked, **dataclasses.asdict(options)}))


def select_run(
    persons: Path,
    *,
    data: Path | None = None,
    out: Path | None = None,
    options: SelectOptions,
    privacy: Path | None = None,
    camera_pattern: str | None = None,
) -> None:
    """Discard made pictures that show no person or not the same person, and say how many and why.

    Args:
        persons: Folder of a finished `persons make`.
        data: Folder or CSV file of real pictures; its training split sets thresholds.
        out: Folder for the selection; by default the persons' folder with `-selection` behind its name.
        options: The rules.
        privacy: Folder of a finished `privacy` of these persons; what it flags is discarded first.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.data.table import pick
    from synreid.select.run import select
    from synreid.study.privacy import read_privacy

    audit = read_privacy(privacy)[1] if privacy is not None else None
    real = pick(open_data(data, camera_pattern), split="train") if data is not None else None
    out = out or persons.resolve().with_name(persons.resolve().name + "-selection")
    asked = {
        "persons": persons.resolve(),
        "data": data,
        "out": out,
        "privacy": privacy,
        "camera_pattern": camera_pattern,
    }
    print(select(persons, real, out, options, config={**asked, **dataclasses.asdict(options)}, audit=audit))


def select_calibrate(
    *,
    data: Path,
    out: Path,
    options: CalibrationOptions,
    reid: Path | None = None,
    camera_pattern: str | None = None,
) -> None:
    """Measure what every score of selection makes of real persons, broken ones, and pictures of none.

    Args:
        data: Folder or CSV file of person pictures; only its training split is looked at.
        out: Folder for the numbers, curves, a figure, and a sheet that shows pictures of real people if the data do.
        options: How much is drawn, and how it is shown.
        reid: Folder of a finished `reid train`, whose model judges identity; left out, the best outside network does.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.reid.embed import ReidEmbedder
    from synreid.select.calibration import NUMBERS, as_text, calibrate
    from synreid.stage.files import read_json

    asked = {"data": data, "out": out, "reid": reid, "camera_pattern": camera_pattern, **dataclasses.asdict(options)}
    judge = ReidEmbedder(reid) if reid is not None else None
    print(as_text(read_json(calibrate(open_data(data, camera_pattern), out, options, judge, asked) / NUMBERS)))


def select_report(folder: Path) -> None:
    """Print what a selection kept and discarded by each rule, in percent of all and of what reached the rule.

    Args:
        folder: Folder of a finished `select run`.
    """
    from synreid.select.report import selection_as_text

    print(selection_as_text(folder))


def reid_train(
    *,
    data: Path,
    out: Path,
    options: ReidOptions,
    add: Path | None = None,
    labels: Labels = "new-identity",
    teacher: Path | None = None,
    camera_pattern: str | None = None,
) -> None:
    """Train a re-ID model on the training split of a folder, with artificial persons added if asked.

    Args:
        data: Folder or CSV file of person pictures.
        out: Folder for the model and its curves.
        options: The model and its training.
        add: Artificial persons to add: a selection (its kept pictures) or a persons folder (all of them).
        labels: How made pictures are labelled: by the identity they claim (new-identity), that smoothed (smoothed) or
            mixed half and half with the teacher's prediction (teacher), or by another's at random (shuffled); by real
            identities alone: all of them alike (lsro), those of the real pictures that look alike (slsr), each by its
            rank in the prediction of the teacher (mprl-static) or of the model itself, at once (mprl-dynamic-1) or
            later (mprl-dynamic-2), by how much the teacher finds them alike (affinity), or the model's first choice
            (pseudo); as one class more (extra-class); or, of variations, by the persons they are mixed of (mixture).
        teacher: Folder of a finished `reid train` on the real pictures alone, for labels teacher, mprl-static, slsr and
            affinity.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.data.table import pick
    from synreid.reid.train import train
    from synreid.select.made import made_pictures

    made = made_pictures(add) if add is not None else None
    asked = {"data": data, "out": out, "add": add, "teacher": teacher, "camera_pattern": camera_pattern}
    real = pick(open_data(data, camera_pattern), split="train")
    print(train(real, made, out, options, labels, teacher=teacher, asked=asked))


def reid_evaluate(model: Path, *, data: Path, out: Path | None = None, camera_pattern: str | None = None) -> None:
    """Rank the gallery for every query and print Rank-1, 5, 10, mAP in both conventions, and mINP.

    Args:
        model: Folder of a finished `reid train`.
        data: Folder or CSV file with query and gallery.
        out: Folder for the scores; by default the model's own.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.reid.evaluate import evaluate_model

    summary = evaluate_model(model, open_data(data, camera_pattern), out).summary
    names = {"rank1": "Rank-1", "rank5": "Rank-5", "rank10": "Rank-10", "map": "mAP (standard)"}
    names |= {"map_trapezoid": "mAP (trapezoid)", "minp": "mINP"}
    for key, name in names.items():
        print(f"{name:16} {summary[key] * 100:6.2f} %")
    print(f"{'queries':16} {summary['queries']:6d}, without a match and left out: {summary['unmatched']}")


def privacy(
    source: Path,
    *,
    data: Path,
    out: Path,
    count: int = 2000,
    reid: Path | None = None,
    camera_pattern: str | None = None,
) -> None:
    """Audit made pictures for copies of training pictures, against real pictures of persons who were not learned from.

    Args:
        source: Generator (folder of a finished `gan train` or `gan import`, the file of one of its snapshots, or
            `street`, which is shipped), or folder of a finished `persons make`, `persons vary` or `select run`.
        data: Folder or CSV file of person pictures: copies are sought in its training split, and its query and gallery
            say how near pictures come by chance.
        out: Folder for the numbers, a row a picture, and a sheet that shows training pictures, so real people if the
            data do.
        count: Of a generator: pictures that are drawn, from seeds 0, 1, 2 ...
        reid: Folder of a finished `reid train`, whose model judges identity; left out, the best outside network does.
            One that was trained on these very pictures judges badly.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.reid.embed import ReidEmbedder
    from synreid.study.privacy import as_text, audit_privacy, read_privacy

    asked = {"source": source, "data": data, "out": out, "count": count, "reid": reid, "camera_pattern": camera_pattern}
    judge = ReidEmbedder(reid) if reid is not None else None
    print(as_text(read_privacy(audit_privacy(source, open_data(data, camera_pattern), out, count, judge, asked))[0]))


def study(
    recipe: str,
    *,
    out: Path,
    data: Path | None = None,
    gan: Path | None = None,
    camera_pattern: str | None = None,
) -> None:
    """Answer the question: do artificial persons help? Generator, persons, selection, all arms, all seeds, report.

    Args:
        recipe: Name of a shipped recipe (demo, quick, street-variations, market-cpu, market-variations, thesis) or a
            YAML file.
        out: Folder for everything that the study makes.
        data: Folder or CSV file of person pictures; left out, the recipe's embedded set is drawn.
        gan: Folder of a finished generator to use instead of training one.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.report.page import write_report
    from synreid.stage.files import read_json
    from synreid.study.run import STUDY, run_study

    run_study(recipe, data, out, gan, camera_pattern)
    report_path = write_report(out)
    print(_table(read_json(out / STUDY)))
    print(f"report: {report_path.resolve()}")


def report(folder: Path) -> None:
    """Write the report of a study again, as one HTML file that opens without a network.

    Args:
        folder: Folder of a finished study.
    """
    from synreid.report.page import write_report

    print(write_report(folder))


def _table(result: dict[str, Any]) -> str:
    """Return the study's answer and its two tables as plain text."""
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
            interval = (
                f"{row['mean'] * 100:+.2f} points, 95 % interval {row['low'] * 100:+.2f} to {row['high'] * 100:+.2f}"
            )
            metric = {"map": "mAP", "rank1": "Rank-1"}[row["metric"]]
            lines.append(f"{metric}: {titles[row['arm']]}, against {titles[row['against']]}: {interval}")
    return "\n".join([*lines, "", result["answer"]])


def _to_learn_from(
    data: Path, out: Path, subset: float, subset_seed: int, resume: bool, camera_pattern: str | None
) -> pa.Table:
    """Return the pictures of a share of the persons; raises UserError where there is no run to `resume`."""
    from synreid.stage.errors import UserError

    if resume and not (out / "run.json").exists():
        raise UserError(f"{out} holds no run to resume; leave --resume out to start one.")
    return _part_of(data, subset, subset_seed, camera_pattern)


def _part_of(data: Path, subset: float, subset_seed: int, camera_pattern: str | None) -> pa.Table:
    """Return the pictures of a share of the training persons, and all of the test's."""
    from synreid.data.scan import open_data
    from synreid.data.splits import subset as part_of

    return part_of(open_data(data, camera_pattern), fraction=subset, seed=subset_seed)


def _percent(row: dict[str, Any], metric: str) -> str:
    deviation = row[f"{metric}_sd"]
    spread = f" ± {deviation * 100:.1f}" if deviation is not None else ""
    return f"{row[f'{metric}_mean'] * 100:.1f}{spread}"
