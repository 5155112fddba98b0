"""Commands that train a generator, take one over, and show and measure it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from synreid.cli.commands.part import to_learn_from
from synreid.generate.options import GanOptions, ShowOptions
from synreid.invert.layer_options import LayerOptions


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

    table = to_learn_from(data, out, subset, subset_seed, resume, camera_pattern)
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
        count: Made pictures, from seeds 0, 1, 2 ... Fewer take less time, but numbers of different counts do not
            compare.
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
