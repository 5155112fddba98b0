from __future__ import annotations

import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synreid.stage import tracking
from synreid.stage.errors import UserError
from synreid.stage.folder import StageFolder
from synreid.stage.metrics import MetricsLog, read_metrics
from synreid.stage.tracking import check_tracking

needs_mlflow = pytest.mark.skipif(find_spec("mlflow") is None, reason="MLflow is not installed")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database for all tests: MLflow takes seconds to make one. Each test logs to an experiment of its own."""
    pytest.importorskip("mlflow")
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/runs.db"


@pytest.fixture
def tracked(store: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    monkeypatch.setenv("SYNREID_MLFLOW", store)
    monkeypatch.setenv("SYNREID_MLFLOW_EXPERIMENT", request.node.name)
    return store


def stage(out: Path, **config: object) -> StageFolder:
    return StageFolder(out, "reid", 1, {"lr": 0.1, "out": str(out), **config}, {"pictures": "abc"})


def runs(store: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(store)
    experiment = client.get_experiment_by_name(os.environ["SYNREID_MLFLOW_EXPERIMENT"])
    return list(client.search_runs([experiment.experiment_id], order_by=["start_time"])) if experiment else []


def points(store: str, run: Any) -> dict[str, list[tuple[int, float]]]:
    """All that the store has of a run, each metric in the order of steps."""
    from mlflow import MlflowClient

    histories = {name: MlflowClient(store).get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return {name: sorted((point.step, point.value) for point in history) for name, history in histories.items()}


def lines(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The same of metrics.jsonl."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in read_metrics(folder):
        for name, value in line.items():
            if name != "step":
                found.setdefault(name, []).append((line["step"], value))
    return found


def test_store_has_what_the_files_have(tracked: str, tmp_path: Path) -> None:
    long, many = "x" * 9000, {f"option{number}": number for number in range(150)}
    with stage(tmp_path / "a", note=long, **many) as folder, MetricsLog(folder.path) as log:
        for step in range(1, 8):
            log.write(step, loss=1 / step, lr=0.1)
        log.write(8, val_error=0.25)
    (run,) = runs(tracked)
    assert points(tracked, run) == lines(tmp_path / "a")
    assert run.data.params == {"lr": "0.1", "note": long[:500], **{key: str(value) for key, value in many.items()}}
    assert run.info.run_name == "a" and run.info.status == "FINISHED"
    tags = {"stage": "reid", "fingerprint": folder.fingerprint, "folder": str(tmp_path / "a")}
    assert tags.items() <= run.data.tags.items()


def test_resumed_stage_goes_on_in_its_run_and_no_point_comes_twice(tracked: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), stage(tmp_path / "a") as folder, MetricsLog(folder.path) as log:
        for step in range(1, 6):
            log.write(step, loss=step / 2)
        raise KeyboardInterrupt
    assert [run.info.status for run in runs(tracked)] == ["KILLED"]
    with stage(tmp_path / "a") as folder, MetricsLog(folder.path, resume_step=3) as log:
        for step in range(4, 8):
            log.write(step, loss=step / 2)
    (run,) = runs(tracked)
    assert points(tracked, run) == lines(tmp_path / "a") == {"loss": [(step, step / 2) for step in range(1, 8)]}
    assert run.info.status == "FINISHED"


def test_resumed_stage_logs_what_the_run_lacks(tracked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.delenv("SYNREID_MLFLOW")
        with pytest.raises(KeyboardInterrupt), stage(tmp_path / "a") as folder, MetricsLog(folder.path) as log:
            log.write(1, loss=0.5)
            raise KeyboardInterrupt
    with stage(tmp_path / "a") as folder, MetricsLog(folder.path, resume_step=1) as log:
        log.write(2, loss=0.25)
    (run,) = runs(tracked)
    assert points(tracked, run) == {"loss": [(1, 0.5), (2, 0.25)]}


def test_same_configuration_elsewhere_is_another_run(tracked: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        with stage(tmp_path / name) as folder, MetricsLog(folder.path) as log:
            log.write(1, loss=0.5)
    assert sorted(run.info.run_name for run in runs(tracked)) == ["a", "b"]


def test_stages_of_a_study_are_named_and_grouped_by_it(tracked: str, tmp_path: Path) -> None:
    study = StageFolder(tmp_path / "mine", "study", 1, {}, {})
    with study, stage(tmp_path / "mine" / "reid" / "real" / "0") as folder, MetricsLog(folder.path) as log:
        log.write(1, loss=0.5)
    (run,) = runs(tracked)
    assert run.info.run_name == "mine/reid/real/0"
    assert run.data.tags["study"] == str(tmp_path / "mine")


def test_names_that_mlflow_does_not_take_are_changed(tracked: str, tmp_path: Path) -> None:
    with stage(tmp_path / "a") as folder, MetricsLog(folder.path) as log:
        log.write(1, **{"fid@10%": 5.0})
    (run,) = runs(tracked)
    assert run.data.metrics == {"fid_10_": 5.0}


def test_store_that_fails_midway_ends_no_training(
    tracked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    def fail(*_: object, **__: object) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(tracking, "SECONDS", 0.0)
    monkeypatch.setattr(tracking, "SHARE", 0)
    with stage(tmp_path / "a") as folder, MetricsLog(folder.path) as log:
        log.write(1, loss=1.0)
        with monkeypatch.context() as broken:
            broken.setattr(MlflowClient, "log_batch", fail)
            for step in range(2, 5):
                log.write(step, loss=1.0)
    said = capfd.readouterr().err
    assert said.count("logging") == 1 and "Connection reset by peer" in said and str(tmp_path / "a") in said
    assert [line["step"] for line in read_metrics(tmp_path / "a")] == [1, 2, 3, 4]
    (run,) = runs(tracked)
    assert points(tracked, run) == {"loss": [(1, 1.0)]}


def test_slow_store_takes_a_twentieth_of_the_time_at_most(
    tracked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    now, calls = [0.0], []

    def slow(*_: object, metrics: object = (), **__: object) -> None:
        if metrics:
            now[0] += 4.0
            calls.append(now[0])

    monkeypatch.setattr(tracking, "time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: now[0]))
    monkeypatch.setattr(MlflowClient, "log_batch", slow)
    with stage(tmp_path / "a") as folder, MetricsLog(folder.path) as log:
        for step in range(1, 401):
            now[0] += 1.0  # of training
            log.write(step, loss=1.0)
    assert calls == [9.0, 93.0, 177.0, 261.0, 345.0, 424.0]  # the last is the training's end


def test_missing_package_is_said_before_and_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYNREID_MLFLOW", f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match=r"pip install 'synreid\[mlflow\]'"):
        check_tracking()
    with stage(tmp_path / "a") as folder, MetricsLog(folder.path) as log:
        log.write(1, loss=1.0)
    assert "synreid[mlflow]" in capfd.readouterr().err
    assert len(read_metrics(tmp_path / "a")) == 1


@pytest.fixture
def no_mlflow_server() -> Iterator[str]:
    """The address of a server that knows no page, and so not MLflow's."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@needs_mlflow
