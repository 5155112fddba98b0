"""How near a finished generator's pictures come to real ones: the numbers of `gan measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from synreid.data.pixels import pixels
from synreid.data.table import column, rows
from synreid.features.embedders import Embedder
from synreid.generate.generator import Generator
from synreid.generate.place import SHIPPED, generator_fingerprint, generator_place
from synreid.generate.quality import drawn_rows, features_name, samples
from synreid.generate.sample import StyleSampler
from synreid.quality.cached import cached_features, embedded
from synreid.quality.distribution import measure
from synreid.quality.metrics import frechet_name
from synreid.stage.device import choose_device
from synreid.stage.errors import UserError
from synreid.stage.files import read_yaml
from synreid.stage.folder import CONFIG, RUN, read_record
from synreid.stage.log import say


def measure_gan(
    gan: Path, real: pa.Table, embedder: Embedder, count: int = 10_000, real_count: int | None = None, k: int = 5
) -> dict[str, Any]:
    """Return the measures of `quality.distribution.measure` for made pictures of seeds 0 to `count` - 1.

    `gan` is a generator's folder, a snapshot's file or a shipped name; `real` the table of training pictures, of which
    all count, or `real_count` drawn with seed 0, resized to the generator's height and width. A class-conditional
    generator is asked for each class as often as those pictures are of it. Raises UserError where `gan` is no generator
    or a set has fewer than 2 pictures.
    """
    if count < 2:
        raise UserError(f"{count} made pictures have no spread to measure; make 2 or more.")
    if k < 1:
        raise UserError(f"k is {k}, but the nearest neighbour is the first; take 1 or more.")
    place = generator_place(gan)
    sampler = StyleSampler.load(place, choose_device())
    chosen = drawn_rows(len(real), real_count, seed=0)
    source = pixels(rows(real, chosen), sampler.height, sampler.width)
    made = embedded(samples(sampler, range(count), class_labels(sampler.network, real)), count, embedder)
    features = features_name(embedder, was_aided(place if place.is_dir() else place.parent))
    return {
        "generator": sampler.fingerprint,
        "resolution": f"{sampler.height}x{sampler.width}",
        "training_pictures": len(real),
        **measure(cached_features(source, embedder), made, features, k),
    }


def class_labels(generator: Generator, real: pa.Table) -> Tensor | None:
    """Return the numbers of the pictures' classes among the generator's, int64 [M], None where there are none.

    Pictures of no class of a class-conditional generator's are left out, counted and said.
    """
    if not generator.classes:
        return None
    numbers = {name: number for number, name in enumerate(generator.classes)}
    named = generator.cond in real.column_names  # an import's are numbered only
    labels = [numbers[name] for name in column(real, generator.cond) if name in numbers] if named else []
    if left_out := len(real) - len(labels):
        drawn = "for each as often as the others have it" if labels else "for all evenly"
        say(f"{left_out:,} of {len(real):,} pictures are of no class that this generator makes; it is asked {drawn}.")
    return torch.tensor(labels) if labels else None


def was_aided(folder: Path) -> bool | None:
    """Return whether a generator's training, or one that it went on from, looked through EfficientNet-Lite0.

    None where nobody can tell: `folder` holds no options, or the generator that its training went on from is not found
    any more. The trainings of imported generators looked through none.
    """
    place: Path | None = folder
    seen: set[Path] = set()
    while place is not None and place not in seen:
        seen.add(place)
        path = place / CONFIG
        if not _is_there(path):
            return None
        config = read_yaml(path)
        several = config.get("gan") if isinstance(config, dict) else None  # a shipped one has them one after another
        stages = several if isinstance(several, list) and several else [config]
        found = [_aid_and_start(stage, path) for stage in stages]
        if any(weight > 0 for weight, _ in found):
            return True
        _, start = found[0]
        if not start:
            return False
        record = read_record(place / RUN) if _is_there(place / RUN) else {}
        if isinstance(known := record.get("vision_aided"), bool):
            return known
        place = _start_of(start, record.get("inputs", {}).get("start"))
    return None


def _start_of(start: str, wanted: str | None) -> Path | None:
    """Return the folder that a training's option `start` names, None where it is not found.

    It may be relative to where the training was begun, so it must hold the generator of fingerprint `wanted`, if known.
    """
    for place in (Path(start), SHIPPED / start):
        try:
            if (place / CONFIG).exists() and (wanted is None or wanted == generator_fingerprint(place)):
                return place
        except OSError:  # a name that is too long, or no generator any more
            continue
    return None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _aid_and_start(stage: Any, path: Path) -> tuple[float, str | None]:
    """Return the weight of the vision-aided loss and the generator that a training began with, None for none."""
    options = stage if isinstance(stage, dict) else {"vision_aid": None}
    weight, start = options.get("vision_aid", 0), options.get("start")
    if not isinstance(weight, int | float) or not isinstance(start, str | None):
        raise UserError(
            f"{path} does not hold the options of a generator's training (vision_aid a number, start a folder); "
            "put back the file that gan train wrote, or train again."
        )
    return weight, start


def measures_as_text(values: dict[str, Any]) -> str:
    """Return the result of `measure_gan` as lines, one a measure, each with its sets, counts and features."""
    every = "all" if values["real"] == values["training_pictures"] else "drawn"
    sets = f"{values['made']:,} made, {values['real']:,} real ({every}), {values['resolution']}, {values['features']}"
    kid = f"{values['kid']:.5f} ± {values['kid_sd']:.5f}"
    found = [(frechet_name(values["features"]), f"{values['frechet']:.4g}", "")]
    found += [("KID", kid, f", subsets of {values['kid_size']:,}")]
    for name in ("precision", "recall", "density", "coverage"):
        found.append((name, f"{values[name]:.4f}", f", k = {values['k']}"))
    found.append(("looks (Vendi)", f"{values['looks']:.1f}", f", as many real ones {values['looks_real']:.1f}"))
    width = max(len(name) for name, _, _ in found)
    return "\n".join(f"{name:{width}}  {value:>21}   {sets}{more}" for name, value, more in found)
