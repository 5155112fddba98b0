from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent.parent.parent / "benchmarks" / "gpu"
NAMES = (
    *("common", "parts", "pack", "right_on_cuda", "generator_throughput", "train_on_market"),
    *("reid_pack", "reid_throughput", "thesis_baseline"),
)


@pytest.fixture(scope="session")
def scripts() -> dict[str, Any]:
    """The modules of the scripts for a GPU by name."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        return {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(SCRIPTS))
