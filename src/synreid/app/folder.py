"""What a folder holds that the page can show: generators, selections, re-ID models, galleries, the study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synreid.data.table import TABLE, column, read_table
from synreid.generate.place import GENERATOR, SHIPPED, generator_place
from synreid.reid.gallery import gallery_table
from synreid.reid.index import STAGE as INDEX
from synreid.reid.index import open_index
from synreid.reid.train import MODEL
from synreid.reid.train import STAGE as REID
from synreid.report.facts import STREET, is_drawn, is_drawn_so_far
from synreid.report.folder import STUDY, Study, read_study
from synreid.select.made import made_pictures
from synreid.select.run import kept_rows, read_selection
from synreid.stage.errors import UserError
from synreid.stage.files import read_json, read_yaml
from synreid.stage.folder import CONFIG, RUN

REPORT = "report.html"


@dataclass(frozen=True)
class Gallery:
    """Pictures to search in."""

    table: pa.Table
    visible: np.ndarray
    """Which of its pictures may be shown, bool [N]."""
    index: Path | None = None
    """The folder of a finished index of them, if there is one."""


@dataclass
class Material:
    """All that the page is made of; a part that the folder lacks is empty, and what was left out is said."""

    folder: Path
    show_real: bool = False
    drawn: bool = False
    """Whether no real person can be in the folder's pictures: a study drew its own, and its generator saw no others."""
    generators: dict[str, Path] = field(default_factory=dict)
    selections: dict[str, Path] = field(default_factory=dict)
    models: dict[str, Path] = field(default_factory=dict)
    galleries: dict[str, Gallery] = field(default_factory=dict)
    study: Study | None = None
    left_out: list[str] = field(default_factory=list)

    @property
    def report(self) -> Path | None:
        """The study's report, if it was written."""
        path = self.folder / REPORT
        return path if self.study is not None and path.is_file() else None

    def may_be_shown(self, table: pa.Table, drawn: bool | None = None) -> np.ndarray:
        """Return which pictures of a table may be shown, bool [N]: artificial persons, drawn ones, or all if asked.

        Variations are pictures of real persons too. `drawn` speaks for pictures from outside the folder.
        """
        if self.show_real or (self.drawn if drawn is None else drawn):
            return np.ones(len(table), dtype=bool)
        return np.asarray(column(table, "origin") == "artificial")


def find_material(folder: Path, data: Path | None = None, show_real: bool = False) -> Material:
    """Return what `folder` holds: a study, a folder of stages, one stage, or a shipped generator's name.

    `data` are pictures to search in. Raises UserError where there is nothing to show, or a part of it is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        if not folder.exists() and not (SHIPPED / folder).is_dir():
            raise UserError(f"{folder} does not exist; name the folder of a study or of one of its stages.")
        shipped = not folder.exists()  # those learned from drawn persons only
        return Material(folder, show_real, shipped, {folder.stem: generator_place(folder)})
    found = Material(folder, show_real)
    stages = dict(_stages(folder))
    if stages.get(folder) == "study":
        _add_study(found)
    for place, stage in stages.items():
        _add(found, place, stage)
    if found.study is not None:
        found.models = _in_order(found.models, found.study)
    if not stages and (folder / GENERATOR).exists():
        found.generators[folder.name] = folder
    if stages.get(folder) == "persons":
        _add_selections_beside(found)
    _add_galleries(found, data)
    _check(found, data)
    return found


def _stages(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the stage folders in and under `folder`, the folder itself first, with the name of their stage."""
    children = sorted(path for path in folder.iterdir() if path.is_dir())
    arms = [path for path in sorted(folder.glob("reid/*/*")) if path.is_dir()]
    for place in [folder, *children, *sorted(folder.glob("reid/*")), *arms]:
        if (place / RUN).is_file():
            yield place, str(_run(place).get("stage"))


def _run(place: Path) -> dict[str, Any]:
    run = read_json(place / RUN)
    if not isinstance(run, dict):
        raise UserError(f"{place / RUN} is not an object; remove {place} and run its stage again.")
    return run


def _config(place: Path) -> dict[str, Any]:
    values = read_yaml(place / CONFIG)
    return values if isinstance(values, dict) else {}


def _add_study(found: Material) -> None:
    if not (found.folder / STUDY).exists():
        found.left_out.append("The study has no answer yet: it was cut off, or is still at work.")
        found.drawn = is_drawn_so_far(found.folder)
        return
    found.study = read_study(found.folder)
    found.drawn = is_drawn(found.study)
    elsewhere = found.study.generator.get("folder")
    if not (found.folder / "gan").is_dir() and isinstance(elsewhere, str) and (Path(elsewhere) / GENERATOR).exists():
        found.generators[Path(elsewhere).name] = Path(elsewhere)


