"""The calibration stage: what every score of selection makes of real persons, broken ones, and pictures of none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synreid.data.pixels import pixels, read_picture
from synreid.data.sheets import write_picture
from synreid.data.table import column, paths, rows, table_fingerprint
from synreid.features.detectors import Detector, present_detectors
from synreid.features.embedders import (
    Embedder,
    PixelEmbedder,
    default_identity_embedder,
    default_quality_embedder,
)
from synreid.select import scores
from synreid.select.calibration_figure import draw_calibration, probe_sheet
from synreid.select.calibration_options import CalibrationOptions, size_of
from synreid.select.curves import DEFAULT, THESIS, ScoreSample
from synreid.select.options import SelectOptions
from synreid.select.pairs import different_pairs, same_pairs
from synreid.select.probes import REAL, copies, probes
from synreid.select.run import REALISM_SAMPLE
from synreid.select.thresholds import training_rows
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path, expected_shape, read_json, write_json
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import StageFolder
from synreid.stage.log import say

STAGE, VERSION = "calibration", 1
NUMBERS, CURVES, FIGURE, PICTURES = (
    "calibration.json",
    "calibration.parquet",
    "calibration.png",
    "calibration-pictures.png",
)
SAME, DIFFERENT, COPY = "same person", "different persons", "copy"
# of the thesis's SSIM filter, whose library took a data range of 12 bits for granted
THESIS_SSIM, THESIS_RANGE = 0.75, 4095
SSIM_RANGES = (255, THESIS_RANGE)
KEEP_DISTINCT = 0.999  # share of different pictures of one person that the rule for duplicates must keep
RULE = "the highest threshold that a share `accept` (of duplicates: 0.999) of the kind that should pass reaches"


def calibrate(
    data: pa.Table,
    out: Path,
    options: CalibrationOptions | None = None,
    embedder: Embedder | None = None,
    config: dict[str, Any] | None = None,
    detectors: Sequence[Detector] | None = None,
    realism: bool = True,
) -> Path:
    """Measure every score that this machine has on the training split of `data`; returns `out`.

    Pair scores (SSIM, the identity cosine of two pictures, the near-duplicate distance) see pairs of one person, of two
    persons, and of a picture and its copy; single-picture scores (detectors, key points) see real pictures and what
    `probes` makes of them. `embedder` judges identity; without one it is OSNet if its weights are here, else plain
    pixels. `detectors` are measured instead of all that are here; `realism` may be left out.

    Writes calibration.json, calibration.parquet (curves), calibration.png and calibration-pictures.png, which shows
    pictures of real people if the data are. Raises UserError where the split has no two persons, or none of two
    pictures.
    """
    options = options or CalibrationOptions()
    real = training_rows(data)
    real = rows(real, np.argsort(column(real, "path").astype(str), kind="stable"))
    identity_note = f"Identity is judged by {embedder.name}." if embedder else ""
    if embedder is None:
        embedder, identity_note = default_identity_embedder()
    judges = present_detectors() if detectors is None else list(detectors)
    quality, quality_note = default_quality_embedder("Realism is judged") if realism else (None, "")
    inputs = {
        "data": table_fingerprint(real),
        "embedder": str(getattr(embedder, "fingerprint", embedder.name)),
        "detectors": ", ".join(judge.name for judge in judges),
        "realism": quality.fingerprint if quality else "none",
    }
    asked = config or {"out": out, **dataclasses.asdict(options)}
    with StageFolder(out, STAGE, VERSION, asked, inputs, ("data", "out", "reid", "camera_pattern")) as folder:
        if folder.complete:
            return folder.path
        work = _Calibration(real, options)
        work.notes += [note for note in (identity_note, quality_note) if note]
        for note in work.notes:
            say(note)
        work.judge_pairs(embedder)
        work.judge_pictures(judges, quality)
        work.write(folder.path)
        folder.finish({name: file_digest(folder.path / name) for name in (NUMBERS, CURVES, FIGURE, PICTURES)})
    return folder.path


class _Calibration:
    """One calibration at work: the real training rows, and the scores so far."""

    def __init__(self, real: pa.Table, options: CalibrationOptions) -> None:
        self.real, self.options = real, options
        self.persons = column(real, "pid").astype(str)
        shape = read_picture(paths(real)[0]).shape
        self.height, self.width = size_of(options.resolution or f"{shape[0]}x{shape[1]}")
        self.samples: list[ScoreSample] = []
        self.notes: list[str] = []
        self.shown: dict[str, np.ndarray] = {}
        self.embedder = ""

    def judge_pairs(self, embedder: Embedder) -> None:
        """Score pairs of one person, of two, and of a picture and its copy."""
        self.embedder = embedder.name
        wanted, seed = self.options.pairs, self.options.seed
        pairs = {SAME: same_pairs(self.persons, wanted, seed), DIFFERENT: different_pairs(self.persons, wanted, seed)}
        for kind, found in pairs.items():
            if len(found) == 0:
                raise UserError(f"The training split has no pair of pictures of kind '{kind}'; name data that has.")
        # pictures are taken once, whatever pairs they are in
        used, places = np.unique(np.concatenate(list(pairs.values())), return_inverse=True)
        ends = np.split(places.reshape(-1, 2), [len(pairs[SAME])])
        pictures = pixels(rows(self.real, used), self.height, self.width)
        who = self.persons[used]
        places_of = dict(zip(pairs, ends, strict=True))
        persons = {kind: who[pair[:, 0]] for kind, pair in places_of.items()}
        for data_range in SSIM_RANGES:
            values = {kind: scores.ssim_of_pairs(pictures, pair, data_range) for kind, pair in places_of.items()}
            named = {THESIS: THESIS_SSIM} if data_range == THESIS_RANGE else {}
            self._add(f"ssim-{data_range}", SAME, values, persons, named)
        features = scores.embed(pictures, embedder)
        cosines = {k: np.sum(features[pair[:, 0]] * features[pair[:, 1]], axis=1) for k, pair in places_of.items()}
        self._add("identity", SAME, cosines, persons, {})
        self._judge_duplicates(pictures, who, places_of[SAME])

    def _judge_duplicates(self, pictures: np.ndarray, who: np.ndarray, pairs: np.ndarray) -> None:
        chosen = np.unique(pairs[:, 0])
        originals = np.asarray(pictures[chosen])
        small = PixelEmbedder().embed(np.asarray(pictures))
        values = {
            SAME: _grey_levels(small[pairs[:, 0]], small[pairs[:, 1]]),
            COPY: _grey_levels(small[chosen], PixelEmbedder().embed(copies(originals))),
        }
        persons = {SAME: who[pairs[:, 0]], COPY: who[chosen]}
        default = SelectOptions().duplicates
        self._add("duplicates", SAME, values, persons, {} if default is None else {DEFAULT: default}, KEEP_DISTINCT)

    def judge_pictures(self, judges: list[Detector], quality: Embedder | None) -> None:
        """Score real pictures of one half of the persons, broken persons, and pictures of none.

        Realism is judged among the real pictures of the other half.
        """
        rng = np.random.default_rng(self.options.seed)
        names = np.unique(self.persons)
        among = np.isin(self.persons, rng.permutation(names)[: len(names) // 2])
        chosen = np.sort(rng.permutation(np.flatnonzero(~among))[: self.options.pictures])
        others = np.sort(rng.permutation(np.flatnonzero(among))[:REALISM_SAMPLE])
        pictures = pixels(rows(self.real, chosen), self.height, self.width)
        self.shown = probes(pictures, self.options.seed)
        persons = dict.fromkeys(self.shown, self.persons[chosen])
        for judge in judges:
            values = {kind: scores.pedestrian(shown, judge) for kind, shown in self.shown.items()}
            self._add(f"pedestrian ({judge.name})", REAL, values, persons, {DEFAULT: judge.threshold})
        if quality is None:
            return
        if len(others) > scores.NEIGHBOURS:
            reference = pixels(rows(self.real, others), self.height, self.width)
            values = {kind: scores.realism(shown, reference, quality) for kind, shown in self.shown.items()}
            self._add(f"realism ({quality.name})", REAL, values, persons, {})
        else:
            self.notes.append(f"Realism is left out: half of the persons have only {len(others)} pictures to judge by.")

    def _add(
        self,
        name: str,
        good: str,
        values: dict[str, np.ndarray],
        persons: dict[str, np.ndarray],
        thresholds: dict[str, float],
        accept: float | None = None,
    ) -> None:
        exact = {kind: np.asarray(scores, dtype=np.float64) for kind, scores in values.items()}
        self.samples.append(ScoreSample(name, good, exact, persons, thresholds, accept))

    def write(self, out: Path) -> None:
        """Write numbers, curves, figure and sheet."""
        write_json(out / NUMBERS, self.numbers())
        with atomic_path(out / CURVES) as path:
            pq.write_table(pa.concat_tables([sample.curve() for sample in self.samples]), path, compression="zstd")
        draw_calibration(self.samples, self.options.accept, out / FIGURE)
        singles = [sample for sample in self.samples if REAL in sample.values]
        write_picture(out / PICTURES, probe_sheet(self.shown, singles))

    def numbers(self) -> dict[str, Any]:
        """Return what calibration.json holds."""
        options = self.options
        return {
            "resolution": f"{self.height}x{self.width}",
            "pictures": len(self.real),
            "persons": len(np.unique(self.persons)),
            "embedder": self.embedder,
            "accept": options.accept,
            "rule": RULE,
            "scores": {sample.name: sample.numbers(options.accept, options.seed) for sample in self.samples},
            "notes": self.notes,
        }


def _grey_levels(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean absolute difference in grey levels of 255, as `scores.to_earlier` has it."""
    return 255.0 * np.abs(a - b).mean(1)


