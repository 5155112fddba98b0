"""What inversion leaves of a person, recomputed from the pictures, by brute force and by closed forms."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
import torch
from PIL import Image

from synreid.data.pixels import pixels
from synreid.data.scan import open_data
from synreid.data.table import TABLE, column, from_columns, pick, read_table, rows
from synreid.features.embedders import PixelEmbedder
from synreid.features.ssim import ssim
from synreid.generate.network import load_generator
from synreid.generate.place import PICTURES, LearnedPictures, generator_fingerprint, learned_pictures, save_learned
from synreid.invert import measure as module
from synreid.invert.encoder import ENCODER, new_encoder, save_encoder
from synreid.invert.latent_ranking import encode_pictures, joined, latent_ranking
from synreid.invert.latents import Inversion, load_latents, show
from synreid.invert.measure import INVERTED, MEASURED, SHEET, as_text, chosen_rows, measure_encoder, measured_as_text
from synreid.invert.measure_numbers import mean_and_error, mean_and_interval, same_and_other
from synreid.invert.measure_options import MeasureOptions
from synreid.invert.options import EncoderOptions, RefineOptions
from synreid.invert.train import train_encoder
from synreid.reid.evaluate import evaluate_features, evaluate_model
from synreid.reid.options import ReidOptions
from synreid.reid.train import train
from synreid.stage.errors import UserError
from synreid.stage.files import read_json, write_json

ENCODER_OPTIONS = EncoderOptions(
    steps=1, batch=4, channels=4, passes=2, lpips=0.0, precision="fp32", device="cpu", validate=4
)
OPTIONS = MeasureOptions(queries=0, outside="pixels", latents=True, resamples=200)
REFINE = RefineOptions(steps=6, batch=8, precision="fp32")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def data(tiny_street: Path) -> pa.Table:
    return open_data(tiny_street)


@pytest.fixture(scope="module")
def reid(tmp_path_factory: pytest.TempPathFactory, train_table: pa.Table) -> Path:
    options = ReidOptions(backbone="test_resnet", height=32, width=16, embedding=16, steps=4, batch=8, precision="fp32")
    return train(train_table, None, tmp_path_factory.mktemp("reid") / "model", options, device="cpu")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory, tiny_gan: Path) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(
        folder / ENCODER, new_encoder(load_generator(tiny_gan), ENCODER_OPTIONS), generator_fingerprint(tiny_gan)
    )
    return folder


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory, data: pa.Table, tiny_gan: Path, encoder: Path, reid: Path
) -> Path:
    out = tmp_path_factory.mktemp("measure") / "out"
    return measure_encoder(data, tiny_gan, encoder, out, OPTIONS, REFINE, reid)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_real_queries_rank_as_reid_evaluate_has_them(
    measured: Path, data: pa.Table, reid: Path, tmp_path: Path
) -> None:
    expected = evaluate_model(reid, data, tmp_path, device="cpu").summary
    found = read_json(measured / MEASURED)["judges"]["reid"]["ranking"]["real"]
    assert found["rank1"] == pytest.approx(expected["rank1"])
    assert found["map"] == pytest.approx(expected["map"], abs=1e-6)


def test_inverted_queries_are_judged_as_pictures(measured: Path, data: pa.Table, tiny_gan: Path) -> None:
    query, gallery = chosen_rows(data, 0)
    made = show(load_generator(tiny_gan), load_latents(measured / INVERTED, tiny_gan).w)
    embedder, values = PixelEmbedder(), read_json(measured / MEASURED)
    real, whole = (embedder.embed(pixels(part, 128, 64)) for part in (query, gallery))
    for form, shown in (("refined", made), ("reduced", pixels(query, 16, 8))):
        features = embedder.embed(shown)
        expected = evaluate_features(features, whole, query, gallery).summary
        found = values["judges"]["outside"]
        for metric in ("rank1", "map"):
            assert found["ranking"][form][metric] == pytest.approx(expected[metric])
        kept = np.mean([cosine(a, b) for a, b in zip(real, features, strict=True)])
        assert found["identity"][form]["mean"] == pytest.approx(kept, abs=1e-5)
    alike = np.mean([ssim(a, b) for a, b in zip(pixels(query, 16, 8), made, strict=True)])
    assert values["pictures"]["refined"]["ssim"]["mean"] == pytest.approx(alike)


def test_losses_are_those_of_the_latents_table(measured: Path) -> None:
    table, found = read_table(measured / INVERTED / TABLE), read_json(measured / MEASURED)["pictures"]
    assert found["encoder"]["l2"]["mean"] == pytest.approx(column(table, "l2_encoder").mean())
    assert found["refined"]["l2"]["mean"] == pytest.approx(column(table, "l2").mean())
    assert found["refined"]["l2"]["mean"] < found["encoder"]["l2"]["mean"]
    assert list(found["encoder"]) == ["l2", "w_norm", "ssim"]


def test_differences_are_to_the_reduced_real_queries(measured: Path) -> None:
    for judge in read_json(measured / MEASURED)["judges"].values():
        ranking = judge["ranking"]
        assert list(ranking) == ["real", "reduced", "encoder", "refined"]
        assert "rank1_difference" not in ranking["reduced"]
        for form in ("real", "encoder", "refined"):
            for metric in ("rank1", "map"):
                change = ranking[form][f"{metric}_difference"]
                assert change["mean"] == pytest.approx(ranking[form][metric] - ranking["reduced"][metric])
                assert change["low"] <= change["mean"] <= change["high"]


def test_a_perfect_inversion_loses_nothing(
    tmp_path: Path, data: pa.Table, tiny_gan: Path, encoder: Path, reid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, _ = chosen_rows(data, 4)
    monkeypatch.setattr(module, "show", lambda *args: pixels(query, 16, 8))
    options = dataclasses.replace(OPTIONS, queries=4, latents=False)
    out = measure_encoder(
        data, tiny_gan, encoder, tmp_path / "out", options, dataclasses.replace(REFINE, steps=0), reid
    )
    values = read_json(out / MEASURED)
    assert list(values["pictures"]) == ["encoder"]  # without refinement there is nothing refined
    assert values["pictures"]["encoder"]["ssim"] == {"mean": pytest.approx(1), "se": pytest.approx(0)}
    for judge in values["judges"].values():
        assert judge["identity"]["encoder"] == judge["identity"]["reduced"]
        for metric in ("rank1", "map"):
            assert set(judge["ranking"]["encoder"][f"{metric}_difference"].values()) == {0.0}
    assert "latents" not in values


def test_a_run_that_was_cut_off_ends_with_the_same_bytes(
    tmp_path: Path,
    measured: Path,
    data: pa.Table,
    tiny_gan: Path,
    encoder: Path,
    reid: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stops(*args: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "latent_ranking", stops)
        measure_encoder(data, tiny_gan, encoder, tmp_path / "out", OPTIONS, REFINE, reid)
    assert list((tmp_path / "out" / "parts").iterdir())
    monkeypatch.setattr(Inversion, "refine", lambda *args: pytest.fail("that was done"))
    measure_encoder(data, tiny_gan, encoder, tmp_path / "out", OPTIONS, REFINE, reid)
    for name in (MEASURED, SHEET):
        assert (tmp_path / "out" / name).read_bytes() == (measured / name).read_bytes()
    assert not (tmp_path / "out" / "parts").exists()


def test_training_pictures_are_not_looked_at(
    measured: Path, data: pa.Table, tiny_gan: Path, encoder: Path, reid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inversion, "encode", lambda *args: pytest.fail("it is finished"))
    test = pick(data, split=("query", "gallery"))
    assert measure_encoder(test, tiny_gan, encoder, measured, OPTIONS, REFINE, reid) == measured


def test_queries_are_spread_over_the_persons(data: pa.Table) -> None:
    whole, gallery = chosen_rows(data, 0)
    assert len(whole) == len(pick(data, split="query", junk=False))
    assert list(column(whole, "pid")) == sorted(column(whole, "pid"))
    few, same = chosen_rows(rows(data, RNG.permutation(len(data))), 6)
    assert len(set(column(few, "pid"))) == 6  # of the six persons of the test
    assert set(column(few, "path")) == set(column(chosen_rows(data, 6)[0], "path"))
    assert len(gallery) == len(same) == len(pick(data, split="gallery"))
    with pytest.raises(UserError, match="0 query pictures of a known person"):
        chosen_rows(pick(data, split="gallery"), 0)


def test_the_sheet_and_the_text_show_every_kind(measured: Path) -> None:
    page = np.asarray(Image.open(measured / SHEET).convert("RGB"))
    assert page.shape[0] > 12 * 16 * 8
    assert 3 * 8 * 8 < page.shape[1] < 6 * 8 * 8
    values = read_json(measured / MEASURED)
    text = as_text(values)
    for words in ("real at 16x8", "encoder", "refined, 6 steps", "same person", "pixels-16x8", "standard", "coarse"):
        assert words in text
    line = next(line for line in text.splitlines() if line.startswith("latents and features"))
    assert f"{100 * values['latents']['both']['rank1']:.1f}" in line
    assert "which the encoder was trained with" not in text


def test_an_encoder_that_knows_the_model_or_a_test_picture(
    tmp_path: Path, data: pa.Table, tiny_gan: Path, reid: Path
) -> None:
    options = dataclasses.replace(ENCODER_OPTIONS, l2=1.0, identity=0.5)
    taught = train_encoder(data, tiny_gan, tmp_path / "encoder", options, reid)
    few = dataclasses.replace(OPTIONS, queries=4, latents=False)
    out = measure_encoder(data, tiny_gan, taught, tmp_path / "out", few, dataclasses.replace(REFINE, steps=1), reid)
    values = read_json(out / MEASURED)
    assert {name: judge["in_loss"] for name, judge in values["judges"].items()} == {"reid": True, "outside": False}
    assert "identity" in values["pictures"]["refined"]
    assert "which the encoder was trained with" in as_text(values)
    seen = str(column(pick(data, split="query"), "sha256")[0])
    shutil.copytree(taught, tmp_path / "seen")
    (tmp_path / "seen" / PICTURES).unlink()
    save_learned(tmp_path / "seen", learned_pictures(taught) | LearnedPictures(frozenset([seen])))
    with pytest.raises(UserError, match=r"learned from .*query.*, a test picture"):
        measure_encoder(data, tiny_gan, tmp_path / "seen", tmp_path / "no", few, REFINE, reid)


def test_an_encoder_of_a_device_that_is_not_here_is_measured_on_one_that_is(
    tmp_path: Path, data: pa.Table, tiny_gan: Path, reid: Path
) -> None:
    elsewhere = dataclasses.replace(ENCODER_OPTIONS, device="cuda:99")
    trained = new_encoder(load_generator(tiny_gan), elsewhere)
    save_encoder(tmp_path / ENCODER, trained, generator_fingerprint(tiny_gan))
    few = dataclasses.replace(OPTIONS, queries=2, latents=False, resamples=100)
    out = measure_encoder(data, tiny_gan, tmp_path, tmp_path / "out", few, dataclasses.replace(REFINE, steps=0), reid)
    assert list(read_json(out / MEASURED)["judges"]) == ["reid", "outside"]


def test_what_cannot_be_measured_is_said(
    tmp_path: Path, data: pa.Table, tiny_gan: Path, encoder: Path, reid: Path
) -> None:
    tuned = dataclasses.replace(REFINE, tune_steps=1)
    with pytest.raises(UserError, match="tune_steps is 1"):
        measure_encoder(data, tiny_gan, encoder, tmp_path / "out", OPTIONS, tuned, reid)
    other = tiny_gan / "generator-00000.0.safetensors"
    with pytest.raises(UserError, match="was trained with generator"):
        measure_encoder(data, other, encoder, tmp_path / "out", OPTIONS, REFINE, reid)
    with pytest.raises(UserError, match="queries is -1"):
        MeasureOptions(queries=-1)
    with pytest.raises(UserError, match="resamples is 99"):
        MeasureOptions(resamples=99)


def test_errors_are_the_usual_ones_where_persons_have_one_picture() -> None:
    values = RNG.normal(size=40)
    found = mean_and_error(np.append(values, np.nan), np.arange(41))
    assert found["mean"] == pytest.approx(values.mean())
    assert found["se"] == pytest.approx(scipy.stats.sem(values))
    twice = mean_and_error(np.repeat(values, 2), np.repeat(np.arange(40), 2))
    assert twice["se"] == pytest.approx(scipy.stats.sem(values))  # the same picture twice says no more
    assert mean_and_error(values, np.zeros(40))["se"] is None
    assert mean_and_error(np.array([np.nan]), np.array(["a"])) == {"mean": None, "se": None}


def test_intervals_are_near_the_normal_ones_and_count_persons() -> None:
    values = RNG.normal(0.2, 1.0, size=400)
    found = mean_and_interval(values, np.arange(400), 4000)
    half = 1.96 * scipy.stats.sem(values)
    assert found["mean"] == pytest.approx(values.mean())
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.1 * half)
    again = mean_and_interval(np.repeat(values, 3), np.repeat(np.arange(400), 3), 4000)
    assert again == pytest.approx(found)
    assert mean_and_interval(values, np.zeros(400), 100)["low"] is None


def pictures_of(pids: list[str | None], cameras: list[str], junk: list[bool] | None = None) -> pa.Table:
    count = len(pids)
    paths = [f"{k}.png" for k in range(count)]
    return from_columns(path=paths, sha256=paths, pid=pids, camera=cameras, junk=junk or [False] * count)


def test_same_and_other_persons_by_brute_force() -> None:
    query = pictures_of(["a", "b", "c"], ["1", "1", "2"])
    pids, cameras = ["a", "a", "a", "b", None, "d", "a", "b"], ["1", "2", "3", "1", "2", "1", "2", "2"]
    junk = [False] * 6 + [True, False]
    left, right = RNG.normal(size=(3, 5)), RNG.normal(size=(8, 5))
    found = same_and_other(left, right, query, pictures_of(pids, cameras, junk))
    for k, (pid, camera) in enumerate((("a", "1"), ("b", "1"), ("c", "2"))):
        same, other = [], []
        for j in range(8):
            if junk[j] or pids[j] is None:
                continue
            if pids[j] != pid:
                other.append(cosine(left[k], right[j]))
            elif cameras[j] != camera:
                same.append(cosine(left[k], right[j]))
        assert found["other"][k] == pytest.approx(np.mean(other), abs=1e-6)
        assert found["same"][k] == (
            pytest.approx(np.mean(same), abs=1e-6) if same else pytest.approx(np.nan, nan_ok=True)
        )


def test_joined_features_weigh_cosines_by_their_spread() -> None:
    query, gallery = ([RNG.normal(size=(count, d)) for d in (4, 30)] for count in (5, 9))
    left, right = joined(query, gallery)
    parts = [np.array([[cosine(a, b) for b in gallery[i]] for a in query[i]]) for i in range(2)]
    weights = np.array([1 / part.std() for part in parts])
    expected = (weights[0] * parts[0] + weights[1] * parts[1]) / weights.sum()
    found = np.array([[cosine(a, b) for b in right] for a in left])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_latents_rank_by_what_is_away_from_the_mean() -> None:
    persons = ["a", "b", "c", "d"]
    query, gallery = pictures_of(persons, ["1"] * 4), pictures_of(persons * 2, ["2"] * 8)
    mean, own = torch.full((8, 3), 50.0), torch.randn(4, 8, 3, generator=torch.Generator().manual_seed(0))
    query_w, gallery_w = mean + own, mean + torch.cat([own, own]) * torch.rand(8, 1, 1) + 1e-3
    noise = RNG.normal(size=(4, 6)), RNG.normal(size=(8, 6))
    found = latent_ranking(query_w, gallery_w, mean, *noise, query, gallery)
    assert list(found) == ["features", "latents", "coarse", "medium", "fine", "both"]
    assert all(found[name].summary["map"] == 1.0 for name in ("latents", "coarse", "medium", "fine"))
    assert found["features"].summary == evaluate_features(*noise, query, gallery).summary
    gallery_w[:, :3] = mean[:3] - own[[0, 1, 2, 3] * 2][:, :3]  # the coarse layers, 0 to 2 of 8, now point away
    again = latent_ranking(query_w, gallery_w, mean, *noise, query, gallery)
    assert again["coarse"].summary["rank1"] == 0.0
    assert again["fine"].summary["map"] == 1.0


def test_blocks_do_not_change_latents(
    tmp_path: Path, data: pa.Table, tiny_gan: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synreid.invert import latent_ranking as ranking
    from synreid.invert.encoder import load_encoder

    inversion = Inversion(load_generator(tiny_gan), load_encoder(encoder, tiny_gan), REFINE)
    pictures = pixels(pick(data, split="gallery"), 16, 8)[:11]
    monkeypatch.setattr(ranking, "ENCODED", 4)
    found = encode_pictures(inversion, pictures, tmp_path)
    torch.testing.assert_close(found, inversion.encode(pictures), rtol=0, atol=1e-5)
    monkeypatch.setattr(Inversion, "encode", lambda *args: pytest.fail("that was done"))
    assert torch.equal(encode_pictures(inversion, pictures, tmp_path), found)


@pytest.mark.parametrize("key", ["queries", "pictures", "judges"])
def test_damaged_numbers_are_one_sentence(key: str, measured: Path, tmp_path: Path) -> None:
    values = read_json(measured / MEASURED)
    write_json(tmp_path / MEASURED, values)
    assert measured_as_text(tmp_path) == as_text(values)
    write_json(tmp_path / MEASURED, values | {key: "a"})
    with pytest.raises(UserError, match=r"measure\.json is damaged: it does not hold what its stage writes"):
        measured_as_text(tmp_path)