def _add(found: Material, place: Path, stage: str) -> None:
    """Take in one stage's folder, or say why not."""
    if stage not in ("gan", "select", REID, INDEX):
        return
    name = place.relative_to(found.folder).as_posix() if place != found.folder else place.resolve().name
    if _run(place).get("finished") is None:
        found.left_out.append(f"{name} is left out: its {stage} run was cut off, or is still at work.")
    elif stage == "gan":
        found.generators[name] = place
    elif stage == "select":
        found.selections[name] = place
    elif stage == REID and (place / MODEL).is_file():
        _add_model(found, name, place)
    elif stage == INDEX:
        index = open_index(place)
        found.galleries[f"index {name}"] = Gallery(index.table, found.may_be_shown(index.table, False), place)
        model = Path(str(index.run["config"]["model"]))
        if not any(known.resolve() == model for known in found.models.values()):
            found.models[f"model of {name}"] = model


def _add_model(found: Material, name: str, place: Path) -> None:
    """Take in a model; of an arm's several seeds the first will do."""
    room, _, rest = name.partition("/")
    arm, _, seed = rest.partition("/")
    if room != "reid" or not arm:
        found.models[name] = place
        return
    title = found.study.title(arm) if found.study is not None else arm
    if not any(known.startswith(f"{title}, seed ") for known in found.models):
        found.models[f"{title}, seed {seed}" if seed else f"{title} of the selection"] = place


def _in_order(models: dict[str, Path], study: Study) -> dict[str, Path]:
    """Return the models with that of the study's answer first, then as the study orders its arms."""
    first = [study.largest.title] if study.largest is not None else []
    places = {title: place for place, title in reversed(list(enumerate([*first, *(arm.title for arm in study.arms)])))}
    order = sorted(models, key=lambda name: places.get(name.rpartition(", seed ")[0], len(places) + 1))
    return {name: models[name] for name in order}


def _add_selections_beside(found: Material) -> None:
    own = found.folder.resolve()
    for place in sorted(own.parent.iterdir()):
        run = _run(place) if (place / RUN).is_file() else {}
        if run.get("stage") == "select" and run.get("finished") is not None and persons_of(place) == own:
            found.selections[place.name] = place


def persons_of(selection: Path) -> Path:
    """Return the folder of persons that a selection chose from, also where both were moved together.

    Raises UserError where it is gone.
    """
    recorded = Path(str(_config(selection).get("persons")))
    beside = selection.resolve().parent / recorded.name
    for place in (recorded, beside):
        if (place / TABLE).is_file():
            return place.resolve()
    raise UserError(f"{selection} selects from {recorded}, which is gone; select again from the persons' new place.")


def _add_galleries(found: Material, data: Path | None) -> None:
    """Take in what can be searched, once there is a model to search with."""
    if not found.models:
        return
    own = found.folder / STREET
    if data is not None:
        table = gallery_table(data)
        drawn = found.drawn and Path(data).resolve() == own.resolve()
        found.galleries[f"gallery of {Path(data).resolve().name}"] = Gallery(table, found.may_be_shown(table, drawn))
    elif found.drawn and own.is_dir():
        table = gallery_table(own)
        found.galleries[f"gallery of {STREET}"] = Gallery(table, found.may_be_shown(table))
    for name, place in found.selections.items():
        table = kept_rows(read_table(persons_of(place) / TABLE), read_selection(place))
        found.galleries[f"kept by {name}"] = Gallery(table, found.may_be_shown(table))
    persons = found.folder / "persons"
    if not found.selections and (persons / RUN).is_file() and _run(persons).get("finished") is not None:
        table = made_pictures(persons)
        found.galleries["made pictures"] = Gallery(table, found.may_be_shown(table))


def _check(found: Material, data: Path | None) -> None:
    folder = found.folder
    if data is not None and not found.models:
        raise UserError(f"{folder} has no re-ID model that could search in {data}; leave --data out, or train one.")
    if found.models and not found.galleries and not (found.generators or found.selections or found.study):
        raise UserError(f"{folder} is a re-ID model with nothing to search in; name pictures by --data.")
    if not (found.generators or found.selections or found.models or found.study):
        why = f" ({found.left_out[0]})" if found.left_out else ""
        raise UserError(
            f"{folder} holds nothing to show{why}: name the folder of a study, or of a finished generator, selection, "
            "re-ID model or index; made persons are shown with a selection of them."
        )
