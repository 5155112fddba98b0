"""What is asked of a study, read and checked before anything is run: its recipe, its pictures, its folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from synreid.data.scan import open_data
from synreid.data.splits import subset
from synreid.data.street.options import StreetOptions
from synreid.data.street.world import GALLERY, QUERY, TRAIN, plan
from synreid.data.table import column, from_columns, pick, table_fingerprint
from synreid.generate.place import SHIPPED, generator_fingerprint
from synreid.reid.pretrained import weights_input
from synreid.stage.errors import UserError
from synreid.stage.files import expected_shape, read_json, read_yaml
from synreid.stage.fingerprint import file_digest, fingerprint, plain
from synreid.stage.folder import RUN, StageFolder, read_record, read_run
from synreid.study.arms import MORE_REAL, draw_real
from synreid.study.capacity import check_variations
from synreid.study.recipe import Recipe, Subset, load_recipe, recipe_from

STAGE, VERSION = "study", 1
STUDY = "study.json"
RECIPE = "recipe.yaml"  # with every option spelled out
COMMAND_FILES = "command.json"  # digests of the files that the recipe's command named, by which it trained


@dataclass(frozen=True)
class Request:
    """A study as it was asked for."""

    recipe: Recipe
    table: pa.Table | None
    """The user's pictures; None where the recipe's own `street` is to be drawn."""
    pictures: pa.Table
    """The same, or what is known of `street` before it is drawn: who, where, and in which split."""
    config: dict[str, Any]
    """What was asked, in the command line's words."""
    inputs: dict[str, str]
    """Fingerprints of all that decides the result."""

    def folder(self, out: Path) -> StageFolder:
        """Return the study's folder `out`, not entered yet.

        Raises UserError where it holds a study of something else, or was trained by another version of the command.
        """
        self._check_same(out)
        if self.recipe.command is not None:
            check_command_files(self.recipe.command, out)
        config = {**self.config, "out": out}
        return StageFolder(out, STAGE, VERSION, config, self.inputs, (*self.config, "out"), asked=(RECIPE,))

    def _check_same(self, out: Path) -> None:
        """Name what differs, which fingerprints cannot; what is left is the folder's to refuse."""
        run = read_record(out / RUN) if (out / RUN).exists() else {}
        if run.get("stage") != STAGE:
            return
        found = [f"--{name}" for name in ("data", "gan") if run["inputs"].get(name) != self.inputs.get(name)]
        if run["inputs"].get("recipe") != self.inputs["recipe"]:
            with suppress(UserError):  # of a recipe that another version of the program could read
                before = recipe_from(read_yaml(out / RECIPE), str(out / RECIPE))
                found = [*_differing(_named(before), _named(self.recipe)), *found]
        if found:
            raise UserError(
                f"{out} holds a study that differs in {', '.join(found)}; name another folder, or remove this one to "
                "start afresh."
            )


def read_request(recipe: str, data: Path | None, gan: Path | None, camera_pattern: str | None) -> Request:
    """Return what is asked by the arguments of `run_study`.

    Raises UserError for what cannot be read or is missing, be it a model's pretrained weights, and for variations that
    the pictures cannot give.
    """
    wanted = load_recipe(recipe)
    table = open_data(data, camera_pattern) if data is not None else None
    if table is None and wanted.street is None:
        raise UserError(f"recipe {wanted.name} needs pictures; name their folder with --data.")
    pictures = table if table is not None else _planned(wanted.street or StreetOptions())
    if wanted.variations is not None:
        check_variations(wanted.variations, training_pictures(pictures, wanted.subset))
    if MORE_REAL in wanted.extra:
        others = left_out_pictures(pictures, wanted.subset)
        draw_real(others, max(wanted.amounts), wanted.keep, wanted.seeds[0])  # refuses what there is not
    if wanted.command is None:
        for model in (wanted.reid, *wanted.baselines.values()):
            weights_input(model)  # hours before they are needed
    config = {"recipe": recipe, "data": data, "gan": gan, "camera_pattern": camera_pattern}
    inputs: dict[str, str] = {"recipe": recipe_fingerprint(wanted)}
    if table is not None:
        inputs["data"] = table_fingerprint(table)
    if gan is not None:
        if not gan.exists() and (SHIPPED / gan).is_dir():
            raise UserError(
                f"{gan} is a shipped generator, which a study starts from but does not take as it is; leave --gan out, "
                f"and write gan: {{start: {gan}}} into the recipe."
            )
        read_run(gan, "gan")
        inputs["gan"] = generator_fingerprint(gan)
    return Request(wanted, table, pictures, config, inputs)


