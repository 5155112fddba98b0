"""The selection stage: from a folder of made persons to a table of what is kept and why the rest is not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synreid.data.pixels import pixels, read_picture
from synreid.data.scan import open_data
from synreid.data.sheets import write_picture
from synreid.data.table import TABLE, column, groups, paths, read_table, rows, table_fingerprint
from synreid.features import ssim
from synreid.features.detectors import Detector, best_detector, detector
from synreid.features.embedders import Embedder, default_identity_embedder, default_quality_embedder
from synreid.quality.privacy import too_near
from synreid.select import scores
from synreid.select.options import SelectOptions, check
from synreid.select.parents import Parents, are_variations, parents_of
from synreid.select.policy import Policy
from synreid.select.sheets import discarded_sheet, kept_sheet
from synreid.select.thresholds import calibrate_consistency, calibrate_pedestrian, training_rows
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path, write_json
from synreid.stage.fingerprint import fingerprint
from synreid.stage.folder import StageFolder, read_run
from synreid.stage.log import say

VERSION = 2
SELECTION, SUMMARY = "selection.parquet", "summary.json"
PRIVACY = "privacy"
COLUMNS = {"sha256": pa.string(), "path": pa.string(), "pid": pa.string(), "kept": pa.bool_(), "reason": pa.string()}
COMPLETE = ("sha256", "path", "pid", "kept")  # of these, the columns that say something of every picture
REALISM_SAMPLE = 5000  # real pictures that realism is judged among, at most


def select(
    persons: Path,
    data: Path | pa.Table | None,
    out: Path,
    options: SelectOptions | None = None,
    embedder: Embedder | None = None,
    config: dict[str, Any] | None = None,
    calibration: pa.Table | None = None,
    audit: pa.Table | None = None,
) -> Path:
    """Choose among the pictures of a `persons make` folder; returns `out`.

    `data` is the real data (a folder, or its picture table): thresholds left open are taken from its training split
    only. `embedder` judges identity; without one it is OSNet if its weights are here, else plain pixels. If it has an
    attribute `fingerprint`, that stands for it in the stage's own, else its name does.

    Identity of artificial persons is judged among their own pictures (rule consistency), that of variations by the real
    training pictures of the person that they come from (rule identity), which `data` must hold. `calibration` are real
    training pictures to take thresholds from instead of `data`: of persons whom the embedder has not learned from.
    `audit` is the table of a privacy audit of these persons: what it flags is discarded first (rule privacy).

    Writes selection.parquet (sha256, path, pid, scores, kept, reason), summary.json, kept.png, discarded.png. Raises
    UserError for options out of range, for missing weights, for made pictures of several origins, for variations of
    persons whom the data does not have, and when nothing would be kept.
    """
    options = options or SelectOptions()
    check(options)
    if audit is not None:
        _check_audit(audit)
    read_run(persons, "persons")
    made = read_table(Path(persons) / TABLE)
    if len(made) == 0:
        raise UserError(f"{persons} holds no pictures; make some persons first.")
    made = rows(made, np.lexsort((column(made, "path").astype(str), column(made, "pid").astype(str))))
    real = training_rows(data if isinstance(data, pa.Table) else open_data(data)) if data is not None else None
    judge, judge_note = pedestrian_judge(options)
    embedder, embedder_note = _identity_judge(options, embedder)
    parents = parents_of(made, real) if are_variations(made) and embedder is not None else None
    measured = real if calibration is None else training_rows(calibration)
    inputs = {
        "persons": table_fingerprint(made),
        "data": table_fingerprint(real) if real is not None else "none",
        "detector": judge.name if judge else "none",
        "embedder": str(getattr(embedder, "fingerprint", embedder.name)) if embedder else "none",
    }
    if audit is not None:
        inputs["audit"] = fingerprint(*sorted(column(audit, "sha256")[column(audit, "flagged")]))
    quality, quality_note = _realism_judge(options)
    if quality is not None:
        inputs["realism"] = quality.fingerprint
    if measured is not None and calibration is not None:
        inputs["calibration"] = table_fingerprint(measured)
    source = data if isinstance(data, Path) else None
    named = config or {"persons": Path(persons).resolve(), "data": source, "out": out, **asdict(options)}
    with StageFolder(
        out, "select", VERSION, named, inputs, unnamed=("persons", "data", "out", "privacy", "camera_pattern")
    ) as folder:
        if folder.complete:
            return folder.path
        work = _Selection(made, measured, options, parents)
        work.notes += [note for note in (judge_note, embedder_note, quality_note) if note]
        if audit is not None:
            work.policy.drop(PRIVACY, too_near(made, audit))
        work.run(judge, embedder, quality)
        table = work.write(folder.path)
        folder.finish({"selection": table}, kept=int(work.policy.kept.sum()), made=len(made))
    return folder.path


def _check_audit(audit: pa.Table) -> None:
    for name, kind in (("sha256", pa.string()), ("flagged", pa.bool_())):
        whole = name in audit.column_names and audit.schema.field(name).type == kind
        if not whole or audit[name].null_count:
            raise UserError(
                f"the table of the privacy audit lacks a whole column {name}; remove its folder and run synreid "
                "privacy again."
            )


def read_selection(folder: Path) -> pa.Table:
    """The selection table of a finished selection; UserError where `folder` is not one."""
    read_run(Path(folder), "select")
    try:
        table = pq.read_table(Path(folder) / SELECTION)
        for name in dict.fromkeys((*COLUMNS, *table.column_names)):
            kind = COLUMNS.get(name, pa.float64())  # all others are scores
            if table.schema.field(name).type != kind or (name in COMPLETE and table[name].null_count):
                raise ValueError(f"column {name} is not whole")
        return table
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise UserError(
            f"{Path(folder) / SELECTION} is unreadable ({error}); remove {folder} and select again."
        ) from error


def kept_rows(persons: pa.Table, selection: pa.Table) -> pa.Table:
    """The rows of a persons table that a selection keeps, in the table's order.

    Matched by path and content; a row that the selection does not know is a UserError, since it was made from another
    folder of persons.
    """
    verdict = {
        (path, sha): kept
        for path, sha, kept in zip(
            column(selection, "path"), column(selection, "sha256"), column(selection, "kept"), strict=True
        )
    }
    keys = list(zip(column(persons, "path"), column(persons, "sha256"), strict=True))
    unknown = [path for path, sha in keys if (path, sha) not in verdict]
    if unknown:
        raise UserError(
            f"{len(unknown)} pictures, {unknown[0]} first, are not in the selection: select from these persons."
        )
    return rows(persons, np.array([verdict[key] for key in keys], dtype=bool))


def pedestrian_judge(options: SelectOptions) -> tuple[Detector | None, str]:
    """Return the detector that the options ask for, or None, and a sentence that says why it is that one."""
    if options.detector == "none":
        return None, ""
    if options.detector == "auto":
        return best_detector()
    return detector(options.detector), ""


def _identity_judge(options: SelectOptions, given: Embedder | None) -> tuple[Embedder | None, str]:
    if not options.identity:
        return None, ""
    if given is not None:
        return given, f"Identity is judged by {given.name}."
    return default_identity_embedder()


def _realism_judge(options: SelectOptions) -> tuple[Embedder | None, str]:
    return default_quality_embedder("Realism is judged") if options.realism is not None else (None, "")


class _Selection:
    """One selection at work: its pictures, its policy, and the notes for the reader."""

    def __init__(
        self, made: pa.Table, real: pa.Table | None, options: SelectOptions, parents: Parents | None = None
    ) -> None:
        self.made, self.real, self.options, self.parents = made, real, options, parents
        self.height, self.width = read_picture(paths(made)[0]).shape[:2]
        self.pictures = pixels(made, self.height, self.width)
        self.policy = Policy(column(made, "pid").astype(str))
        self.notes: list[str] = []
        self.calibration: dict[str, Any] = {}
        self.judges: dict[str, str] = {}

    def run(self, judge: Detector | None, embedder: Embedder | None, quality: Embedder | None) -> None:
        """Apply the rules in their order."""
        options, policy = self.options, self.policy
        if judge is not None:
            self.judges["detector"] = judge.name
            policy.at_least("pedestrian", scores.pedestrian(self._left(), judge), self._pedestrian_threshold(judge))
        if quality is not None and options.realism is not None:
            policy.at_least("realism", self._realism(quality), options.realism)
        if options.ssim is not None:
            if min(self.height, self.width) < ssim.WINDOW:
                raise UserError(
                    f"SSIM needs pictures of 7x7 pixels or more, but the made ones are {self.height}x{self.width}: "
                    "leave ssim out."
                )
            values = scores.ssim_to_first(self._left(), self._persons_left(), options.ssim_range)
            policy.at_least("ssim", values, options.ssim)
        if embedder is not None:
            self.judges["embedder"] = embedder.name
            if self.parents is None:
                self._judge_consistency(embedder)
            else:
                self._judge_identity(embedder, self.parents)
        if options.duplicates is not None:
            policy.at_least("duplicates", scores.to_earlier(self._left(), self._persons_left()), options.duplicates)
        if options.most_pictures is not None:
            policy.keep_best("consistency" if self.parents is None else "identity", options.most_pictures)
        if options.least_pictures > 1 and not are_variations(self.made):  # a real person has pictures beside them
            policy.drop_small_persons(options.least_pictures)
        for note in self.notes:
            say(note)

    def _left(self) -> scores.Rows:
        return scores.Rows(self.pictures, self.policy.left)

    def _persons_left(self) -> np.ndarray:
        return np.asarray(self.policy.persons[self.policy.left])

    def _realism(self, judge: Embedder) -> np.ndarray:
        """Realism among at most as many real training pictures as there is time for, at the made ones' size."""
        if self.real is None or len(self.real) <= scores.NEIGHBOURS:
            raise UserError(
                f"realism compares with real training pictures and needs more than {scores.NEIGHBOURS}, but there are "
                f"{0 if self.real is None else len(self.real)}; name data that has them, or leave realism out."
            )
        chosen = np.sort(np.random.default_rng(0).permutation(len(self.real))[:REALISM_SAMPLE])
        self.judges["realism"] = judge.name
        return scores.realism(self._left(), pixels(rows(self.real, chosen), self.height, self.width), judge)

    def _pedestrian_threshold(self, judge: Detector) -> float:
        if self.options.pedestrian is not None:
            return self.options.pedestrian
        if self.real is None:
            return judge.threshold
        found = calibrate_pedestrian(self.real, judge, self.height, self.width)
        self.calibration["pedestrian"] = asdict(found)
        if found.threshold < found.own_threshold:
            self.notes.append(
                f"The pedestrian threshold was lowered from {found.own_threshold:.2f} to {found.threshold:.3f}: at the "
                f"former {judge.name} accepts only {found.accepted_at_own:.0%} of {found.pictures} real training "
                "pictures."
            )
        return found.threshold

    def _judge_consistency(self, embedder: Embedder) -> None:
        """Compare artificial persons' pictures with each other."""
        persons = self._persons_left()
        values = scores.to_own_mean(scores.embed(self._left(), embedder), persons)
        pictures = int(np.median([len(members) for members in groups(persons)]))
        self.policy.at_least("consistency", values, self._cosine_threshold("consistency", embedder, pictures))

    def _judge_identity(self, embedder: Embedder, parents: Parents) -> None:
        """Compare variations with real pictures of their persons, at one resolution."""
        left, own = self.policy.left, column(parents.pictures, "pid").astype(str)
        values = scores.to_real_mean(
            scores.embed(self._left(), embedder),
            self._persons_left(),
            parents.sha256[left],
            scores.embed(pixels(parents.pictures, self.height, self.width), embedder),
            own,
            column(parents.pictures, "sha256"),
        )
        # all pictures of a person, so that the means of the threshold are as steady as those of the scores
        pictures = max(len(members) for members in groups(own))
        if alone := int(parents.alone[left].sum()):
            self.notes.append(
                f"{alone} of {len(left)} variations are compared with the very pictures that they come from, the "
                "only ones of their person, and score the higher for it."
            )
        self.policy.at_least("identity", values, self._cosine_threshold("identity", embedder, pictures))

    def _cosine_threshold(self, rule: str, embedder: Embedder, pictures: int) -> float:
        """The option's, or that of real training persons with at most `pictures` pictures each."""
        if self.options.consistency is not None:
            return self.options.consistency
        if self.real is None:
            raise UserError(
                f"The {rule} threshold is taken from real training persons, but no data was given: name the data, "
                "give consistency as a number, or set identity to false."
            )
        found = calibrate_consistency(
            self.real, embedder, self.height, self.width, pictures, self.options.consistency_percentile
        )
        self.calibration[rule] = asdict(found)
        self.notes.append(
            f"The {rule} threshold {found.threshold:.3f} comes from {found.pictures} real training pictures of "
            f"{found.persons} persons; {found.other_pass:.0%} of them would pass as another person."
        )
        return found.threshold

    def write(self, out: Path) -> str:
        """Write table, summary and sheets; returns the fingerprint of what was chosen."""
        policy = self.policy
        columns: dict[str, Any] = {name: column(self.made, name) for name in ("sha256", "path", "pid")}
        columns |= policy.columns
        columns |= {"kept": policy.kept, "reason": pa.array(policy.reasons.tolist(), type=pa.string())}
        table = pa.table(columns)
        with atomic_path(out / SELECTION) as path:
            pq.write_table(table, path, compression="zstd")
        write_picture(out / "kept.png", kept_sheet(self.pictures, policy))
        write_picture(out / "discarded.png", discarded_sheet(self.pictures, policy))
        write_json(out / SUMMARY, self.summary())
        chosen = rows(self.made, policy.left)
        return table_fingerprint(chosen)

    def summary(self) -> dict[str, Any]:
        """Counts by rule with both denominators, by whom was judged, and where thresholds come from."""
        policy = self.policy
        return {
            "stages": [stage.as_row() for stage in policy.stages],
            "made": len(policy.persons),
            "kept": int(policy.kept.sum()),
            "percent_kept": 100.0 * float(policy.kept.mean()),
            "persons_made": len(np.unique(policy.persons)),
            "persons_kept": len(np.unique(policy.persons[policy.left])),
            "resolution": f"{self.height}x{self.width}",
            **self.judges,
            "calibration": self.calibration,
            "notes": self.notes,
        }
