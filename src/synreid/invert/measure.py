"""How well inversion keeps the person: inverted query pictures against the real gallery, and beside the real ones.

Measuring on test pictures is not training on them. A query's styles are found for that picture by itself, by an encoder
that has seen training pictures only; no weight or threshold is taken from what is measured here, but for the scale by
which latents and features are added up (`latent_ranking.joined`), which looks at no identity.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from synreid.data.pixels import pixels
from synreid.data.sheets import sheet, shown_scale, titled, write_picture
from synreid.data.table import TABLE, column, paths, pick, read_table, rows, spread, table_fingerprint
from synreid.features import ssim
from synreid.features.embedders import Embedder, default_identity_embedder, embedder_by_name
from synreid.generate.network import load_generator
from synreid.generate.place import PICTURES, generator_fingerprint, generator_place, learned_pictures
from synreid.invert.encoder import encoder_fingerprint, load_encoder, mean_latent
from synreid.invert.latent_ranking import encode_pictures, latent_ranking
from synreid.invert.latents import PARTS, Inversion, invert_pictures, load_latents, show
from synreid.invert.measure_numbers import compared, mean_and_error, same_and_other
from synreid.invert.measure_options import MeasureOptions
from synreid.invert.options import EncoderOptions, RefineOptions
from synreid.invert.train import STAGE as TRAINING
from synreid.quality.cached import blocks, cached_features, embedded
from synreid.quality.neighbours import unit_length
from synreid.reid.embed import ReidEmbedder
from synreid.reid.evaluate import evaluate_features
from synreid.stage.errors import UserError
from synreid.stage.files import expected_shape, read_json, write_json
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import RUN, StageFolder, read_run
from synreid.stage.log import say

STAGE, VERSION = "encoder-measure", 1
MEASURED, SHEET, INVERTED = "measure.json", "measured.png", "inverted"
OUTSIDE_SIZE = (128, 64)  # at which the outside network gets real pictures: Market-1501's own
SHOWN = 4  # rows of the sheet for each of worst, median and best
LOSSES = {"l2": "L2", "lpips": "perceptual", "identity": "identity loss", "w_norm": "w norm", "ssim": "SSIM"}


@dataclass(frozen=True)
class Judge:
    """Who tells persons apart."""

    embedder: Embedder
    size: tuple[int, int]
    """Height and width at which it gets real pictures."""
    in_loss: bool | None = False
    """Whether the encoder was trained to please it; None where that is not known."""


def measure_encoder(
    data: pa.Table,
    gan: Path,
    encoder: Path,
    out: Path,
    options: MeasureOptions,
    refine: RefineOptions,
    reid: Path,
    config: dict[str, Any] | None = None,
) -> Path:
    """Invert query pictures of `data`, by the encoder alone and refined, say what is left of the person; return `out`.

    `encoder` is the folder of a finished `encoder train` with the generator `gan`; `reid`, the folder of a finished
    `reid train`, is the re-ID model that ranks, beside an outside network. It takes part in refinement only where it is
    the one that the encoder was trained with, which is said beside its numbers (`in_loss`).

    Only the query and gallery splits are looked at. Writes `measure.json` (what `as_text` prints), `measured.png` (the
    worst, median and best queries by identity) and `inverted/`, the queries' latents. A run that was cut off goes on.

    Raises UserError for an encoder of another generator or one that learned from a picture of the test split, a missing
    split, and `tune_steps`, since a tuned generator is no longer the one that is measured.
    """
    place = generator_place(gan)
    network = load_encoder(encoder, place)
    if refine.tune_steps:
        raise UserError(f"tune_steps is {refine.tune_steps}, but it is styles that are measured; leave it 0.")
    if min(network.height, network.width) < ssim.WINDOW:
        raise UserError(
            f"SSIM needs pictures of {ssim.WINDOW}x{ssim.WINDOW} pixels or more, but the generator makes "
            f"{network.height}x{network.width}; measure a larger one."
        )
    query, gallery = chosen_rows(data, options.queries)
    seen = check_unseen(data, encoder)
    judges = _judges(encoder, network.options, reid, options)
    inputs = {
        "query": table_fingerprint(query),
        "gallery": table_fingerprint(gallery),
        "gan": generator_fingerprint(place),
        "encoder": encoder_fingerprint(encoder),
        **{name: judge.embedder.fingerprint for name, judge in judges.items()},
    }
    asked = config or {**dataclasses.asdict(options), **dataclasses.asdict(refine)}
    unnamed = ("data", "out", "gan", "encoder", "reid", "outside", "camera_pattern")
    with StageFolder(out, STAGE, VERSION, asked, inputs, unnamed) as folder:
        if not folder.complete:
            in_loss = reid if judges["reid"].in_loss else None
            invert_pictures(query, gan, encoder, out / INVERTED, refine, in_loss)
            inversion = Inversion(load_generator(place), network, refine, in_loss)
            refined = load_latents(out / INVERTED, gan).w
            measuring = _Measuring(inversion, refined, query, gallery, judges, options, out)
            write_json(out / MEASURED, {**measuring.facts(inputs), "unseen": seen, **measuring.values()})
            write_picture(out / SHEET, measuring.sheet())
            folder.finish({name: file_digest(out / name) for name in (MEASURED, SHEET)}, queries=len(query))
            shutil.rmtree(out / PARTS, ignore_errors=True)
    return out


def chosen_rows(data: pa.Table, queries: int) -> tuple[pa.Table, pa.Table]:
    """Return the query rows that are inverted, by person, and the gallery's.

    Of the queries with an identity, sorted by it, `queries` evenly spread ones are taken; 0 takes all. Raises UserError
    where a split has none.
    """
    query, gallery = pick(data, split="query", junk=False), pick(data, split="gallery")
    known = np.array([pid is not None for pid in column(query, "pid")], dtype=bool)
    if skipped := len(pick(data, split="query")) - int(known.sum()):
        say(f"{skipped:,} query pictures are junk or without an identity and are left out.")
    query = rows(query, known)
    if not len(query) or not len(gallery):
        raise UserError(
            f"the data has {len(query)} query pictures of a known person and {len(gallery)} gallery pictures; "
            "both are needed to measure."
        )
    order = np.lexsort((column(query, "path").astype(str), column(query, "pid").astype(str)))
    return rows(query, order[spread(len(query), queries or len(query))]), gallery


def check_unseen(data: pa.Table, encoder: Path) -> str:
    """Return what is known of whether the encoder and its generator saw test pictures: `checked`, or why it is not.

    Raises UserError where they learned from a picture of the test split.
    """
    if not (_folder(encoder) / PICTURES).exists():
        say(f"{_folder(encoder) / PICTURES} is not there, so nobody can tell whether test pictures were learned from.")
        return f"not known: {PICTURES} is missing"
    found = learned_pictures(_folder(encoder))
    learned = found.digests
    test = pick(data, split=("query", "gallery"))
    for digest, path in zip(column(test, "sha256"), paths(test), strict=True):
        if digest in learned:
            raise UserError(
                f"the encoder or its generator learned from {path}, a test picture, so it is known; "
                "take ones that were trained on the training split alone."
            )
    if found.unlisted:
        return f"checked, but for what {', '.join(sorted(found.unlisted))} learned from, which is not listed"
    return "checked"


class _Measuring:
    """The queries in all their forms, and what is found of them."""

    def __init__(
        self,
        inversion: Inversion,
        refined: Tensor,
        query: pa.Table,
        gallery: pa.Table,
        judges: dict[str, Judge],
        options: MeasureOptions,
        out: Path,
    ) -> None:
        self.inversion, self.query, self.gallery, self.judges = inversion, query, gallery, judges
        self.options, self.out = options, out
        self.persons = column(query, "pid").astype(str)
        self.height, self.width = inversion.generator.height, inversion.generator.width
        self.real = pixels(query, self.height, self.width)
        self.w = inversion.encode(self.real)
        self.made = {"encoder": show(inversion.generator, self.w)}
        if inversion.options.steps:
            self.made["refined"] = show(inversion.generator, refined)
        self.features: dict[str, dict[str, np.ndarray]] = {}

    def facts(self, inputs: dict[str, str]) -> dict[str, Any]:
        """Return what was measured with."""
        return {
            "generator": inputs["gan"],
            "encoder": inputs["encoder"],
            "resolution": f"{self.height}x{self.width}",
            "steps": self.inversion.options.steps,
            "queries": len(self.query),
            "persons": len(np.unique(self.persons)),
            "gallery": len(self.gallery),
            "ap": "standard",
            "resamples": self.options.resamples,
        }

    def values(self) -> dict[str, Any]:
        """Return all that is measured."""
        found: dict[str, Any] = {"pictures": self._pictures()}
        found["judges"] = {name: self._judged(name) for name in self.judges}
        if self.options.latents:
            found["latents"] = self._latents()
        return found

    def sheet(self) -> np.ndarray:
        """Return real queries beside the inverted ones: the worst, median and best by the outside network."""
        last = list(self.made)[-1]
        cosines = _cosines(self.features["outside"])[last]
        order = np.argsort(cosines, kind="stable")
        each = max(1, min(SHOWN, len(order) // 3))
        middle = (len(order) - each) // 2
        groups = {"worst": order[:each], "median": order[middle : middle + each], "best": order[len(order) - each :]}
        picked = np.concatenate(list(groups.values()))
        sides = [f"{word}\n{cosines[row]:.2f}" for word, members in groups.items() for row in members]
        columns = {"real": self.real, **self.made}
        cells = np.stack([part[picked] for part in columns.values()], axis=1).reshape(-1, *self.real.shape[1:])
        page = sheet(cells, len(columns), scale=shown_scale(self.height), heads=list(columns), sides=sides)
        return titled(page, f"cosine of {last} and real by\n{self.judges['outside'].embedder.name}")

    def _pictures(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Return mean and error of each loss and of SSIM, for each kind of inverted pictures."""
        table = read_table(self.out / INVERTED / TABLE)
        found: dict[str, dict[str, dict[str, float | None]]] = {}
        for kind, made in self.made.items():
            behind = "_encoder" if kind == "encoder" else ""
            values = {name: column(table, name + behind) for name in self.inversion.names}
            values["ssim"] = np.array([ssim.ssim(real, one) for real, one in zip(self.real, made, strict=True)])
            found[kind] = {name: mean_and_error(value, self.persons) for name, value in values.items()}
        return found

    def _judged(self, name: str) -> dict[str, Any]:
        """Return what a judge makes of the queries: cosines to the real ones, and ranking of the real gallery."""
        judge, query, gallery = self.judges[name], self.query, self.gallery
        embedder = judge.embedder
        whole = cached_features(pixels(gallery, *judge.size), embedder)
        forms = {"real": pixels(query, *judge.size), "reduced": self.real, **self.made}
        features = {form: embedded(blocks(shown), len(shown), embedder) for form, shown in forms.items()}
        self.features[name] = {**features, "gallery": whole}
        cosines = {**_cosines(features), **same_and_other(features["real"], whole, query, gallery)}
        ranked = {form: evaluate_features(found, whole, query, gallery) for form, found in features.items()}
        return {
            "name": embedder.name,
            "in_loss": judge.in_loss,
            "identity": {form: mean_and_error(value, self.persons) for form, value in cosines.items()},
            "ranking": compared(ranked, "reduced", self.options.resamples),
        }

    def _latents(self) -> dict[str, Any]:
        """Return how well the encoder's styles find persons, beside and together with the re-ID model's features."""
        whole = encode_pictures(self.inversion, pixels(self.gallery, self.height, self.width), self.out / PARTS)
        features, mean = self.features["reid"], mean_latent(self.inversion.generator).cpu()
        by = (features["real"], features["gallery"])
        ranked = latent_ranking(self.w, whole, mean, *by, self.query, self.gallery)
        return compared(ranked, "features", self.options.resamples)


