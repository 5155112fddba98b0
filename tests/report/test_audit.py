"""The privacy section: an audit in the study's folder is shown, and a damaged one refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from synreid.report.page import write_report
from synreid.stage.errors import UserError

from .conftest import Page

SPACE: dict[str, Any] = {
    "median_ratio": 0.98,
    "auc": 0.512,
    "auc_low": 0.48,
    "auc_high": 0.545,
    "near": 3,
    "near_expected": 9.99,
    "quantiles_made": {"1%": 0.7, "5%": 0.8, "50%": 1.5},
    "quantiles_held_out": {"1%": 0.71, "5%": 0.81, "50%": 1.53},
    "verdict": "No clear sign of copying in pixels.",
}
AUDIT: dict[str, Any] = {
    "source": "samples of a generator",
    "made": 1000,
    "training": 1290,
    "held_out": 4000,
    "resolution": "64x32",
    "spaces": {"pixels": SPACE},
    "verdict": "No clear sign of copying on the whole.",
    "limits": ["It cannot show that nobody is recognisable."],
    "notes": ["Copies are sought among 1,290 pictures."],
}


def write_audit(folder: Path, found: Any) -> None:
    folder.mkdir(parents=True)
    (folder / "privacy.json").write_text(json.dumps(found), encoding="utf-8")
    Image.new("RGB", (64, 128)).save(folder / "privacy.png")


def test_audit_in_the_folder_is_shown(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    write_audit(folder / "privacy", AUDIT)
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    for sentence in (AUDIT["verdict"], SPACE["verdict"], *AUDIT["limits"], *AUDIT["notes"], "0.512 (0.480 to 0.545)"):
        assert sentence in page.words
    assert any("closest pairs" in (attributes.get("alt") or "") for tag, attributes in page.tags if tag == "img")
    (row,) = csv.DictReader(io.StringIO((folder / "tables" / "privacy.csv").read_text()))
    assert float(row["held_out_5_percent"]) == 0.81 and float(row["near_expected"]) == 9.99


def test_entries_that_are_no_numbers_are_dashes(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    wrong = {"made": "many", "training": None, "held_out": float("nan")}
    write_audit(folder / "privacy", AUDIT | wrong | {"spaces": {"pixels": SPACE | {"near": float("nan")}}})
    words = " ".join(Page(write_report(folder).read_text(encoding="utf-8")).words.split())
    assert "\N{EN DASH} samples of a generator at 64x32 beside \N{EN DASH} training pictures" in words
    (row,) = csv.DictReader(io.StringIO((folder / "tables" / "privacy.csv").read_text()))
    assert row["near"] == ""


def test_several_audits_have_a_table_each(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    write_audit(folder / "privacy", AUDIT)
    write_audit(folder / "audits" / "persons", AUDIT)
    write_report(folder)
    assert (folder / "tables" / "privacy.csv").exists() and (folder / "tables" / "privacy-2.csv").exists()


def test_without_an_audit_the_page_says_how_to_make_one(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    words = Page(write_report(folder).read_text(encoding="utf-8")).words
    assert f"synreid privacy {folder / 'gan'} --data Market-1501 --out {folder / 'privacy'}" in words


@pytest.mark.parametrize("found", [[], {}, {"spaces": {"pixels": 0.5}}, {"spaces": {"a": {"quantiles_made": "a"}}}])
def test_damaged_audit_is_refused(make_study: Callable[..., Path], found: Any) -> None:
    folder = make_study()
    write_audit(folder / "privacy", found)
    with pytest.raises(UserError, match=r"privacy\.json holds no numbers of an audit"):
        write_report(folder)