def lines(numbers: dict[str, Any]) -> list[dict[str, Any]]:
    """Return calibration.json's scores as rows, one a score and kind that should not pass.

    Shares and areas are fractions in [0, 1]: `good` of what should pass reaches the proposed `threshold`, and `passes`
    of the kind `against`; `auc` with `low` and `high` is the area under the ROC curve and its 95 % interval.
    """
    rows = []
    for name, score in numbers["scores"].items():
        proposed = score["thresholds"]["proposed"]
        shares = proposed["passes"]
        for kind, found in score["auc"].items():
            row = {"score": name, "should_pass": score["should_pass"], "against": kind, "threshold": proposed["value"]}
            rows.append(row | {"good": shares[score["should_pass"]], "passes": shares[kind], **found})
    return rows


def calibration_as_text(folder: Path) -> str:
    """Return calibration.json of `calibrate`'s folder as a plain table; raises UserError where it is damaged."""
    path = folder / NUMBERS
    with expected_shape(path):
        return as_text(read_json(path))


def as_text(numbers: dict[str, Any]) -> str:
    """Return calibration.json's content as a plain table: a line a score and kind that should not pass."""
    rows = lines(numbers)
    score, against = (max((len(row[key]) for row in rows), default=0) for key in ("score", "against"))
    text = [
        f"{numbers['pictures']} pictures of {numbers['persons']} persons at {numbers['resolution']}",
        f"{'score':{score}} {'against':{against}} {'ROC AUC':>8} {'95 % interval':>16} {'proposed':>9} {'passes':>7} "
        f"{'good':>6}",
    ]
    for row in rows:
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        text.append(
            f"{row['score']:{score}} {row['against']:{against}} {row['auc']:8.3f} {interval:>16} "
            f"{row['threshold']:9.3f} {row['passes'] * 100:5.1f} % {row['good'] * 100:4.0f} %"
        )
    text += [
        f"proposed: the highest threshold that {100 * numbers['accept']:g} % of what should pass reaches "
        f"(of duplicates {100 * KEEP_DISTINCT:g} %)",
        "passes: the share of 'against' that reaches it too; good: the share of what should pass that does",
    ]
    return "\n".join(text)
