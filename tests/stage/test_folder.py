from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from synreid.stage.errors import UserError
from synreid.stage.folder import StageFolder, read_run


def folder(out: Path, **config: object) -> StageFolder:
    return StageFolder(out, "gan", 1, {"kimg": 5, "out": str(out), **config}, {"data": "abc"})


def test_finished_folder_is_complete_and_config_runs_it_again(tmp_path: Path) -> None:
    with folder(tmp_path / "a") as first:
        assert not first.complete
        first.finish({"weights": "d1"}, kimg=5)
    with folder(tmp_path / "a") as again:
        assert again.complete
    assert yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())["kimg"] == 5
    assert read_run(tmp_path / "a", "gan")["outputs"] == {"weights": "d1"}


def test_paths_do_not_change_the_fingerprint_but_options_and_inputs_do(tmp_path: Path) -> None:
    base = folder(tmp_path / "a").fingerprint
    assert folder(tmp_path / "b").fingerprint == base
    assert folder(tmp_path / "a", kimg=6).fingerprint != base
    assert StageFolder(tmp_path, "gan", 1, {"kimg": 5}, {"data": "other"}).fingerprint != base
    assert StageFolder(tmp_path, "gan", 2, {"kimg": 5}, {"data": "abc"}).fingerprint != base


def test_whole_number_is_the_same_with_and_without_a_point(tmp_path: Path) -> None:
    with StageFolder(tmp_path / "a", "reid", 1, {"epochs": 40}, {}) as first:
        first.finish()
    with StageFolder(tmp_path / "a", "reid", 1, {"epochs": 40.0}, {}) as again:
        assert again.complete and again.fingerprint == first.fingerprint
    with pytest.raises(UserError, match=r"epochs was 40 and is now 40\.5"):
        StageFolder(tmp_path / "a", "reid", 1, {"epochs": 40.5}, {}).__enter__()


def test_no_value_is_another_than_the_default_that_was_left_out(tmp_path: Path) -> None:
    with StageFolder(tmp_path / "a", "reid", 1, {"epochs": 40}, {}):
        pass
    with pytest.raises(UserError, match="margin was left out and is now None"):
        StageFolder(tmp_path / "a", "reid", 1, {"epochs": 40, "margin": None}, {}).__enter__()


def test_another_configuration_is_refused_and_said(tmp_path: Path) -> None:
    with folder(tmp_path / "a"):
        pass
    with pytest.raises(UserError, match="kimg was 5 and is now 6"), folder(tmp_path / "a", kimg=6):
        pass


def test_cut_off_folder_goes_on_and_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), folder(tmp_path / "a"):
        raise KeyboardInterrupt
    with pytest.raises(UserError, match="cut off"):
        read_run(tmp_path / "a", "gan")
    with folder(tmp_path / "a") as again:
        assert not again.complete


CLOCK = """
import os, signal, sys, types
from synreid.stage import folder as module
clock = iter(map(float, sys.argv[3:]))
module.time = types.SimpleNamespace(monotonic=lambda: next(clock))
with module.StageFolder(sys.argv[1], "gan", 1, {"kimg": 5}, {}) as folder:
    folder.keep_time(kimg=1)
    folder.keep_time(kimg=2)
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    folder.finish()
"""


def test_time_up_to_a_checkpoint_outlives_a_killed_process(tmp_path: Path) -> None:
    def run(how: str, *clock: int) -> int:
        words = [sys.executable, "-c", CLOCK, str(tmp_path / "a"), how, *map(str, clock)]
        return subprocess.run(words).returncode

    assert run("kill", 100, 160, 670) == -signal.SIGKILL
    cut = json.loads((tmp_path / "a" / "run.json").read_text())
    assert (cut["seconds"], cut["kimg"], cut["finished"]) == (570, 2, None)
    assert run("end", 0, 10, 20, 25) == 0
    assert read_run(tmp_path / "a", "gan")["seconds"] == 570 + 25


def test_strange_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "holiday.jpg").write_text("mine")
    with pytest.raises(UserError, match=r"holiday\.jpg"), folder(tmp_path / "a"):
        pass
    assert not (tmp_path / "a" / "run.json").exists()


def test_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    code = (
        "from synreid.stage.folder import StageFolder\n"
        f"with StageFolder({str(tmp_path / 'a')!r}, 'gan', 1, {{'kimg': 5}}, {{'data': 'abc'}}): pass\n"
    )
    with StageFolder(tmp_path / "a", "gan", 1, {"kimg": 5}, {"data": "abc"}):
        held = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert held.returncode == 1
    assert f"in use by another process ({os.getpid()} on {platform.node()}, since 20" in held.stderr
    free = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert free.returncode == 0, free.stderr


def test_damaged_run_file_is_named(tmp_path: Path) -> None:
    with folder(tmp_path / "a"):
        pass
    (tmp_path / "a" / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json"), folder(tmp_path / "a"):
        pass


@pytest.mark.parametrize(
    "change",
    [
        lambda run: [run],
        lambda run: {**run, "named": 3},
        lambda run: {"stage": "gan"},
        lambda run: {**run, "outputs": {"a": float("nan")}},
    ],
)
def test_run_file_of_another_shape_is_named(change, tmp_path: Path) -> None:
    with folder(tmp_path / "a") as stage:
        stage.finish()
    path = tmp_path / "a" / "run.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=r"run\.json is (damaged|not the record of a stage)"):
        read_run(tmp_path / "a", "gan")
    with pytest.raises(UserError, match=r"run\.json is (damaged|not the record of a stage)"), folder(tmp_path / "a"):
        pass


def test_run_says_what_it_was_made_on(tmp_path: Path) -> None:
    with folder(tmp_path / "a") as stage:
        stage.finish()
    run = json.loads((tmp_path / "a" / "run.json").read_text())
    assert run["machine"]["versions"]["torch"]
    assert run["finished"] >= run["started"]


def test_a_request_that_is_refused_before_anything_was_made_may_be_corrected(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="too many"), StageFolder(out, "gan", 1, {"count": 9}, {}):
        raise UserError("too many")
    with StageFolder(out, "gan", 1, {"count": 2}, {}) as folder:
        (out / "made.txt").write_text("something")
        folder.finish()
    other = tmp_path / "other"
    with pytest.raises(UserError, match="late"), StageFolder(other, "gan", 1, {"count": 9}, {}):
        (other / "made.txt").write_text("something")
        raise UserError("late")
    with pytest.raises(UserError, match="count was 9 and is now 2"), StageFolder(other, "gan", 1, {"count": 2}, {}):
        pass
