"""How near a finished generator's pictures come to real ones: the numbers of `gan measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from synreid.data.pixels import pixels
from synreid.data.table import rows
from synreid.features.embedders import EfficientNetLite0, Embedder
from synreid.generate.place import SHIPPED, generator_place
from synreid.generate.quality import drawn_rows, samples
from synreid.generate.sample import StyleSampler
from synreid.quality.cached import cached_features, embedded
from synreid.quality.distribution import measure
from synreid.quality.metrics import AIDED, frechet_name
from synreid.stage.device import choose_device
from synreid.stage.errors import UserError
from synreid.stage.files import read_yaml
from synreid.stage.folder import CONFIG


def measure_gan(
    gan: Path, real: pa.Table, embedder: Embedder, count: int = 10_000, real_count: int | None = None, k: int = 5
) -> dict[str, Any]:
    """Return the measures of `quality.distribution.measure` for made pictures of seeds 0 to `count` - 1.

    `gan` is a generator's folder, a snapshot's file or a shipped name; `real` the table of training pictures, of which
    all count, or `real_count` drawn with seed 0, resized to the generator's height and width. Raises UserError where
    `gan` is no generator or a set has fewer than 2 pictures.
    """
    if count < 2:
        raise UserError(f"{count} made pictures have no spread to measure; make 2 or more.")
    if k < 1:
        raise UserError(f"k is {k}, but the nearest neighbour is the first; take 1 or more.")
    place = generator_place(gan)
    sampler = StyleSampler.load(place, choose_device())
    chosen = drawn_rows(len(real), real_count, seed=0)
    source = pixels(rows(real, chosen), sampler.height, sampler.width)
    made = embedded(samples(sampler, range(count)), count, embedder)
    aided = isinstance(embedder, EfficientNetLite0) and was_aided(place if place.is_dir() else place.parent)
    return {
        "generator": sampler.fingerprint,
        "resolution": f"{sampler.height}x{sampler.width}",
        "training_pictures": len(real),
        **measure(cached_features(source, embedder), made, embedder.name + AIDED * aided, k),
    }


def was_aided(folder: Path) -> bool:
    """Return whether a generator's training, or one that it went on from, looked through EfficientNet-Lite0.

    False where the folder does not say (an import).
    """
    todo, seen = [folder], set()
    while todo:
        path = todo.pop() / CONFIG
        if path in seen or not _is_there(path):
            continue
        seen.add(path)
        config = read_yaml(path)
        several = isinstance(config, dict) and isinstance(config.get("gan"), list)  # a shipped one has several
        for stage in config["gan"] if several else [config]:
            weight, start = _aid_and_start(stage, path)
            if weight > 0:
                return True
            if start:
                todo.append(SHIPPED / start if _is_there(SHIPPED / start) else Path(start))
    return False


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