def measured_as_text(folder: Path) -> str:
    """Return measure.json of `measure_encoder`'s folder as lines; raises UserError where it is damaged."""
    path = folder / MEASURED
    with expected_shape(path):
        return as_text(read_json(path))


def as_text(values: dict[str, Any]) -> str:
    """Return what `measure.json` holds as lines for a terminal: pictures, identity, ranking, and latents if asked."""
    reduced = f"real at {values['resolution']}"
    refined = f"refined, {values['steps']} steps"
    named = {"reduced": reduced, "refined": refined, "same": "same person, other camera", "other": "other persons"}
    judges = list(values["judges"].values())
    parts = [
        f"{values['queries']:,} queries of {values['persons']:,} persons, {values['gallery']:,} gallery pictures; "
        f"generator {values['generator']} at {values['resolution']}, encoder {values['encoder']}",
        "mean and standard error over queries:",
    ]
    kinds = values["pictures"]
    losses = list(kinds["encoder"])
    lines = [["", *(LOSSES[name] for name in losses)]]
    lines += [[named.get(kind, kind), *(_plus_minus(found[name]) for name in losses)] for kind, found in kinds.items()]
    parts += [_aligned(lines), "cosine to the real picture, beside that of real pictures:"]
    lines = [["", *(judge["name"] for judge in judges)]]
    for form in judges[0]["identity"]:
        lines.append([named.get(form, form), *(_plus_minus(judge["identity"][form]) for judge in judges)])
    parts.append(_aligned(lines))
    for judge in judges:
        told = ", which the encoder was trained with" if judge["in_loss"] else ""
        parts.append(
            f"Rank-1 and mAP ({values['ap']}) of queries against the real gallery, by {judge['name']}{told};\n"
            f"difference to {reduced} with 95 % interval:"
        )
        parts.append(_ranked(judge["ranking"], named))
    if "latents" in values:
        parts.append(
            "the same by the encoder's latents of the real pictures, by groups of their layers, and by latents and\n"
            "re-ID features together; difference to the re-ID features with 95 % interval:"
        )
        parts.append(_ranked(values["latents"], {"features": "re-ID features", "both": "latents and features"}))
    return "\n\n".join(parts)


