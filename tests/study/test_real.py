from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from synreid.report.page import write_report
from synreid.stage.files import read_json
from synreid.study.run import run_study

pytestmark = pytest.mark.slow

RECIPE = {
    "name": "tiny-real",
    "subset": {"identities": 12},
    "gan": {"start": "street", "kimg": 0.6, "tick": 0.3, "snap": 1, "metrics": "fd100", "ada_p": 0.2},
    "persons": {"persons": 8, "images": 6},
    "amounts": [4],
    "keep": 2,
    "reid": {"height": 64, "width": 32, "epochs": 2},
    "seeds": [0, 1],
}


def test_study_and_report_on_real_pictures(pku: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    out = run_study(str(recipe), pku, tmp_path / "out")
    result = read_json(out / "study.json")
    assert result["data"]["train_identities"] == 12
    assert result["data"]["query"] == 96
    assert result["generator"]["start"] == "street"
    assert any("not in this data set" in note for note in result["notes"])
    assert 0.02 < result["summary"][0]["map_mean"] < 0.9
    page = write_report(out).read_text(encoding="utf-8")
    assert result["answer"].split(" (")[0] in page