def _planned(options: StreetOptions) -> pa.Table:
    shots = plan(options)
    splits = {TRAIN: "train", QUERY: "query", GALLERY: "gallery"}
    names = [shot.path for shot in shots]
    return from_columns(
        path=names,
        sha256=names,  # nobody knows them yet
        pid=[f"{shot.person:04d}" for shot in shots],
        camera=[f"c{shot.camera}" for shot in shots],
        split=[splits[shot.folder] for shot in shots],
    )


def recipe_fingerprint(recipe: Recipe) -> str:
    """Return what tells a recipe from another."""
    return fingerprint(_named(recipe))


def _named(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe without the options that do not name a training yet.

    A reference never does: it is shown beside the result. What is left out here must stay so, and an option of
    `baselines` that comes later than they did must be left out too, or finished studies are not found again.
    """
    named: dict[str, Any] = plain(recipe)
    del named["reference"]
    for option in recipe.reid.unnamed:
        del named["reid"][option]
    for name, model in recipe.baselines.items():
        if not model.non_local:
            del named["baselines"][name]["non_local"]
    for later in ("arms", "baselines"):
        if not named[later]:
            del named[later]
    return named


def _differing(before: dict[str, Any], after: dict[str, Any], within: str = "") -> Iterator[str]:
    """Yield the keys, such as gan.kimg, whose values are not the same."""
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differing(old, new, f"{within}{key}.")
        elif old != new:
            yield f"{within}{key}"


def command_files(command: str) -> dict[str, str]:
    """Return the digest of each file that a word of `command` names; what these files read in turn nobody knows."""
    named = filter(os.path.isfile, shlex.split(command))  # Path.is_file fails at a word as long as those of python -c
    return {word: file_digest(Path(word)) for word in named if os.access(word, os.R_OK)}


def check_command_files(command: str, out: Path) -> None:
    """Raise UserError where a file that `command` names has changed since `out` got a finished training by it."""
    if not (out / COMMAND_FILES).exists():
        return
    if not any(read_record(path).get("finished") for path in out.glob(f"reid/*/*/{RUN}")):
        return  # one that failed may be corrected
    with expected_shape(out / COMMAND_FILES):
        known = dict(read_json(out / COMMAND_FILES))
    for name, digest in command_files(command).items():
        if known.get(name, digest) != digest:
            raise UserError(
                f"{name}, which command names, is not what it was when {out} was trained by it; name another folder, "
                "or remove this one to start afresh."
            )


def chosen_persons(table: pa.Table, wanted: Subset) -> pa.Table:
    """Return the data set with those training persons only whom `wanted` takes; raises UserError if there are none."""
    if wanted.identities is not None:
        available = len({pid for pid in column(pick(table, split="train"), "pid") if pid is not None})
        return subset(table, identities=min(wanted.identities, available), seed=wanted.seed)
    return subset(table, fraction=1.0 if wanted.fraction is None else wanted.fraction, seed=wanted.seed)


def left_out_pictures(table: pa.Table, wanted: Subset) -> pa.Table:
    """Return the training pictures, junk aside, of those persons whom `wanted` does not take."""
    train = pick(table, split="train", junk=False)
    taken = set(column(training_pictures(table, wanted), "pid"))
    return pick(train, pid=set(column(train, "pid")) - taken - {None})


def training_pictures(table: pa.Table, wanted: Subset) -> pa.Table:
    """Return the training pictures of those persons whom `wanted` takes."""
    return pick(chosen_persons(table, wanted), split="train")