def test_server_of_something_else_is_refused(no_mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNREID_MLFLOW", no_mlflow_server)
    with pytest.raises(UserError, match=f"SYNREID_MLFLOW is {no_mlflow_server}, which MLflow cannot use"):
        check_tracking()


@needs_mlflow
def test_unreachable_server_is_refused_and_its_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("SYNREID_MLFLOW", "http://me:secret@127.0.0.1:9")
    with pytest.raises(UserError, match=r"http://\*\*\*@127.0.0.1:9, .*refused"):
        check_tracking()


@needs_mlflow
@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgres://me:secret@h/db", "postgres://***@h/db"),
        ("postgres:me:secret@h/db", "postgres:***@h/db"),
        ("htps://me:sec/ret@h", "htps://***@h"),
        ("htps://me:secret@h/x?token=secret", "htps://***@h/x"),
        ("databricks-uc://me:sec@ret@h", "databricks-uc://***@h"),
        ("http://me:secret@", "http://***@"),  # which MLflow lengthens
        ("http://me:sec/ret@127.0.0.1:9", "http://***@127.0.0.1:9"),  # of which it tells a part
        ("nonsense://h?token=secret", "nonsense://h"),
    ],
)
def test_password_is_shown_neither_by_us_nor_by_mlflow(
    uri: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYNREID_MLFLOW", uri)
    with pytest.raises(UserError, match=re.escape(f"SYNREID_MLFLOW is {shown}, which")) as refusal:
        check_tracking()
    with MetricsLog(tmp_path):
        pass
    said = str(refusal.value) + capfd.readouterr().err
    assert "logging" in said and not re.search(r"\b(me|sec|ret|secret)\b", said)


def test_errors_that_are_each_other_s_context() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert tracking._reason(one) == "one"


@needs_mlflow
def test_patience_with_a_server_is_bounded() -> None:
    text = (
        "import os; from synreid.stage.tracking import check_tracking\n"
        "try: check_tracking()\n"
        "except Exception as error: print(type(error).__name__)\n"
        "from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT as wait\n"
        "from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES as tries, MLFLOW_DISABLE_TELEMETRY\n"
        "print(wait.get(), tries.get(), MLFLOW_DISABLE_TELEMETRY.get())"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment = {**clean, "SYNREID_MLFLOW": "nonsense://x"}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["UserError", "10", "2", "True"]


@needs_mlflow
@pytest.mark.parametrize("uri", ["nonsense://x", "sqlite:////nowhere/at/all/runs.db", "{folder}/mlruns"])
def test_unusable_store_is_refused(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    uri = uri.format(folder=tmp_path)
    monkeypatch.setenv("SYNREID_MLFLOW", uri)
    with pytest.raises(UserError, match=f"SYNREID_MLFLOW is {uri}, which MLflow cannot use"):
        check_tracking()


def test_deleted_experiment_is_refused(tracked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracked)
    monkeypatch.setenv("SYNREID_MLFLOW_EXPERIMENT", "deleted")
    client.delete_experiment(client.create_experiment("deleted"))
    with pytest.raises(UserError, match="experiment deleted was deleted"):
        check_tracking()


def test_experiment_that_another_process_makes_meanwhile_is_taken(
    tracked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    number = MlflowClient(tracked).create_experiment(os.environ["SYNREID_MLFLOW_EXPERIMENT"])
    look, looks = MlflowClient.get_experiment_by_name, []

    def late(*of: Any) -> Any:
        looks.append(of)
        return look(*of) if len(looks) > 1 else None

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", late)
    check_tracking()
    with stage(tmp_path / "a") as folder, MetricsLog(folder.path) as log:
        log.write(1, loss=0.5)
    assert [run.info.experiment_id for run in runs(tracked)] == [number]


@needs_mlflow
def test_processes_that_are_all_first_at_a_new_database(tmp_path: Path) -> None:
    text = "from synreid.stage.tracking import check_tracking; check_tracking()"
    environment = {**os.environ, "SYNREID_MLFLOW": f"sqlite:///{tmp_path}/runs.db"}

    def check(_: int) -> str:
        command = [sys.executable, "-c", text]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stderr

    with ThreadPoolExecutor(3) as pool:
        assert [said for said in pool.map(check, range(3)) if "Error" in said] == []


def test_without_the_variable_mlflow_is_not_loaded(tmp_path: Path) -> None:
    text = (
        "import sys; from pathlib import Path; from synreid.stage.metrics import MetricsLog\n"
        "from synreid.stage.tracking import check_tracking; check_tracking()\n"
        "with MetricsLog(Path(sys.argv[1])) as log: log.write(1, loss=1.0)\n"
        "print('mlflow' in sys.modules)"
    )
    clean = {name: value for name, value in os.environ.items() if name != "SYNREID_MLFLOW"}
    done = subprocess.run(
        [sys.executable, "-c", text, str(tmp_path)], capture_output=True, text=True, env=clean, check=True
    )
    assert done.stdout.strip() == "False"
