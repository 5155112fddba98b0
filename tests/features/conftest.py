"""The weights that tests of this room use: the shared folder's, or none at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from synreid.features import registry


@pytest.fixture
def with_weights(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, str(weights))


@pytest.fixture
def without_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    monkeypatch.setattr(registry, "find", lambda name: None)
