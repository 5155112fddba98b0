"""The stage `privacy`: a generator's samples or a folder of made pictures, audited for copies of training pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synreid.data.pixels import picture_sha256, pixels
from synreid.data.sheets import write_picture
from synreid.data.table import column, pick, rows, table_fingerprint
from synreid.features.embedders import Embedder, PixelEmbedder, default_identity_embedder, default_quality_embedder
from synreid.generate.place import LearnedPictures
from synreid.quality.privacy import LEAST_HELD_OUT, distances, flags, privacy_table, summarize
from synreid.quality.privacy_sheet import privacy_sheet
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path, read_json, write_json
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import StageFolder, read_run
from synreid.stage.log import say
from synreid.study.audited import VARIATIONS, Made, made_by

STAGE, VERSION = "privacy", 2
NUMBERS, PICTURES, SHEET = "privacy.json", "privacy.parquet", "privacy.png"
HELD_OUT = 4000  # pictures, or as many as there are training pictures


def audit_privacy(
    source: Path,
    data: pa.Table,
    out: Path,
    count: int = 2000,
    identity: Embedder | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Audit a generator or made pictures for copies of training pictures; returns `out`.

    `source` is a generator's folder, a snapshot's file or a shipped name, of which seeds 0 to `count` - 1 are drawn, or
    the folder of persons, variations or a selection, whose pictures all count. `data` is the table of real pictures:
    copies are sought among its training split (of a generator with a list of its pictures: among those it learned
    from), and its query and gallery pictures, of other persons, say how near pictures come by chance. `identity` is the
    re-ID network, by default the best outside one at hand. All pictures are compared at the made ones' resolution.

    Writes `privacy.json` (`quality.privacy.summarize` has the numbers), `privacy.parquet` (a row a made picture) and
    `privacy.png` (the closest pairs). Raises UserError where `source` is neither, and where the data lacks training
    pictures or held-out ones.
    """
    made = made_by(Path(source), count)
    training, notes = _training(made.learned, data, source)
    held_out = _held_out(data, made.learned, len(training))
    spaces, told = _spaces(identity)
    inputs = {
        "made": made.fingerprint,
        "training": table_fingerprint(training),
        "held out": table_fingerprint(held_out),
        **{name: f"{embedder.name} {embedder.fingerprint}" for name, embedder in spaces.items()},
    }
    asked = config or {"source": source, "out": out, "count": count}
    unnamed = ("source", "data", "out", "reid", "camera_pattern")
    with StageFolder(out, STAGE, VERSION, asked, inputs, unnamed) as stage:
        if stage.complete:
            return out
        for sentence in (told := [*told, *notes]):
            say(sentence)
        _write(out, made, training, held_out, spaces, told)
        stage.finish({name: file_digest(out / name) for name in (NUMBERS, PICTURES, SHEET)})
    say(f"{out / SHEET} shows training pictures, so real persons where the data do: treat it as their terms ask.")
    return out


def read_privacy(folder: Path) -> tuple[dict[str, Any], pa.Table]:
    """Return numbers and table of a finished audit; raises UserError where `folder` is not one."""
    read_run(folder, STAGE)
    try:
        return read_json(folder / NUMBERS), pq.read_table(folder / PICTURES)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{folder / PICTURES} is unreadable ({error}); remove {folder} and audit again.") from error


def as_text(found: dict[str, Any]) -> str:
    """Return the numbers of an audit as lines: a table of the spaces, the verdicts, and what they do not show."""
    lines = [
        f"{found['made']:,} {found['source']} at {found['resolution']}, {found['training']:,} training pictures, "
        f"{found['held_out']:,} held-out ones of other persons",
        "",
        "Distance to the nearest training picture or its mirror image:",
        f"{'':10}  {'made':^23}  {'held-out':^23}  {'ratio of':>9}",
        f"{'':10}  {'1 %':>7} {'5 %':>7} {'median':>7}  {'1 %':>7} {'5 %':>7} {'median':>7}  {'medians':>9}"
        f"  {'AUC (95 % interval)':>21}",
    ]
    for name, space in found["spaces"].items():
        made, held_out = (
            " ".join(f"{value:7.3f}" for value in space[f"quantiles_{kind}"].values()) for kind in ("made", "held_out")
        )
        ratio = f"{space['median_ratio']:.3f}" if space["median_ratio"] is not None else "-"
        area = f"{space['auc']:.3f} ({space['auc_low']:.3f}-{space['auc_high']:.3f})"
        lines.append(f"{name:10}  {made}  {held_out}  {ratio:>9}  {area:>21}")
    lines.append("")
    for name, space in found["spaces"].items():
        lines.append(f"By {name} ({found['features'][name]}). {space['verdict']}")
    return "\n".join([*lines, "", found["verdict"], "", "What this does not show:", *found["limits"]])


