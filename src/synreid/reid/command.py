"""The re-ID stage as a user's own training command: our pictures in, its features back, our evaluator."""

from __future__ import annotations

import csv
import shlex
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from synreid.data.table import column, concat, paths, table_fingerprint
from synreid.reid.evaluate import (
    SUMMARY,
    Evaluation,
    check_features,
    check_summary,
    evaluate_features,
    read_evaluation,
    write_evaluation,
)
from synreid.reid.train import training_rows
from synreid.stage.arrays import DAMAGED, read_array
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path
from synreid.stage.folder import StageFolder
from synreid.stage.log import say

STAGE, VERSION = "reid-command", 1
LOG = "command.log"
PLACEHOLDERS = ("train", "query", "gallery", "out", "seed", "steps")


def run_command(
    command: str,
    real: pa.Table,
    made: pa.Table | None,
    query: pa.Table,
    gallery: pa.Table,
    out: Path,
    seed: int,
    steps: int | None = None,
) -> Evaluation:
    """Train and embed by `command`, score by our evaluator, and return the scores; files as of `evaluate_model`.

    Written into `out` before: train.csv, query.csv and gallery.csv (columns path, pid, camera, origin; paths
    absolute). In the command, which is split as a shell would but not run by one, {train}, {query}, {gallery}, {out},
    {seed} and {steps} (empty where not asked for) are filled in; it runs in the folder that this process was started
    in, and what it prints goes to command.log. It must write query.npy and gallery.npy into {out}: features [N, D], one
    row for each row of the CSV, in its order.

    Raises UserError when the command is not found, fails, or leaves no such files. One that was cut off runs again.
    """
    parts = [training_rows(part) for part in (real, made) if part is not None and len(part)]
    if not parts:
        raise UserError("there are no training pictures; check that the data has a training split.")
    train = concat(parts)
    tables = {"train": train, "query": query, "gallery": gallery}
    config = {"command": command, "seed": seed, "steps": steps}
    inputs = {name: table_fingerprint(table) for name, table in tables.items()}
    with StageFolder(out, STAGE, VERSION, config, inputs) as folder:
        known = read_evaluation(folder.path) if folder.complete else None
        if known is not None:
            check_summary(known.summary, folder.path)
            return known
        for name, table in tables.items():
            write_csv(table, folder.path / f"{name}.csv")
        values = {name: str((folder.path / f"{name}.csv").resolve()) for name in tables}
        values |= {"out": str(folder.path.resolve()), "seed": str(seed), "steps": "" if steps is None else str(steps)}
        seconds = _run(fill(command, values), folder.path)
        features = [_read_features(folder.path / f"{name}.npy", len(tables[name])) for name in ("query", "gallery")]
        result = evaluate_features(features[0], features[1], query, gallery)
        write_evaluation(result, folder.path)
        folder.finish({"evaluation": SUMMARY}, command_seconds=round(seconds, 2), pictures=len(train))
    return result


def write_csv(table: pa.Table, path: Path) -> None:
    """Write path (absolute), pid, camera and origin of every row; a missing name is empty."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "pid", "camera", "origin"])
        files = (str(place.resolve()) for place in paths(table))
        names = (column(table, name) for name in ("pid", "camera", "origin"))
        writer.writerows(["" if value is None else value for value in row] for row in zip(files, *names, strict=True))


def fill(command: str, values: dict[str, str]) -> list[str]:
    """Split `command` as a POSIX shell would and fill in {name}; other braces stay as they are."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(f"the training command cannot be split into words ({error}): {command}") from error
    if not words:
        raise UserError("the training command is empty; name a program.")
    for name, value in values.items():
        words = [word.replace("{" + name + "}", value) for word in words]
    return words


def _run(words: list[str], folder: Path) -> float:
    for name in ("query.npy", "gallery.npy"):  # of a run that was cut off
        (folder / name).unlink(missing_ok=True)
    say(f"running {shlex.join(words)}, which prints to {folder / LOG}")
    start = time.monotonic()
    try:
        with open(folder / LOG, "wb") as log:
            code = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT).returncode
    except OSError as error:
        raise UserError(
            f"the training command {words[0]} cannot be started ({error.strerror}); check its name."
        ) from error
    if code != 0:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else "it printed nothing"
        raise UserError(f"the training command ended with {code} ({last}); {folder / LOG} holds what it printed.")
    return time.monotonic() - start


def _read_features(path: Path, rows: int) -> np.ndarray:
    try:
        features = read_array(path)
    except FileNotFoundError as error:
        raise UserError(
            f"the training command did not write {path}; it must hold one feature a row of the CSV."
        ) from error
    except DAMAGED as error:
        raise UserError(f"{path} is not a plain NumPy array ({error}); write it by numpy.save.") from error
    try:
        check_features(features, rows, path.stem)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return np.asarray(features, dtype=np.float32)
