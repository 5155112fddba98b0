"""Commands that go from real pictures to a generator's styles."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from synreid.cli.commands.part import part_of, to_learn_from
from synreid.invert.measure_options import MeasureOptions
from synreid.invert.options import EncoderOptions, RefineOptions


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

    table = to_learn_from(data, out, subset, subset_seed, resume, camera_pattern)
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

    table = pick(part_of(data, subset, subset_seed, camera_pattern), split=split)
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
    from synreid.invert.measure import measure_encoder, measured_as_text

    asked = {"encoder": encoder, "gan": gan, "data": data, "reid": reid, "out": out, "camera_pattern": camera_pattern}
    asked |= {**dataclasses.asdict(options), **dataclasses.asdict(refine)}
    table = open_data(data, camera_pattern)
    print(measured_as_text(measure_encoder(table, gan, encoder, out, options, refine, reid, asked)))
