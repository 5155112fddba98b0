"""Commands that keep the good pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from synreid.select.calibration_options import CalibrationOptions
from synreid.select.options import SelectOptions


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
    from synreid.select.report import kept_as_text
    from synreid.select.run import select
    from synreid.stage.log import say
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
    folder = select(persons, real, out, options, config={**asked, **dataclasses.asdict(options)}, audit=audit)
    say(kept_as_text(folder))
    print(folder)


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
    from synreid.select.calibration import calibrate, calibration_as_text

    asked = {"data": data, "out": out, "reid": reid, "camera_pattern": camera_pattern, **dataclasses.asdict(options)}
    judge = ReidEmbedder(reid) if reid is not None else None
    print(calibration_as_text(calibrate(open_data(data, camera_pattern), out, options, judge, asked)))


def select_report(folder: Path) -> None:
    """Print what a selection kept and discarded by each rule, in percent of all and of what reached the rule.

    Args:
        folder: Folder of a finished `select run`.
    """
    from synreid.select.report import selection_as_text

    print(selection_as_text(folder))
