from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from synreid.data.table import column, concat, from_columns, pick
from synreid.reid import evaluate, protocols
from synreid.reid.evaluate import evaluate_features, evaluate_model, read_evaluation
from synreid.reid.evaluate_options import EvaluateOptions
from synreid.reid.protocols import as_text, evaluate_protocols
from synreid.reid.rerank import rerank_features
from synreid.stage.errors import UserError

ALL = EvaluateOptions(rerank=True, multi_query=True, intervals=100, breakdown=True, predictions=True)
TITLES = ["single query", "single query, re-ranked", "multi-query", "multi-query, re-ranked"]


@pytest.fixture
def data(tmp_path):
    """Sixteen queries and 64 gallery pictures of eight persons by two cameras, with distractors and junk."""
    pids = [f"p{k % 8}" for k in range(16)] + [f"p{k % 8}" for k in range(48)] + [None] * 16
    cameras = ["c1"] * 8 + ["c2"] * 8 + ["c1"] * 24 + ["c2"] * 24 + ["c1", "c2"] * 8
    return from_columns(
        root=str(tmp_path),
        path=[f"{k}.jpg" for k in range(80)],
        sha256=[str(k) for k in range(80)],
        pid=pids,
        camera=cameras,
        split=["query"] * 16 + ["gallery"] * 64,
        junk=[False] * 76 + [True] * 4,
    )


@pytest.fixture
def embedded(monkeypatch):
    """A model whose features are a person's centre and noise; what it was asked to embed is noted."""
    asked = []

    def embed_table(model, table, flip=None):
        asked.append(len(table))
        centres = np.random.default_rng(9).normal(size=(9, 8))
        persons = [8 if pid is None else int(pid[1:]) for pid in column(table, "pid")]
        noise = [np.random.default_rng(int(sha)).normal(size=8) for sha in column(table, "sha256")]
        return (centres[persons] + 1.2 * np.array(noise)).astype(np.float32)

    monkeypatch.setattr(evaluate, "load_model", lambda folder, device: SimpleNamespace(fingerprint="the model"))
    for module in (evaluate, protocols):
        monkeypatch.setattr(module, "embed_table", embed_table)
    return asked


def test_every_setting_is_scored_and_nothing_twice(data, embedded, tmp_path):
    found = evaluate_protocols(tmp_path / "m", data, tmp_path / "out", ALL)
    assert list(found) == TITLES and embedded == [16, 64]
    assert len({scores.evaluation.summary["map"] for scores in found.values()}) == 4
    assert len({scores.evaluation.summary["fingerprint"] for scores in found.values()}) == 4
    for scores in found.values():
        summary = scores.evaluation.summary
        assert (summary["queries"], summary["gallery"], summary["gallery_junk"]) == (16, 64, 4)
        assert scores.intervals["map"]["low"] < summary["map"] < scores.intervals["map"]["high"]
        assert [row["camera"] for row in scores.breakdown["by_camera"]] == ["c1", "c2"]
        shares = [row["queries"] * row["map"] for row in scores.breakdown["by_camera"]]
        assert sum(shares) / 16 == pytest.approx(summary["map"])
        assert len(scores.breakdown["by_camera_pair"]) == 2
    assert evaluate_protocols(tmp_path / "m", data, tmp_path / "out", ALL) == found and embedded == [16, 64]


def test_plain_files_are_the_same_whatever_is_asked_besides(data, embedded, tmp_path):
    plain = evaluate_model(tmp_path / "m", data, tmp_path / "plain")
    beside = evaluate_protocols(tmp_path / "m", data, tmp_path / "all", ALL)["single query"].evaluation
    assert beside == plain == read_evaluation(tmp_path / "all")
    for name in ("evaluation.json", "per_query.parquet", "ranked.json"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
    assert len(list((tmp_path / "plain").iterdir())) == 3
    assert evaluate_protocols(tmp_path / "m", data, tmp_path / "all").keys() == {"single query"}


def test_changed_options_and_pictures_are_noticed(data, embedded, tmp_path):
    out = tmp_path / "out"
    evaluate_protocols(tmp_path / "m", data, out, EvaluateOptions(intervals=100))
    more = evaluate_protocols(tmp_path / "m", data, out, EvaluateOptions(intervals=150))["single query"]
    assert more.intervals["resamples"] == 150 and embedded == [16, 64]  # drawn from the file, nothing embedded
    evaluate_protocols(tmp_path / "m", data, out, ALL)
    fewer = concat([pick(data, split="query"), pick(data, split="gallery").slice(0, 60)])
    changed = evaluate_protocols(tmp_path / "m", fewer, out, ALL)
    assert {scores.evaluation.summary["gallery"] for scores in changed.values()} == {60}
    assert changed == evaluate_protocols(tmp_path / "m", fewer, tmp_path / "new", ALL)
    assert np.load(out / "predictions" / "gallery.npy").shape == (60, 8)


@pytest.mark.parametrize(
    ("name", "change"), [("intervals", {"map": {"low": 0.1}}), ("breakdown", {"by_camera": [{"queries": 1}]})]
)
def test_damaged_extras_are_one_sentence(data, embedded, tmp_path, name, change):
    evaluate_protocols(tmp_path / "m", data, tmp_path / "out", ALL)
    path = tmp_path / "out" / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=rf"{name}\.json is damaged: it does not hold what its stage writes"):
        evaluate_protocols(tmp_path / "m", data, tmp_path / "out", ALL)


