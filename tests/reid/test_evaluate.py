from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synreid.data.table import concat, from_columns, pick
from synreid.reid import evaluate as module
from synreid.reid.evaluate import (
    PER_QUERY,
    RANKED,
    SUMMARY,
    evaluate_features,
    evaluate_model,
    read_evaluation,
    write_evaluation,
)
from synreid.reid.train import train
from synreid.stage.errors import UserError


def tables():
    """Twelve queries of six persons; the gallery has each by two cameras, distractors and junk."""
    names = [f"p{k}" for k in range(6)]
    query = from_columns(path=[f"q{k}.jpg" for k in range(12)], sha256="0", pid=names * 2, camera="c1", split="query")
    pids = names * 2 + [None] * 8
    gallery = from_columns(
        path=[f"g{k}.jpg" for k in range(20)],
        sha256="0",
        pid=pids,
        camera=["c1"] * 6 + ["c2"] * 14,
        split="gallery",
        junk=[False] * 16 + [True] * 4,
    )
    return query, gallery


def features(seed=0, noise=0.1):
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(6, 16))
    query = np.concatenate([centres, centres]) + noise * draw.normal(size=(12, 16))
    gallery = np.concatenate([centres, centres, draw.normal(size=(8, 16))]) + noise * draw.normal(size=(20, 16))
    return query, gallery


def test_good_features_rank_perfectly_and_lists_say_so():
    result = evaluate_features(*features(), *tables())
    assert result.summary["rank1"] == result.summary["map"] == result.summary["minp"] == 1.0
    assert (result.summary["gallery"], result.summary["gallery_junk"], result.summary["queries"]) == (20, 4, 12)
    assert len(result.ranked) == 8
    for entry in result.ranked:
        assert [hit["right"] for hit in entry["hits"]] == [True] + [False] * 9
        assert entry["hits"][0]["pid"] == entry["pid"] and entry["hits"][0]["camera"] == "c2"
        distances = [hit["distance"] for hit in entry["hits"]]
        assert distances == sorted(distances)


def test_length_of_features_does_not_count():
    query, gallery = features(noise=1.0)
    plain = evaluate_features(query, gallery, *tables())
    scaled = evaluate_features(query * 7, gallery * np.linspace(0.1, 9, 20)[:, None], *tables())
    assert plain.summary == pytest.approx(scaled.summary)


def test_blocks_do_not_change_the_result(monkeypatch):
    whole = evaluate_features(*features(noise=1.0), *tables())
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 20 * 5)
    parts = evaluate_features(*features(noise=1.0), *tables())
    assert parts.summary == whole.summary and parts.per_query == whole.per_query
    assert [entry["query"] for entry in parts.ranked] == [entry["query"] for entry in whole.ranked]


def test_features_that_are_all_the_same_get_nothing_for_it():
    result = evaluate_features(np.ones((12, 4)), np.ones((20, 4)), *tables())
    assert result.summary["rank1"] == result.summary["rank10"] == 0.0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda q: q[:5], "5 rows, but there are 12 query"),
        (lambda q: np.full_like(q, np.nan), "12 rows that are not finite"),
        (lambda q: q[:, 0], "one row a picture"),
    ],
)
def test_features_that_cannot_be_ranked(change, match):
    query, gallery = features()
    with pytest.raises(UserError, match=match):
        evaluate_features(change(query), gallery, *tables())


def test_an_empty_gallery_is_an_error():
    query, gallery = tables()
    with pytest.raises(UserError, match="holds no pictures"):
        evaluate_features(features()[0], np.empty((0, 16)), query, gallery.slice(0, 0))


def test_a_models_evaluation_is_written_and_not_computed_twice(persons, small, tmp_path, monkeypatch):
    folder = train(pick(persons, split="train"), None, tmp_path / "m", replace(small, steps=30))
    result = evaluate_model(folder, persons)
    assert result.summary["queries"] == 8 and result.summary["map"] > 0.5
    assert result.per_query.num_rows == 8 and len(result.ranked) == 8
    assert read_evaluation(folder).summary == result.summary
    with monkeypatch.context() as patch:
        patch.setattr(module, "embed_table", None)
        assert evaluate_model(folder, persons) == result
    fewer = concat([pick(persons, split="query"), pick(persons, split="gallery").slice(2)])
    assert evaluate_model(folder, fewer, tmp_path / "other").summary["gallery"] == 14


@pytest.fixture
def written(tmp_path):
    write_evaluation(evaluate_features(*features(), *tables()), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda table: table.drop_columns(["path"]), "lacks a whole column path"),
        (lambda table: table.append_column("ap", table["ap"]), "is damaged"),
        (lambda table: table.set_column(3, "valid", pa.nulls(12, pa.bool_())), "lacks a whole column valid"),
        (lambda table: table.set_column(3, "valid", pa.array(["yes"] * 12)), "lacks a whole column valid"),
        (lambda table: table.slice(1), "has other queries than .*evaluation.json counts"),
    ],
)
def test_damaged_scores_by_query_are_named(written, change, rule):
    table = pq.read_table(written / PER_QUERY)
    assert table.column_names[3] == "valid"
    pq.write_table(change(table), written / PER_QUERY)
    with pytest.raises(UserError, match=rf"per_query\.parquet {rule}"):
        read_evaluation(written)


@pytest.mark.parametrize(("name", "text"), [(SUMMARY, "null"), (SUMMARY, "[]"), (RANKED, "{}")])
def test_what_is_no_evaluation_is_named(written, name, text):
    (written / name).write_text(text)
    with pytest.raises(UserError, match=f"{name} does not hold an evaluation; remove it and evaluate again"):
        read_evaluation(written)


def test_a_summary_without_its_numbers_is_named(written):
    whole = read_evaluation(written).summary
    module.check_summary(whole, written)
    for name, value in (("map", "a"), ("rank5", None), ("queries", 12.0)):
        with pytest.raises(UserError, match=rf"evaluation\.json does not say {name} as a number"):
            module.check_summary(whole | {name: value}, written)
