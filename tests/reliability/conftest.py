"""The modules of this room are shared with `benchmarks/reliability.py`, which has them on its path too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_street: Path, tiny_gan: Path) -> Path:
    """A folder with a good file of every kind of input."""
    from inputs import make_good

    home = tmp_path_factory.mktemp("reliability") / "home"
    home.mkdir()
    make_good(home, tiny_street, tiny_gan)
    return home