def test_reranking_leaves_junk_out(data, embedded, tmp_path):
    found = evaluate_protocols(tmp_path / "m", data, tmp_path / "out", EvaluateOptions(rerank=True))
    query, gallery = pick(data, split="query"), pick(data, split="gallery", junk=False)
    features = [protocols.embed_table(None, table) for table in (query, gallery)]
    alone = evaluate.evaluate_distances([rerank_features(*features)], query, gallery).summary
    summary = found["single query, re-ranked"].evaluation.summary
    assert all(summary[key] == alone[key] for key in ("rank1", "map", "minp"))


def test_reranking_takes_its_numbers_from_the_options(data, embedded, tmp_path):
    out = tmp_path / "out"
    usual = evaluate_protocols(tmp_path / "m", data, out, EvaluateOptions(rerank=True))
    evaluate_protocols(tmp_path / "m", data, out, EvaluateOptions(rerank=True, k1=5, k2=2, lambda_value=0.9))
    query, gallery = pick(data, split="query"), pick(data, split="gallery", junk=False)
    features = [protocols.embed_table(None, table) for table in (query, gallery)]
    alone = evaluate.evaluate_distances([rerank_features(*features, 5, 2, 0.9)], query, gallery).summary
    kept = json.loads((out / "rerank" / "evaluation.json").read_text())
    assert kept["map"] == pytest.approx(alone["map"]) != usual["single query, re-ranked"].evaluation.summary["map"]


def test_predictions_can_be_scored_by_another(data, embedded, tmp_path):
    summary = evaluate_protocols(tmp_path / "m", data, tmp_path, EvaluateOptions(predictions=True))
    tables, features = [], []
    for name in ("query", "gallery"):
        with open(tmp_path / "predictions" / f"{name}.csv", newline="") as file:
            listed = list(csv.DictReader(file))
        features.append(np.load(tmp_path / "predictions" / f"{name}.npy"))
        names = {key: [row[key] or None for row in listed] for key in ("path", "pid", "camera")}
        tables.append(from_columns(sha256="0", **names))
    assert [len(table) for table in tables] == [16, 60] == [len(part) for part in features]
    scored = evaluate_features(*features, *tables).summary
    assert scored["map"] == pytest.approx(summary["single query"].evaluation.summary["map"])
    facts = json.loads((tmp_path / "predictions" / "predictions.json").read_text())
    assert facts["model"] == "the model" and facts["distance"] == "cosine"


def test_text_of_one_setting_and_of_all(data, embedded, tmp_path):
    one = as_text(evaluate_protocols(tmp_path / "m", data, tmp_path / "out")).splitlines()
    assert len(one) == 7 and one[0].startswith("Rank-1  ") and one[0].endswith(" %")
    shown = as_text(evaluate_protocols(tmp_path / "m", data, tmp_path / "out", ALL))
    assert [line[:-1] for line in shown.splitlines() if line.endswith(":")] == TITLES
    assert shown.count("95 % interval") == 8 and shown.count("camera c2") == 4
    assert shown.count("3 positives  Rank-1") == 4, "each query has its person's three pictures by the other camera"


def test_one_positive_is_one_and_several_are_a_span():
    assert [protocols._positives(*span) for span in ((1, 1), (2, 2), (1, 4))] == [
        *("1 positive", "2 positives", "1 to 4 positives")
    ]


def test_what_lies_where_is_said(data, embedded, tmp_path, capsys):
    for options in (EvaluateOptions(), ALL):
        evaluate_protocols(tmp_path / "m", data, tmp_path / "out", options)
        said = capsys.readouterr().err.splitlines()[-1]
        named = said.removeprefix(f"{tmp_path / 'out'} holds ").removesuffix(".").split(", ")
        there = [path.name + "/" * path.is_dir() for path in (tmp_path / "out").iterdir()]
        assert sorted(named) == sorted(there)


def test_data_without_hand_drawn_pictures_say_what_stands_in_for_them(data, embedded, tmp_path, capsys):
    evaluate_protocols(tmp_path / "m", data, tmp_path / "out", EvaluateOptions(multi_query=True))
    assert "query and gallery pictures are averaged" in capsys.readouterr().err


def test_intervals_of_few_resamples_are_an_error():
    with pytest.raises(UserError, match="intervals is 20, but must be 0 or at least 100"):
        EvaluateOptions(intervals=20)


@pytest.mark.parametrize("numbers", [{"k1": 5}, {"k2": 0}, {"lambda_value": float("nan")}, {"lambda_value": 1.5}])
def test_numbers_that_nothing_can_be_re_ranked_with_are_refused_before_any_work(numbers):
    with pytest.raises(UserError, match="re-ranking's"):
        EvaluateOptions(rerank=True, **numbers)


def test_multi_query_knows_the_hand_drawn_pictures_it_stands_on(data, embedded, tmp_path, monkeypatch):
    out, wanted = tmp_path / "out", EvaluateOptions(multi_query=True)
    first = evaluate_protocols(tmp_path / "m", data, out, wanted)["multi-query"]
    drawn = pick(data, split="gallery", junk=False).slice(0, 30)
    monkeypatch.setattr(protocols, "hand_drawn", lambda query: drawn)
    again = evaluate_protocols(tmp_path / "m", data, out, wanted)["multi-query"]
    assert again == evaluate_protocols(tmp_path / "m", data, tmp_path / "new", wanted)["multi-query"]
    assert again.evaluation.summary["map"] != first.evaluation.summary["map"]


def test_a_gallery_smaller_than_k1_is_an_error(data, embedded, tmp_path):
    small = concat([pick(data, split="query"), pick(data, split="gallery").slice(20, 16)])
    with pytest.raises(UserError, match="k1 is 20, but the gallery has only 16 pictures"):
        evaluate_protocols(tmp_path / "m", small, tmp_path / "out", EvaluateOptions(rerank=True))
