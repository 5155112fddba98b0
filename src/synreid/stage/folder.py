"""The stage folder: what was asked, what came of it, and who is at work on it."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from filelock import FileLock, Timeout

from synreid.stage.errors import UserError
from synreid.stage.files import read_json, write_json, write_text
from synreid.stage.fingerprint import fingerprint, plain
from synreid.stage.machine import machine

RUN = "run.json"
CONFIG = "config.yaml"
LOCK = ".lock"
HOLDER = ".holder"  # who holds the lock, in words; the lock's own file is emptied by whoever asks for it
LEFT_OUT = "left out"  # of an option that a configuration does not have
RECORD: dict[str, Any] = {
    **{"stage": str, "version": int, "fingerprint": str, "seconds": int | float},
    **{"config": dict, "named": dict, "inputs": dict, "outputs": dict},
}
"""What every run.json holds."""


class StageFolder:
    """Holds one stage's folder while it runs, as a context manager.

    `config` is what was asked, in the command line's own words: written to `config.yaml`, it runs the stage again.
    `inputs` maps a name to the fingerprint of what the stage reads. `version` is the stage's own: raise it when the
    same configuration would give another result. `unnamed` lists keys of `config` that do not change the result
    (paths, whose contents `inputs` stands for), and `asked` names files of the stage that only say what was asked. A
    folder that was cut off is entered again and goes on; one where a UserError came before anything was made is free
    for another request.

    Raises UserError when another process holds the folder, or when it holds something other than what is asked.
    """

    def __init__(
        self,
        out: Path,
        stage: str,
        version: int,
        config: dict[str, Any],
        inputs: dict[str, str],
        unnamed: tuple[str, ...] = ("data", "out"),
        asked: tuple[str, ...] = (),
    ) -> None:
        self.path = Path(out)
        self.stage, self.version, self.inputs = stage, version, dict(inputs)
        self.config = plain(config)
        self.asked = (*asked, CONFIG, RUN)
        self.named = {key: value for key, value in self.config.items() if key not in unnamed}
        self.fingerprint = fingerprint(stage, version, self.named, self.inputs)
        self.run: dict[str, Any] = {}

    @property
    def complete(self) -> bool:
        """Whether the folder already holds the whole result of this very configuration."""
        return self.run.get("finished") is not None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path} cannot be made a folder ({error.strerror}); name another one.") from error
        self._lock = FileLock(self.path / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(
                f"{self.path} is in use by another process{self._holder()}; wait for it or name another folder."
            ) from error
        try:
            write_text(self.path / HOLDER, f"{os.getpid()} on {platform.node()}, since {now()}")
            self._open()
        except BaseException:
            (self.path / HOLDER).unlink(missing_ok=True)
            self._lock.release()
            raise
        return self

    def _holder(self) -> str:
        try:
            return f" ({(self.path / HOLDER).read_text(encoding='utf-8')})"
        except (OSError, ValueError):  # it has just taken hold of it, or let go
            return ""

    def _open(self) -> None:
        self._start = time.monotonic()
        if (self.path / RUN).exists():
            self.run = read_record(self.path / RUN)
            self._check_same()
            if not (self.path / CONFIG).exists():  # cut off between the two files
                self._write_config()
            return
        if strangers := [path.name for path in self.path.iterdir() if not path.name.startswith(".")]:
            raise UserError(
                f"{self.path} is not empty and not a stage's folder (it holds {strangers[0]}); name a new folder."
            )
        self.run = {
            "stage": self.stage,
            "version": self.version,
            "fingerprint": self.fingerprint,
            "config": self.config,
            "named": self.named,
            "inputs": self.inputs,
            "started": now(),
            "finished": None,
            "seconds": 0.0,
            "machine": machine(),
            "outputs": {},
        }
        write_json(self.path / RUN, self.run)
        self._write_config()

    def _write_config(self) -> None:
        write_text(self.path / CONFIG, yaml.safe_dump(self.config, sort_keys=False))

    def _check_same(self) -> None:
        if self.run.get("fingerprint") == self.fingerprint:
            return
        if self.run.get("stage") != self.stage:
            difference = f"a {self.run.get('stage')} run, not a {self.stage} run"
        else:
            old = {**self.run.get("named", {}), **self.run.get("inputs", {}), "stage version": self.run.get("version")}
            new = {**self.named, **self.inputs, "stage version": self.version}
            changed = [key for key in {**old, **new} if old.get(key, LEFT_OUT) != new.get(key, LEFT_OUT)]
            if not changed:  # 40 and 40.0, as YAML reads it, have two fingerprints but are one number
                self.fingerprint = self.run["fingerprint"]
                return
            told = ((key, old.get(key, LEFT_OUT), new.get(key, LEFT_OUT)) for key in changed[:3])
            shown = ", ".join(f"{key} was {before} and is now {after}" for key, before, after in told)
            difference = f"a {self.stage} run of another configuration ({shown})"
        raise UserError(f"{self.path} holds {difference}; name another folder, or remove this one to start afresh.")

    def finish(self, outputs: dict[str, Any] | None = None, **facts: Any) -> None:
        """Record that the stage is done; `outputs` maps a name to the fingerprint of what was made."""
        self._count_time()
        seconds = round(self.run["seconds"], 2)
        self.run |= {"finished": now(), "seconds": seconds, "outputs": plain(outputs or {}), **plain(facts)}
        write_json(self.path / RUN, self.run)

    def keep_time(self, **facts: Any) -> None:
        """Record the time so far, and `facts` on how far the stage is, for when the process is killed.

        It belongs behind every checkpoint: what is done after the last one is done again, and timed again.
        """
        self._count_time()
        self.run |= plain(facts)
        write_json(self.path / RUN, self.run)

    def _count_time(self) -> None:
        reached = time.monotonic()
        self.run["seconds"] += reached - self._start
        self._start = reached

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            (self.path / HOLDER).unlink(missing_ok=True)
            if self.complete:
                return
            if isinstance(error, UserError) and {path.name for path in self.path.iterdir()} <= {LOCK, *self.asked}:
                for name in self.asked:  # nothing was made, so what was asked may be corrected here
                    (self.path / name).unlink(missing_ok=True)
                return
            self.keep_time()  # time spent before a cut counts too
        finally:
            self._lock.release()


def read_run(path: Path, stage: str) -> dict[str, Any]:
    """Return the `run.json` of a finished stage; raises UserError where `path` is not such a folder."""
    path = Path(path)
    if not (path / RUN).exists():
        raise UserError(f"{path} is not the folder of a {stage} run: it has no {RUN}; check the name.")
    run = read_record(path / RUN)
    if run.get("stage") != stage:
        raise UserError(f"{path} holds a {run.get('stage')} run, but a {stage} run is needed; check the name.")
    if run.get("finished") is None:
        raise UserError(f"{path} holds a {stage} run that was cut off; run its command again to finish it.")
    return run


def stage_of(path: Path) -> str | None:
    """Return the stage whose folder `path` is, finished or not, or None; raises UserError for a damaged run.json."""
    return str(read_record(path / RUN)["stage"]) if (path / RUN).exists() else None


def read_record(path: Path) -> dict[str, Any]:
    """Return what a `run.json` holds, finished or not; raises UserError for a damaged one."""
    run = read_json(path)
    if not isinstance(run, dict):
        raise UserError(f"{path} is not the record of a stage; remove {path.parent} and run its stage again.")
    for key, kind in RECORD.items():
        if not isinstance(run.get(key), kind):
            raise UserError(f"{path} is damaged (its {key}); remove {path.parent} and run its stage again.")
    try:
        fingerprint(run["named"], run["inputs"], run["outputs"])  # as whatever is made from the stage does
    except ValueError as error:  # NaN, or an infinite number
        raise UserError(f"{path} is damaged ({error}); remove {path.parent} and run its stage again.") from error
    return run


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
