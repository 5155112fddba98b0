"""The page as a whole: valid, closed to the outside, honest about what is missing."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synreid.report import figures
from synreid.report.folder import read_study
from synreid.report.page import write_report
from synreid.stage.errors import UserError
from synreid.study.jobs import SEEDS_FOR_A_CLAIM

from .conftest import Page


def report(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def test_page_is_whole_and_opens_nothing_outside(make_study: Callable[..., Path]) -> None:
    text = report(make_study())
    page = Page(text)
    assert len(page.ids) == len(set(page.ids)), "an id stands twice"
    for link in page.links:
        assert link.startswith(("data:image/jpeg;base64,", "data:text/csv;", "#")), link[:60]
        assert not link.startswith("#") or link[1:] in page.ids
    for name in re.findall(r"url\(([^)]*)\)", text):
        assert name[1:] in page.ids, name
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert "default-src 'none'" in text
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    assert len(text) < 4_000_000


def test_answer_comes_with_its_interval_seeds_and_caveat(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    study = json.loads((folder / "study.json").read_text())
    words = " ".join(Page(report(folder)).words.split())
    entry = next(d for d in study["differences"] if (d["arm"], d["metric"]) == ("real+160", "map"))
    assert study["answer"] in words
    assert f"{100 * entry['low']:+.2f} to {100 * entry['high']:+.2f}".replace("-", "\N{MINUS SIGN}") in words
    assert "given this generator" in words.split("How large is the difference")[0].split(study["answer"])[1]
    assert "Pictures of real persons may be embedded in this file: in the ranked lists and in every sheet" in words
    assert "not for a claim" not in words
    assert "not for a claim" in report(make_study("three", seeds=3))


def test_same_study_gives_the_same_bytes(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_every_text_is_escaped(make_study: Callable[..., Path]) -> None:
    evil = "<script>alert(1)</script>\"'&"
    folder = make_study(
        recipe=evil,
        question=evil,
        answer=evil,
        notes=[evil],
        data={"name": evil, "terms": evil},
        machine={evil: evil},
        versions={evil: evil},
        times={evil: 3.0},
        config={evil: evil},
        generator={"start": evil, "fingerprint": evil, "quality": [{"kimg": 1, "features": evil, "frechet": 2}]},
        selection={"stages": [{"name": evil, "in": 3, "discarded": 1}], "kept": 2, "made": 3},
        origin={"auc": 0.7, "resolution": evil},
        arms=[{"name": "real", "title": evil, "control": True}, {"name": "real+40", "title": evil, "persons": 40}],
    )
    text = report(folder)
    assert "<script" not in text
    assert text.count(str(html.escape(evil, quote=False).split('"')[0])) > 15
    Page(text)


@pytest.mark.parametrize("out", [None, "elsewhere/page.html"])
def test_tables_are_written_beside_the_report(make_study: Callable[..., Path], tmp_path: Path, out: str | None) -> None:
    folder = make_study()
    path = write_report(folder, tmp_path / out if out else None)
    assert path == (tmp_path / out if out else folder / "report.html")
    tables = path.parent / ("page-tables" if out else "tables")
    names = sorted(table.stem for table in tables.iterdir())
    assert names == ["amounts", "arms", "cost", "data", "differences", "generator", "results", "selection"]
    assert len((tables / "results.csv").read_text().splitlines()) == 1 + 5 * 5
    assert f"on its own: {tables.name}/results.csv beside this file" in path.read_text(encoding="utf-8")


def test_folder_is_no_place_for_a_page(make_study: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder, but --out names the HTML file; give .*/report\.html"):
        write_report(make_study(), tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_reports_in_one_folder_keep_their_tables_apart(make_study: Callable[..., Path], tmp_path: Path) -> None:
    for name, seeds in (("a", 2), ("b", 3)):
        write_report(make_study(name, seeds=seeds), tmp_path / "both" / f"{name}.html")
    lines = [len((tmp_path / "both" / f"{name}-tables" / "results.csv").read_text().splitlines()) for name in "ab"]
    assert lines == [1 + 5 * 2, 1 + 5 * 3]


def test_tables_have_their_own_ends_of_lines_on_windows(
    make_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def on_windows(path: Path, data: str, encoding: str | None = None, newline: str | None = None) -> int:
        return write(path, data, encoding, newline="\r\n" if newline is None else newline)

    monkeypatch.setattr(Path, "write_text", on_windows)
    tables = write_report(make_study()).parent / "tables"
    for path in tables.iterdir():
        assert path.read_bytes().count(b"\r") == path.read_bytes().count(b"\r\n") > 1, path.name


def test_persons_and_variations_have_a_selection_each(make_study: Callable[..., Path]) -> None:
    stages = [{"name": "identity", "in": 720, "discarded": 333}]
    other = {"stages": [{"name": "ssim", "in": 4010, "discarded": 10}], "made": 4010, "kept": 4000}
    folder = make_study(
        selection_variations={"stages": stages, "made": 720, "kept": 387, "notes": ["a weak judge"]},
        selection_by_thesis=other,
    )
    page = Page(report(folder))
    for sentence in (
        "Of 4\N{NARROW NO-BREAK SPACE}010 made pictures, 2\N{NARROW NO-BREAK SPACE}697 were kept",
        "Of 720 variations, 387 were kept",
        "Of 4\N{NARROW NO-BREAK SPACE}010 made pictures, by thesis, 4\N{NARROW NO-BREAK SPACE}000 were kept",
        "a weak judge",
    ):
        assert sentence in page.words
    assert (folder / "tables" / "selection.csv").exists()
    assert "ssim" in (folder / "tables" / "selection-by-thesis.csv").read_text()
    assert "333" in (folder / "tables" / "selection-variations.csv").read_text()


def test_calibration_is_a_table_with_its_file(make_study: Callable[..., Path]) -> None:
    row = {"score": "identity", "should_pass": "same person", "against": "different persons", "threshold": 0.61}
    folder = make_study(calibration=[row | {"good": 0.9, "passes": 0.094, "auc": 0.963, "low": 0.95, "high": 0.97}])
    page = Page(report(folder))
    assert "9.4" in page.words and "different persons" in page.words
    written = (folder / "tables" / "calibration.csv").read_text().splitlines()
    assert written[1].endswith("0.61,0.9,0.094,0.963,0.95,0.97")


def test_newer_numbers_stand_beside_the_headline(make_study: Callable[..., Path]) -> None:
    entry = {"arm": "real+160", "against": "real-steps", "mean": 0.02, "low": 0.01, "high": 0.03}
    persons = {"low": -0.004, "high": 0.044, "persons": 750}
    of_map = entry | {"metric": "map", "p_holm": 0.012, "persons": persons}
    of_rank = entry | {"metric": "rank1", "p_holm": 0.3, "mcnemar": {"gained": 412, "lost": 388, "p": 0.41}}
    folder = make_study(differences=[of_map, of_rank], seeds_needed={"text": "Nine seeds would do."})
    said = " ".join(Page(report(folder)).words.split())
    for sentence in (
        "1 arm against their controls (Holm), 1 of them has p below 0.05",
        "95 % interval \N{MINUS SIGN}0.40 to +4.40 points",
        "Real + 160 persons against Real, as many steps as with 160 persons, at first place: 412 queries are right "
        "with the former alone, 388 with the latter alone, where a query counts once a seed",
        "of these trained models",
        "Nine seeds would do.",
    ):
        assert sentence in said


def test_chart_of_a_long_sweep_keeps_what_its_question_is_about(make_study: Callable[..., Path]) -> None:
    differences = [
        {"arm": "real+160", "against": against, "metric": "map", "mean": 0.01, "low": 0.0, "high": 0.02}
        for against in ["real-steps", *["real"] * 18]
    ]
    folder = make_study(differences=differences)
    page = Page(report(folder))
    assert "the other differences stand in the table" in page.words
    chart = figures.differences(read_study(folder), "map")
    assert chart is not None and chart.count(">against Real, as many steps as with 160 persons<") == 1
    assert ">against Real<" not in chart
    assert len((folder / "tables" / "differences.csv").read_text().splitlines()) == 1 + 19


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("market1501", "Research only: do not distribute"),
        ("Market-1501-v15.09.15", "Research only: do not distribute"),
        ("DukeMTMC-reID", "withdrew it in 2019"),
        ("our-shop", "yours to check"),
    ],
)
def test_terms_follow_the_data(make_study: Callable[..., Path], name: str, said: str) -> None:
    assert said in report(make_study(data={"name": name, "train_pictures": 12}))


def test_terms_that_the_data_give_come_first(make_study: Callable[..., Path]) -> None:
    page = Page(report(make_study(data={"name": "market1501", "terms": "ask Ms Ito"})))
    assert "as the data give them: ask Ms Ito." in page.words
    assert "Research only" not in page.words


def test_subset_is_said_in_words(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    (folder / "recipe.yaml").write_text("subset: {fraction: 0.1, identities: null, seed: 4}", encoding="utf-8")
    assert "cut down to 10 % of the training persons (drawn by seed 4)" in Page(report(folder)).words
    for damaged in ("subset: [", "question: 2020-13-45"):
        (folder / "recipe.yaml").write_text(damaged, encoding="utf-8")
        with pytest.raises(UserError, match=r"recipe\.yaml is not readable as YAML"):
            report(folder)


PARTS = ("differences", "generator", "selection", "origin", "data", "notes")
OPTIONAL = (*PARTS, "machine", "versions", "times", "config", "started", "finished")


@pytest.mark.parametrize("part", PARTS)
def test_part_that_is_missing_is_left_out(make_study: Callable[..., Path], part: str) -> None:
    Page(report(make_study(seeds=1, **{part: None})))


def test_bare_study_says_what_it_lacks(make_study: Callable[..., Path]) -> None:
    folder = make_study(**dict.fromkeys(OPTIONAL))
    for room in ("gan", "persons", "select", "reid"):
        shutil.rmtree(folder / room)
    page = Page(report(folder))
    for sentence in (
        "no differences between arms",
        "measured no quality of the generator",
        "holds no sample grids",
        "lists no selection stages",
        "did not measure this",
        "holds no learning curves",
        "holds no ranked lists",
        "no difference of these amounts",
        "holds no audit",
        "yours to check",
        "noted nothing",
    ):
        assert sentence in page.words
    assert not [tag for tag, _ in page.tags if tag == "img"]


def test_one_seed_has_no_interval(make_study: Callable[..., Path]) -> None:
    page = Page(report(make_study(seeds=1)))
    assert "no interval" in page.words
    assert "nan" not in page.words.lower()
    assert "enough for a look" not in page.words


def test_one_seeds_queries_are_said_to_be_of_two_arms_by_name(make_study: Callable[..., Path]) -> None:
    entry = {"arm": "real+160", "against": "real-steps", "mean": 0.02, "n": 1}
    of_rank = entry | {"metric": "rank1", "mcnemar": {"gained": 41, "lost": 38, "p": 0.41}}
    said = Page(report(make_study(seeds=1, differences=[entry | {"metric": "map"}, of_rank]))).words
    assert "Real + 160 persons against Real, as many steps as with 160 persons, at first place: 41 queries" in said


def test_curves_of_held_out_pictures_are_not_called_those_of_training(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    for path in folder.glob("reid/*/*/metrics.jsonl"):
        path.write_text('{"step": 1, "loss": 2.0, "val_loss": 3.0}\n{"step": 2, "loss": 1.0, "val_loss": 2.5}\n')
    text = report(folder)
    assert "loss on held-out pictures" in text
    assert "training loss and error are on its own training pictures" in " ".join(Page(text).words.split())


def test_variations_of_real_persons_are_not_called_made_persons(make_study: Callable[..., Path]) -> None:
    arms = [{"name": "real", "control": True}, {"name": "real-steps", "control": True, "matched": True}]
    arms.append({"name": "real+160", "title": "real + 5 variations a person", "variations": 5})
    entry = {"arm": "real+160", "against": "real-steps", "metric": "map", "mean": 0.0, "low": -0.01, "high": 0.01}
    words = " ".join(Page(report(make_study(arms=arms, differences=[entry], answer="None."))).words.split())
    assert "made persons" not in words
    for sentence in (
        "do not settle whether made pictures help or harm",
        "Filled circles are trained with made pictures",
        "with and without made pictures?",
    ):
        assert sentence in words


def test_ranked_lists_stand_in_pairs_with_their_marks(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    page = Page(report(folder))
    marks = [attributes["class"] for tag, attributes in page.tags if tag == "li" and "class" in attributes]
    expected = []
    lists = [json.loads((folder / "reid" / arm / "0" / "ranked.json").read_text()) for arm in ("real", "real+160")]
    for base, augmented in zip(*lists, strict=True):
        for hit in base["hits"] + augmented["hits"]:
            expected.append("right" if hit["right"] else "wrong")
    assert marks == expected


def test_soft_labels_are_named_where_there_are_any(make_study: Callable[..., Path]) -> None:
    assert "soft labels" not in report(make_study())
    arms = [{"name": "real", "control": True}, {"name": "real+40", "persons": 40, "labels": "pseudo"}]
    arms.append({"name": "real+160", "persons": 160, "labels": "lsro"})
    assert "all 3 arms; in 1 arm with soft labels it cannot fall to zero." in report(make_study("soft", arms=arms))


def test_models_that_did_not_learn_are_said_to(make_study: Callable[..., Path]) -> None:
    arms = [{"name": "real", "control": True}, {"name": "real+40", "persons": 40}]
    arms.append({"name": "real+160", "persons": 160, "labels": "lsro"})  # of whose loss nothing follows
    folder = make_study(arms=arms)
    for arm, last in (("real", 1.8), ("real+40", 0.4), ("real+160", 1.9)):
        for path in folder.glob(f"reid/{arm}/*/metrics.jsonl"):
            path.write_text(f'{{"step": 1, "loss": 2.0}}\n{{"step": 2, "loss": {last}}}\n')
    text = report(folder)
    parts = {name: text.split(f'<section id="{name}">')[1].split("</section>")[0] for name in ("learning", "limits")}
    assert "No: at the end the training loss is 20 to 95 % of its highest value in all 3 arms" in parts["learning"]
    for part in parts.values():
        assert "In 1 of 2 arms with hard labels the training loss stays above 80 %" in part
    assert "Yes: at the end" in report(make_study("learned"))


def test_limits_name_few_seeds_and_a_weak_judge(make_study: Callable[..., Path]) -> None:
    row = {"score": "identity", "should_pass": "same person", "against": "different persons", "threshold": 0.5}
    weak, good = ([row | {"good": 0.9, "passes": 0.87, "auc": auc}] for auc in (0.54, 0.94))

    def said(name: str, seeds: int, calibration: list[dict[str, Any]]) -> str:
        text = report(make_study(name, seeds=seeds, calibration=calibration))
        return text.split('<section id="limits">')[1].split("</section>")[0]

    found = said("two", 2, weak)
    assert "One generator for all seeds." in found  # what the study noted itself
    assert f"2 seeds: a claim takes {SEEDS_FOR_A_CLAIM} or more." in found
    assert "hardly tells these persons apart (AUC 0.54, where 0.5 is chance)" in found and "87 % of pairs" in found
    found = said("five", 5, good)
    assert "a claim takes" not in found and "hardly tells" not in found


def test_interval_over_persons_that_is_that_of_seeds_is_said_once(make_study: Callable[..., Path]) -> None:
    entry = {"arm": "real+160", "against": "real-steps", "metric": "map", "mean": 0.02, "n": 5}
    bounds = {"low": 0.01, "high": 0.03}
    wider, same = {"low": 0.004, "high": 0.036}, {"low": 0.01 + 1e-14, "high": 0.03}
    texts = [
        report(make_study(name, differences=[entry | bounds | {"persons": persons}]))
        for name, persons in (("wider", wider), ("same", same))
    ]
    no_wider = "with 5 seeds the 95 % interval is no wider than that for other seeds alone."
    assert [no_wider in text for text in texts] == [False, True]
    assert "95 % interval +0.40 to +3.60 points of mAP" in texts[0]


def test_arms_that_are_identical_are_said_to_be(make_study: Callable[..., Path]) -> None:
    entry = {"arm": "real+160", "against": "real-steps", "metric": "map", "mean": 0.0, "low": 0.0, "high": 0.0}
    said = "Both arms are identical in every seed"
    assert said in report(make_study("same", differences=[entry | {"per_seed": [0.0] * 5}]))
    assert said not in report(make_study("near", differences=[entry | {"per_seed": [0.01, -0.01, 0.0]}]))


def test_small_numbers_and_names_are_for_people(make_study: Callable[..., Path]) -> None:
    data = {"name": "ours", "query": 25, "query_identities": 9, "gallery": 29, "gallery_identities": 10}
    text = report(make_study(generator={"kimg": 0.128}, data=data))
    assert "<dt>memory</dt><dd>15.6 GiB</dd>" in text and "memory_gib" not in text
    words = " ".join(Page(text).words.split())
    for sentence in ("It saw 0.1 thousand pictures", "nothing learns from it 25 9 ", "nothing learns from it 29 10 "):
        assert sentence in words


def test_only_cells_that_list_numbers_may_break(make_study: Callable[..., Path]) -> None:
    page = Page(report(make_study()))
    lists = [attributes for tag, attributes in page.tags if tag == "td" and attributes.get("class") == "list"]
    assert len(lists) == len(read_study(make_study("again")).differences)


def test_missing_and_damaged_pictures_are_counted(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    (folder / "pictures" / "03.png").unlink()
    whole = (folder / "pictures" / "05.png").read_bytes()
    (folder / "pictures" / "05.png").write_bytes(whole[:60])
    (folder / "select" / "kept.png").write_text("not a picture", encoding="utf-8")
    page = Page(report(folder))
    lists = [json.loads((folder / "reid" / arm / "0" / "ranked.json").read_text()) for arm in ("real", "real+160")]
    shown = {entry["query"] for entry in lists[0]} | {hit["path"] for ranked in lists for hit in ranked[0]["hits"]}
    assert f"2 pictures of {len(shown)} could not be opened" in " ".join(page.words.split())
    assert "not found" in page.words


def test_data_that_is_drawn_holds_no_real_person(make_study: Callable[..., Path]) -> None:
    data: dict[str, Any] = {"name": "street", "train_pictures": 600, "drawn": True}
    assert "no picture shows a real person" in report(make_study(data=data))
    fine_tuned = make_study("tuned", data=data, generator={"start": "/runs/market-gan"})
    assert "no picture shows a real person" not in report(fine_tuned)
    assert "no picture shows a real person" in report(make_study("shipped", data=data, generator={"start": "street"}))
    named_street = make_study("own", data={"name": "street"})
    assert "no picture shows a real person" not in report(named_street)
    recipe_draws = make_study("drawn", config={"data": None, "gan": None})
    assert "no picture shows a real person" not in report(recipe_draws)
    (recipe_draws / "street").mkdir()
    assert "no picture shows a real person" in report(recipe_draws)


def test_generator_from_elsewhere_shows_its_own_grids(make_study: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_study(generator={"folder": str(tmp_path / "gan")})
    (folder / "gan").rename(tmp_path / "gan")
    assert "after 320.5 thousand pictures" in report(folder)


def test_folder_that_is_no_study_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the folder of a study"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_damaged_study_leaves_the_older_report(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    before = write_report(folder).read_bytes()
    (folder / "study.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == before


def test_persons_whom_the_subset_leaves_out_are_counted_where_arms_draw_from_them(
    make_study: Callable[..., Path],
) -> None:
    data = {"name": "market1501", "train_identities": 75, "train_pictures": 1290}
    assert "left out" not in report(make_study("plain", data=data)).split('id="data"')[-1]
    left = {"left_out_identities": 676, "left_out_pictures": 11646}
    words = " ".join(Page(report(make_study("more", data=data | left))).words.split())
    assert re.search(r"training, left out .* draw from it, and nothing else does 11\D?646 676 ", words)
