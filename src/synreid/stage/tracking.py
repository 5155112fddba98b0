"""Curves and results in MLflow beside the files, where SYNREID_MLFLOW names a store; else MLflow is not even loaded."""

from __future__ import annotations

import os
import re
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from synreid.stage.errors import UserError
from synreid.stage.folder import RUN, read_record, stage_of
from synreid.stage.log import warn

VARIABLE = "SYNREID_MLFLOW"
EXPERIMENT = "SYNREID_MLFLOW_EXPERIMENT"
SETTINGS = {  # MLflow's own variables, where the user has not set them
    "MLFLOW_DISABLE_TELEMETRY": "true",  # no statistics to MLflow's makers
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # which is for results
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; with MLflow's 120 and 7 tries a training would wait for minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
SECONDS = 5.0  # between two calls, since each takes from some milliseconds to a second
SHARE = 20  # of a training's time that a slow store takes at most one part: the next call waits so much longer
MOST_POINTS, MOST_PARAMS = 1000, 100  # that a call may hold
LONGEST = 500  # characters of a param; servers from before 2024 take no more
UNNAMEABLE = re.compile(r"[^\w\-. :/]")  # what MLflow takes in no name
STUDY = "study"  # the stage of a folder that has others' in it


@dataclass(frozen=True)
class Store:
    """Where runs are logged: MLflow's client, and the number of the experiment."""

    client: Any
    experiment: str


def check_tracking() -> None:
    """Raise UserError where SYNREID_MLFLOW is set but nothing can be logged there; done before a long piece of work.

    What fails later ends no training: see `TrackedRun`.
    """
    _chosen_store()


class TrackedRun:
    """The run of a stage's `folder` in MLflow; does nothing where SYNREID_MLFLOW is not set.

    A stage that goes on does so in the same run, found by its fingerprint, when it was started and its folder; what the
    run already has of a metric at a step is not logged again. `params` are logged beside the stage's configuration.
    Whatever the store fails in is said once, and ends the logging of this stage, never the stage.
    """

    def __init__(self, folder: Path, params: Mapping[str, Any] | None = None) -> None:
        self.folder = Path(folder)
        self._store: Store | None = None
        self._waiting: list[tuple[str, float, int, int]] = []  # name, value, milliseconds, step
        self._known: set[tuple[str, int]] = set()
        self._sent, self._wait = time.monotonic(), SECONDS
        with self._going_on():
            self._store = _chosen_store()
            if self._store is not None:
                self._enter(self._store, params or {})

    def _enter(self, store: Store, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        client, record, folder = store.client, read_record(self.folder / RUN), self.folder.resolve()
        tags = {key: str(record.get(key)) for key in ("stage", "fingerprint", "started")} | {"folder": str(folder)}
        run = _found(store, tags)
        if run is None:
            name = folder.name
            if (study := _study_of(folder)) is not None:
                tags["study"], name = str(study), folder.relative_to(study.parent).as_posix()
            run = client.create_run(store.experiment, tags=tags, run_name=name)
        else:
            client.update_run(run.info.run_id, status="RUNNING")
            for metric in run.data.metrics:
                history = client.get_metric_history(run.info.run_id, metric)
                self._known |= {(metric, point.step) for point in history}
        self._id = run.info.run_id
        named = [Param(_nameable(key), str(value)[:LONGEST]) for key, value in {**record["named"], **params}.items()]
        for start in range(0, len(named), MOST_PARAMS):  # the same again changes nothing
            client.log_batch(self._id, params=named[start : start + MOST_PARAMS])

    def write(self, step: int, **values: float) -> None:
        """Log `values` at `step`, as `MetricsLog.write`; they are sent with the next call, some seconds later.

        A slow store is called less often, so that a training spends at most a twentieth of its time on it.
        """
        if self._store is None:
            return
        with self._going_on():
            now = int(time.time() * 1000)
            for name, value in values.items():
                if (_nameable(name), step) not in self._known:
                    self._waiting.append((_nameable(name), float(value), now, step))
            if time.monotonic() - self._sent >= self._wait:
                self._send(self._store)

    def file(self, path: Path) -> None:
        """Store a file with the run, in place of one of the same name."""
        if self._store is not None:
            with self._going_on():
                self._store.client.log_artifact(self._id, str(path))

    def close(self, kind: type[BaseException] | None = None) -> None:
        """Log what waits and how the run ended: of itself, or with an exception of `kind`."""
        if self._store is None:
            return
        ended = "FINISHED" if kind is None else "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED"
        with self._going_on():
            self._send(self._store)
            self._store.client.set_terminated(self._id, ended)

    def _send(self, store: Store) -> None:
        from mlflow.entities import Metric

        began = time.monotonic()
        points = [Metric(*point) for point in self._waiting]
        for start in range(0, len(points), MOST_POINTS):
            store.client.log_batch(self._id, metrics=points[start : start + MOST_POINTS])
        self._waiting.clear()
        self._sent = time.monotonic()
        self._wait = max(SECONDS, SHARE * (self._sent - began))

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # every store has its own, and none is worth a training
            self._store = None
            warn(f"logging {self.folder} to MLflow stopped ({_reason(error)}); its files go on and have all of it.")


def _chosen_store() -> Store | None:
    uri = os.environ.get(VARIABLE)
    return _store(uri, os.environ.get(EXPERIMENT) or "synreid") if uri else None


@cache
def _store(uri: str, name: str) -> Store:
    for setting, value in SETTINGS.items():
        os.environ.setdefault(setting, value)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise UserError(
            f"{VARIABLE} is set, but MLflow is not installed: pip install 'synreid[mlflow]', or unset {VARIABLE}."
        ) from error
    shown = _shown(uri)
    try:
        _knock(uri)
        with _alone(uri):
            client = MlflowClient(uri)
            found = _experiment(client, uri, name)
    except Exception as error:  # every store has its own
        raise UserError(
            f"{VARIABLE} is {shown}, which MLflow cannot use ({_reason(error)}); correct it, or unset it."
        ) from error
    if found.lifecycle_stage != "active":
        raise UserError(f"the experiment {name} was deleted in {shown}; restore it, or name another by {EXPERIMENT}.")
    return Store(client, found.experiment_id)


def _knock(uri: str) -> None:
    """Raise what a database raises that cannot be opened; MLflow itself would try for minutes, and make its folder."""
    from mlflow.store.db.db_types import DATABASE_ENGINES

    if re.split("[+:]", uri)[0] in DATABASE_ENGINES:
        from sqlalchemy import create_engine  # which a server does without

        create_engine(uri).connect().close()


def _alone(uri: str) -> AbstractContextManager[Any]:
    """Return the context to open a store in: with SQLite, two processes that make the same tables end in an error."""
    if not uri.startswith("sqlite"):
        return nullcontext()
    from sqlalchemy import make_url

    file = make_url(uri).database
    return FileLock(f"{file}.lock") if file and Path(file).exists() else nullcontext()  # or it is in memory


def _experiment(client: Any, uri: str, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(name)) is not None:
        return found
    try:
        client.create_experiment(name, _artifacts(uri))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise
    return client.get_experiment_by_name(name)


def _artifacts(uri: str) -> str | None:
    """Return where the files of a new experiment go, or None for the store's own choice.

    With SQLite it would be the folder that the command is started in, another one each time.
    """
    scheme, _, path = uri.partition(":///")
    return (Path(path).resolve().parent / "mlartifacts").as_uri() if scheme.startswith("sqlite") else None


def _study_of(folder: Path) -> Path | None:
    """Return the folder of the study that a stage is, or is a part of."""
    for above in (folder, *folder.parents):
        with suppress(UserError):  # another program's run.json
            if stage_of(above) == STUDY:
                return above
    return None


def _found(store: Store, tags: Mapping[str, str]) -> Any | None:
    asked = " and ".join(f"tags.{key} = '{tags[key]}'" for key in ("fingerprint", "started"))
    runs = store.client.search_runs([store.experiment], asked)
    return next((run for run in runs if run.data.tags.get("folder") == tags["folder"]), None)


def _nameable(name: str) -> str:
    return UNNAMEABLE.sub("_", name)


def _reason(error: BaseException) -> str:
    """Return in a line why the store failed: what the system says, below all layers, or else what the store says."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) and inner not in chain:
        chain.append(inner)
    system = [found for found in chain if isinstance(found, OSError)]
    told = system[-1] if system else error
    text = getattr(told, "strerror", None) or str(told) or type(told).__name__
    return textwrap.shorten(_masked(text).splitlines()[0].rstrip("."), 300)


def _shown(uri: str) -> str:
    """Return a store's address as it may stand in a log: without user, password and query."""
    return re.sub("(:/*).*@", r"\1***@", uri).partition("?")[0]


def _masked(text: str) -> str:
    """Return what a store says without what is not shown of its address, of which it may tell any part."""
    uri = os.environ.get(VARIABLE, "")
    text = re.sub(r"//\S*@", "//***@", text.replace(uri, _shown(uri)))
    hidden = set(re.findall(r"\w+", uri)) - set(re.findall(r"\w+", _shown(uri)))
    return re.sub(rf"\b({'|'.join(hidden)})\b", "***", text) if hidden else text