def _write(
    out: Path,
    made: Made,
    training: pa.Table,
    held_out: pa.Table,
    embedders: dict[str, Embedder],
    notes: Sequence[str],
) -> None:
    real, unseen, pictures = pixels(training, *made.size), pixels(held_out, *made.size), made.pictures()
    found = {name: distances(embedder, real, unseen, pictures) for name, embedder in embedders.items()}
    told = summarize(found, made.groups, column(held_out, "pid"), made.kind == VARIATIONS)
    flagged = flags([space.near for space in found.values()], [space["copied"] for space in told["spaces"].values()])
    numbers = {
        "source": made.kind,
        "made": len(pictures),
        "training": len(training),
        "training_persons": _persons(training),
        "held_out": len(held_out),
        "held_out_persons": _persons(held_out),
        "resolution": f"{made.size[0]}x{made.size[1]}",
        "features": {name: embedder.name for name, embedder in embedders.items()},
        **told,
        "notes": list(notes),
    }
    columns = {"sha256": [picture_sha256(picture) for picture in pictures], **made.columns}
    table = privacy_table(columns, found, column(training, "sha256"), flagged)
    with atomic_path(out / PICTURES) as path:
        pq.write_table(table, path, compression="zstd")
    write_picture(out / SHEET, privacy_sheet(real, pictures, made.names, found, flagged))
    write_json(out / NUMBERS, numbers)


def _persons(table: pa.Table) -> int:
    return len(set(column(table, "pid")) - {None})


def _training(learned: LearnedPictures | None, data: pa.Table, source: Path) -> tuple[pa.Table, list[str]]:
    """Return the pictures that may have been copied, and sentences on what is not known of them."""
    training = pick(data, split="train", junk=False, origin="real")
    if len(training) == 0:
        raise UserError("the data hold no training picture that could have been copied; name other data.")
    if learned is None:
        return training, ["Copies are sought among all training pictures of the data; no list says which were learned."]
    contents = column(training, "sha256")
    chosen = rows(training, np.array([content in learned.digests for content in contents], dtype=bool))
    if len(chosen) == 0:
        raise UserError(
            f"none of the {len(training):,} training pictures of the data are among those that {source} learned from, "
            "so no copy could be found; name the data that it was trained on."
        )
    notes = [f"Copies are sought among the {len(chosen):,} pictures of the data that the generator learned from."]
    if others := len(learned.digests - set(contents)):
        notes.append(f"It also learned from {others:,} pictures that the data do not hold: copies of them are missed.")
    if learned.unlisted:
        names = ", ".join(sorted(learned.unlisted))
        notes.append(f"It went on from {names}, whose pictures nobody has listed: copies of them are missed.")
    return chosen, notes


def _held_out(data: pa.Table, learned: LearnedPictures | None, training: int) -> pa.Table:
    """Return query and gallery pictures of persons without any training picture: 4,000, or as many as in training."""
    split = pick(data, split="train")
    persons = {*column(split, "pid"), None}
    seen = {*column(split, "sha256"), *(learned.digests if learned else ())}
    test = pick(data, split=("query", "gallery"), junk=False, origin="real")
    pairs = zip(column(test, "pid"), column(test, "sha256"), strict=True)
    found = rows(test, np.array([pid not in persons and content not in seen for pid, content in pairs], dtype=bool))
    if len(found) < LEAST_HELD_OUT:
        raise UserError(
            f"the data hold {len(found)} query and gallery pictures of persons outside training, but {LEAST_HELD_OUT} "
            "or more are needed to say how near pictures come by chance; name data with a test split."
        )
    return rows(found, np.sort(np.random.default_rng(0).permutation(len(found))[: max(HELD_OUT, training)]))


def _spaces(identity: Embedder | None) -> tuple[dict[str, Embedder], list[str]]:
    """Return the spaces that this machine has, and sentences that name them; plain pixels count once."""
    perceptual, by = default_quality_embedder("What pictures show is compared")
    told = [by]
    if identity is None:
        identity, by = default_identity_embedder()
        told.append(by)
    else:
        told.append(f"Identity is judged by {identity.name}.")
    others: dict[str, Embedder] = {"perceptual": perceptual, "re-ID": identity}
    spaces = {name: one for name, one in others.items() if one.name != PixelEmbedder.name}
    if not spaces:
        told.append("Only pixels are compared, so a picture is flagged by them alone, about 1 % of them by chance.")
    return {"pixels": PixelEmbedder(), **spaces}, told