def _ranked(ranking: dict[str, dict[str, Any]], named: dict[str, str]) -> str:
    lines = [["", "Rank-1 %", "difference", "mAP %", "difference"]]
    for form, found in ranking.items():
        line = [named.get(form, form)]
        for metric in ("rank1", "map"):
            line += [f"{found[metric]:.1%}"[:-1], _change(found.get(f"{metric}_difference"))]
        lines.append(line)
    return _aligned(lines)


def _change(change: dict[str, float | None] | None) -> str:
    """Return a difference in points with its 95 % interval."""
    if change is None:
        return ""
    shown = {end: f"{100 * value:+.1f}" for end, value in change.items() if value is not None}
    return shown["mean"] + (f" ({shown['low']} to {shown['high']})" if "low" in shown else "")


def _plus_minus(value: dict[str, float | None]) -> str:
    if value["mean"] is None:
        return "none"
    return f"{value['mean']:.4f}" + ("" if value["se"] is None else f" ± {value['se']:.4f}")


def _aligned(lines: list[list[str]]) -> str:
    """Return a table as text: the first column to the left, the others to the right."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    padded = [
        [
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _judges(encoder: Path, learned: EncoderOptions, reid: Path, options: MeasureOptions) -> dict[str, Judge]:
    """Return the re-ID model and the outside network; `learned` are the options that the encoder was trained with."""
    model = ReidEmbedder(reid)
    if options.outside is None:
        outside, told = default_identity_embedder()
        say(told)
    else:
        outside = embedder_by_name(options.outside)
    in_loss: bool | None = learned.identity > 0 and _identity_model(encoder) == model.model.fingerprint
    if learned.identity > 0 and not (_folder(encoder) / RUN).exists():
        in_loss = None
    return {"reid": Judge(model, model.model.options.through_size, in_loss), "outside": Judge(outside, OUTSIDE_SIZE)}


def _identity_model(encoder: Path) -> str | None:
    """Return the fingerprint of the re-ID model that the encoder was trained with, None where there was none."""
    folder = _folder(encoder)
    return read_run(folder, TRAINING)["inputs"].get("reid") if (folder / RUN).exists() else None


def _folder(encoder: Path) -> Path:
    return encoder.parent if encoder.suffix == ".safetensors" else encoder


def _cosines(features: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the cosine of each query's real features to those of its other forms."""
    real = unit_length(features["real"])
    forms = {form: found for form, found in features.items() if form not in ("real", "gallery")}
    return {form: np.asarray((real * unit_length(found)).sum(axis=1)) for form, found in forms.items()}
