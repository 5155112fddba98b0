"""The server: what is missing or taken is one sentence, and nothing is left behind."""

from __future__ import annotations

import importlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from synreid.app.folder import find_material
from synreid.app.serve import HOST, load_gradio, running, serve
from synreid.stage.errors import UserError


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "as before")  # so that it is set back


def test_missing_gradio_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"pip install 'synreid\[app\]'"):
        load_gradio(tmp_path / "uploads")


def test_gradio_is_told_to_keep_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", lambda name: name)
    assert load_gradio(tmp_path / "uploads") == "gradio"
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert Path(os.environ["GRADIO_TEMP_DIR"]).is_dir()


@pytest.mark.parametrize("port", [0, 65_536])
def test_impossible_port_is_one_sentence(tmp_path: Path, port: int) -> None:
    with pytest.raises(UserError, match=f"port is {port}"):
        serve(tmp_path, port=port)


def test_taken_port_is_one_sentence(made_study: Path) -> None:
    pytest.importorskip("gradio")
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is in use"), running(find_material(made_study / "gan"), port):
            pass
