"""Commands that make artificial persons and variations of real ones, and audit them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from synreid.cli.commands.part import part_of
from synreid.generate.options import PersonOptions
from synreid.invert.options import RefineOptions, VaryOptions


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

    table = part_of(data, subset, subset_seed, camera_pattern) if data is not None else None
    refine = RefineOptions(steps=steps) if steps is not None else None
    drawn = {"subset": subset, "subset_seed": subset_seed, "camera_pattern": camera_pattern}
    asked = {"gan": gan, "encoder": encoder, "data": data, "out": out, "steps": steps, **drawn}
    latents = latents_of(gan, encoder, table, out, refine)
    print(vary_persons(gan, latents, out, options, {**asked, **dataclasses.asdict(options)}))


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
    from synreid.stage.files import expected_shape
    from synreid.study.privacy import NUMBERS, as_text, audit_privacy, read_privacy

    asked = {"source": source, "data": data, "out": out, "count": count, "reid": reid, "camera_pattern": camera_pattern}
    judge = ReidEmbedder(reid) if reid is not None else None
    found, _ = read_privacy(audit_privacy(source, open_data(data, camera_pattern), out, count, judge, asked))
    with expected_shape(out / NUMBERS):
        text = as_text(found)
    print(text)
