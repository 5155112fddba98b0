from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_how_long_threads_spin_is_set_unless_the_user_did(given: dict[str, str], expected: str) -> None:
    left = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    asked = [sys.executable, "-c", "import synreid, os; print(os.environ.get('GOMP_SPINCOUNT'))"]
    found = subprocess.run(asked, env=left | given, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == expected
