from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synreid.stage.files import write_json, write_text
from synreid.stage.folder import StageFolder
from synreid.study.tracked import log_study, numbers_of

RESULT: dict[str, Any] = {
    "recipe": "tiny",
    "seeds": [0, 1],
    "data": {"name": "street"},
    "summary": [
        {"arm": "real", "map_mean": 0.5, "map_sd": 0.01, "rank1_mean": 0.75, "rank1_sd": 0.02, "minp_mean": 0.1},
        {"arm": "persons-4", "map_mean": 0.625, "map_sd": 0.03, "rank1_mean": 0.875, "rank1_sd": 0.04},
    ],
    "differences": [
        {"arm": "persons-4", "against": "real", "metric": "map", "mean": 0.125, "low": -0.125, "high": 0.375, "p": 0.5}
    ],
}
NUMBERS = {
    "real/map_mean": 0.5,
    "real/map_sd": 0.01,
    "real/rank1_mean": 0.75,
    "real/rank1_sd": 0.02,
    "persons-4/map_mean": 0.625,
    "persons-4/map_sd": 0.03,
    "persons-4/rank1_mean": 0.875,
    "persons-4/rank1_sd": 0.04,
    "persons-4 against real/map_mean": 0.125,
    "persons-4 against real/map_low": -0.125,
    "persons-4 against real/map_high": 0.375,
}


def test_numbers_that_one_seed_does_not_give_are_left_out() -> None:
    arm = {"arm": "real", "map_mean": 0.5, "map_sd": None, "rank1_mean": 0.75, "rank1_sd": None}
    row = {"arm": "a", "against": "real", "metric": "map", "mean": 0.125, "low": None, "high": None}
    assert numbers_of({"summary": [arm], "differences": [row]}) == {
        "real/map_mean": 0.5,
        "real/rank1_mean": 0.75,
        "a against real/map_mean": 0.125,
    }


def test_study_is_logged_once_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    store = f"sqlite:///{tmp_path}/runs.db"
    monkeypatch.setenv("SYNREID_MLFLOW", store)
    with StageFolder(tmp_path / "mine", "study", 1, {}, {}) as folder:
        write_json(folder.path / "study.json", RESULT)
        folder.finish()
    log_study(tmp_path / "mine")
    write_text(tmp_path / "mine" / "report.html", "<html>")
    log_study(tmp_path / "mine")
    client = mlflow.MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("synreid").experiment_id])
    assert run.data.metrics == NUMBERS
    assert all(len(client.get_metric_history(run.info.run_id, name)) == 1 for name in NUMBERS)
    assert run.data.params == {"recipe": "tiny", "seeds": "[0, 1]", "data": "street"}
    assert run.info.run_name == "mine" and run.info.status == "FINISHED"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"study.json"}  # the report shows pictures
    kept = Path(client.download_artifacts(run.info.run_id, "study.json"))
    assert kept.read_bytes() == (tmp_path / "mine" / "study.json").read_bytes()


def test_nothing_is_logged_without_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNREID_MLFLOW", raising=False)
    write_json(tmp_path / "study.json", RESULT)
    log_study(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]
