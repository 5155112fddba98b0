"""The stage that measures a generator's layers and draws what was found."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from synreid.data.sheets import write_picture
from synreid.features.embedders import default_identity_embedder
from synreid.features.pose import default_key_points
from synreid.generate.place import generator_place
from synreid.generate.sample import StyleSampler
from synreid.invert.layer_figure import draw_layers, layer_sheet
from synreid.invert.layer_options import LayerOptions
from synreid.invert.layer_roles import Change, Changes, Group, LayerRoles, check_layers, measure_layers
from synreid.reid.embed import ReidEmbedder
from synreid.stage.device import choose_device
from synreid.stage.files import expected_shape, read_json, write_json
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import StageFolder, read_run
from synreid.stage.log import say

STAGE, VERSION = "layers", 1
NUMBERS, FIGURE, PICTURES = "layers.json", "layers.png", "layers-pictures.png"


def show_layers(
    gan: Path, out: Path, options: LayerOptions, reid: Path | None, config: dict[str, Any] | None = None
) -> Path:
    """Measure the layers of the generator that `gan` names (a folder, a snapshot's file or `street`); return `out`.

    Identity is judged by the re-ID model in the folder `reid`, or by the best outside network at hand. Writes
    `layers.json` (see `read_layers`), `layers.png` (bars) and `layers-pictures.png` (some persons, layer by layer).
    """
    sampler = StyleSampler.load(generator_place(gan), choose_device())
    check_layers(sampler)
    if reid is None:
        embedder, by = default_identity_embedder()
    else:
        embedder, by = ReidEmbedder(reid), f"Identity is judged by the re-ID model in {reid}."
    finder, pose_by = default_key_points()
    inputs = {"generator": sampler.fingerprint, "identity": embedder.fingerprint}
    inputs["pose"] = finder.fingerprint if finder else "left out"
    asked = config or {"gan": gan, "out": out, "reid": reid, **dataclasses.asdict(options)}
    with StageFolder(out, STAGE, VERSION, asked, inputs, unnamed=("gan", "out", "reid")) as stage:
        if stage.complete:
            return out
        say(by)
        say(pose_by)
        roles = measure_layers(sampler, embedder, options, finder)
        write_json(out / NUMBERS, roles)
        draw_layers(roles, out / FIGURE)
        write_picture(out / PICTURES, layer_sheet(sampler, roles, options))
        stage.finish({name: file_digest(out / name) for name in (NUMBERS, FIGURE, PICTURES)})
    return out


def read_layers(folder: Path) -> LayerRoles:
    """Return what `show_layers` wrote into `folder`.

    Raises UserError where it is not the folder of a finished run, and where its numbers are damaged.
    """
    read_run(folder, STAGE)
    path = folder / NUMBERS
    with expected_shape(path):
        roles = _roles(read_json(path))
        roles.as_text()  # what cannot be told is damaged too
    return roles


def _roles(values: dict[str, Any]) -> LayerRoles:
    def changes(found: dict[str, dict[str, float | None]]) -> Changes:
        return {name: Change(**change) for name, change in found.items()}

    values["layers"] = tuple(changes(layer) for layer in values["layers"])
    values["groups"] = tuple(Group(**{**group, "changes": changes(group["changes"])}) for group in values["groups"])
    values["whole"] = changes(values["whole"])
    return LayerRoles(**values)
