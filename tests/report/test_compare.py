"""Several studies on one page: side by side, never mixed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from synreid.cli.commands.study import report
from synreid.report.compare import write_comparison
from synreid.stage.errors import UserError

from .conftest import Page


def rows(page: Path, name: str) -> list[dict[str, str]]:
    (path,) = page.parent.glob(f"*tables/comparison-{name}.csv")
    text = path.read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def test_page_is_whole_and_holds_each_answer(make_study: Callable[..., Path]) -> None:
    folders = [make_study("first", answer="They helped."), make_study("second", seeds=3, answer="They did harm.")]
    out = write_comparison(folders)
    assert out == folders[0] / "comparison.html"
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith(("data:text/csv;", "#")) for link in page.links)
    assert not re.findall(r"#[0-9a-f]{6}\b", re.sub(r"<style>.*?</style>", "", text, flags=re.S))
    for said in ("They helped.", "They did harm.", "not paired with each other", "first", "second"):
        assert said in page.words
    assert [int(row["seeds"]) for row in rows(out, "headlines")] == [5, 3]
    assert {row["arm"] for row in rows(out, "arms")} == {"real-full", "real", "real-steps", "real+40", "real+160"}


def test_only_options_that_differ_are_listed(make_study: Callable[..., Path], tmp_path: Path) -> None:
    folders = [make_study(name) for name in ("a", "b", "c")]
    for folder, kimg in zip(folders, (320, 60, 320), strict=True):
        (folder / "recipe.yaml").write_text(
            f"name: {folder.name}\ngan: {{kimg: {kimg}, batch: 32}}\n", encoding="utf-8"
        )
    out = write_comparison(folders, tmp_path / "out" / "page.html")
    (row,) = rows(out, "recipes")
    assert row == {"option": "gan.kimg", "a": "320", "b": "60", "c": "320"}
    assert (out.parent / "page-tables" / "comparison-recipes.csv").is_file()


def test_lists_of_options_stand_without_brackets(make_study: Callable[..., Path]) -> None:
    folders = [make_study(name) for name in ("a", "b")]
    (folders[0] / "recipe.yaml").write_text("labels: [slsr, lsro]\n", encoding="utf-8")
    (folders[1] / "recipe.yaml").write_text("labels: [slsr]\n", encoding="utf-8")
    assert rows(write_comparison(folders), "recipes") == [{"option": "labels", "a": "slsr, lsro", "b": "slsr"}]


def test_study_without_a_recipe_makes_no_option_differ(make_study: Callable[..., Path]) -> None:
    folders = [make_study(name) for name in ("a", "b", "c")]
    (folders[1] / "recipe.yaml").unlink()
    out = write_comparison(folders)
    words = Page(out.read_text(encoding="utf-8")).words
    assert "Recipes, data and machines are the same in all." in words
    assert "its options are not known: b." in words


def test_arms_are_matched_by_name(make_study: Callable[..., Path]) -> None:
    other = [{"name": "real", "control": True}, {"name": "elsewhere", "persons": 9}]
    results = [{"arm": "real", "seed": 0, "map": 0.5}, {"arm": "elsewhere", "seed": 0, "map": 0.6}]
    out = write_comparison([make_study("a"), make_study("b", arms=other, results=results, differences=None)])
    (row,) = rows(out, "arms")
    assert row["arm"] == "real" and float(row["map_mean b"]) == 0.5
    shown = out.read_text(encoding="utf-8").split('<section id="arms">')[1].split("</section>")[0]
    assert '<th scope="row" class="word">Real</th>' in shown  # by its title in words


def test_studies_of_one_name_are_told_apart(make_study: Callable[..., Path]) -> None:
    out = write_comparison([make_study("x/study"), make_study("y/study")])
    assert [row["study"] for row in rows(out, "headlines")] == ["x/study", "y/study"]


def test_what_cannot_be_compared(make_study: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_study()
    with pytest.raises(UserError, match="takes two or more"):
        write_comparison([folder])
    with pytest.raises(UserError, match="is named twice"):
        write_comparison([folder, folder / ".." / folder.name])
    with pytest.raises(UserError, match="not the folder of a study"):
        write_comparison([folder, tmp_path / "nothing"])
    with pytest.raises(UserError, match="--watts is for the report of one study, but 2 are compared"):
        report(folder, (make_study("other"),), watts=50.0)
    assert not (folder / "comparison.html").exists()
