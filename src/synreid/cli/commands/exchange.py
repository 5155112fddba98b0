"""Commands that hand pictures to other tools and take theirs."""

from __future__ import annotations

from pathlib import Path

from synreid.exchange.names import Claim, FixedLabels, Layout, SourceType


def export(
    *,
    out: Path,
    layout: Layout = "market1501",
    data: Path | None = None,
    add: Path | None = None,
    labels: FixedLabels | None = None,
    camera_pattern: str | None = None,
) -> None:
    """Write real and made pictures as a folder that other trainers read; made ones say so in their own metadata.

    Args:
        out: Folder to write; must not hold anything yet.
        layout: Market-1501's three folders (market1501), a folder a person in train, query and gallery (imagefolder),
            or tar files of pictures with what is known of each (webdataset).
        data: Folder or CSV file of real pictures, all splits of which are written.
        add: Made pictures to add to the training split: a selection (its kept pictures) or a persons folder (all of
            them).
        labels: Strategy whose targets are written beside the training pictures, as in `reid train`; left out, none.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.exchange.export import export as write
    from synreid.select.made import made_pictures

    real = open_data(data, camera_pattern) if data is not None else None
    made = made_pictures(add) if add is not None else None
    asked = {"out": out, "layout": layout, "data": data, "add": add, "labels": labels, "camera_pattern": camera_pattern}
    print(write(real, made, out, layout, labels, asked))


def persons_import(
    source: Path,
    *,
    out: Path,
    made_by: str,
    claim: Claim = "new",
    data: Path | None = None,
    size: str | None = None,
    digital_source_type: SourceType | None = None,
    camera_pattern: str | None = None,
) -> None:
    """Take over pictures of persons that something else made, as a folder that select, reid train and export take.

    Args:
        source: Folder with a folder for each person; folder of pictures, each of a person of its own or all with names
            as in Market-1501 (0002_c1s1_000451_03.jpg); or CSV file with the columns path, pid and, if wanted, parent.
        out: Folder for the pictures and their table.
        made_by: Name of what made them, such as a diffusion model's.
        claim: Whom they show: persons who do not exist (new), or the person of the real picture that the column parent
            of a CSV file names (parent), so that they are variations.
        data: Folder or CSV file of real person pictures: where parents are found, and whose test pictures are refused.
        size: Resolution HxW that the pictures are brought to, such as 128x64; left out, they stay as they are.
        digital_source_type: What the pictures will say of themselves when exported, a term of the IPTC's vocabulary;
            left out, trainedAlgorithmicMedia or, with claim parent, compositeWithTrainedAlgorithmicMedia.
            algorithmicMedia fits a renderer that learned from no pictures.
        camera_pattern: Regular expression whose first group is the camera, for data with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.exchange.imported import import_persons

    real = open_data(data, camera_pattern) if data is not None else None
    asked = {"source": source, "out": out, "made_by": made_by, "claim": claim, "data": data, "size": size}
    asked |= {"digital_source_type": digital_source_type, "camera_pattern": camera_pattern}
    print(import_persons(source, out, made_by, claim, real, size, digital_source_type, asked))
