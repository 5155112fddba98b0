"""Variations: what is done with whose styles, recomputed by hand; what cannot be done is said."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from synreid.data.pixels import pixels
from synreid.data.scan import open_data
from synreid.data.table import TABLE, column, from_columns, pick, read_table, write_table
from synreid.generate.generator import Generator
from synreid.generate.network import load_generator, new_generator, save_network
from synreid.generate.options import GanOptions
from synreid.generate.place import GENERATOR, generator_fingerprint
from synreid.invert.latents import HEADER, LATENTS, STAGE, VERSION, Latents, load_latents, show
from synreid.invert.options import VaryOptions, Way
from synreid.invert.vary import Variation, Varying, vary_persons
from synreid.select.made import made_pictures
from synreid.stage.errors import UserError
from synreid.stage.folder import StageFolder
from synreid.stage.tensors import write_tensors

OPTIONS = VaryOptions(images=6, layers="0-1", components=2)


@pytest.fixture(scope="module")
def other_gan(tmp_path_factory: pytest.TempPathFactory, tiny_gan: Path, tiny_options: GanOptions) -> Path:
    folder = tmp_path_factory.mktemp("other") / "gan"
    shutil.copytree(tiny_gan, folder)
    torch.manual_seed(5)
    save_network(folder / GENERATOR, new_generator(tiny_options), tiny_options)
    return folder


@pytest.fixture(scope="module")
def latents_folder(tmp_path_factory: pytest.TempPathFactory, tiny_gan: Path, train_table: pa.Table) -> Path:
    return write_latents(tmp_path_factory.mktemp("vary") / "latents", tiny_gan, train_table)


@pytest.fixture(scope="module")
def latents(latents_folder: Path, tiny_gan: Path) -> Latents:
    return load_latents(latents_folder, tiny_gan)


@pytest.fixture(scope="module")
def generator(tiny_gan: Path) -> Generator:
    return load_generator(tiny_gan)


def write_latents(folder: Path, gan: Path, table: pa.Table) -> Path:
    network = load_generator(gan)
    with StageFolder(folder, STAGE, VERSION, {}, {}) as stage:
        w = network.styles(torch.randn(len(table), network.w_dim, generator=torch.Generator().manual_seed(0))).detach()
        write_tensors(folder / LATENTS, {"w": w}, HEADER, {"generator": generator_fingerprint(gan)})
        write_table(table, folder / TABLE)
        stage.finish()
    return folder


def with_ways(*ways: Way, **changes: object) -> VaryOptions:
    return dataclasses.replace(OPTIONS, ways=ways, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["inversion", "mix", "between", "camera", "transfer", "sefa", "pca"])
def test_styles_are_what_the_row_says(way: Way, latents: Latents, generator: Generator) -> None:
    varying = Varying(generator, latents, with_ways(way, images=2))
    planned = varying.plan()
    pids, cameras, w = column(latents.table, "pid"), column(latents.table, "camera"), latents.w
    for one, made in zip(planned, varying.styles(planned), strict=True):
        assert one.way == way and pids[one.base] == one.pid
        expected = w[one.base].clone()
        if way == "mix":
            assert pids[one.others[0]] != one.pid
            expected[0:2] = w[one.others[0], 0:2]
        elif way == "between":
            assert pids[one.others[0]] == one.pid and one.others[0] != one.base and 0.25 <= one.amount <= 0.75
            expected = (1 - one.amount) * expected + one.amount * w[one.others[0]]
        elif way == "camera":
            assert one.camera != cameras[one.base]
            both = set(pids[cameras == one.camera]) & set(pids[cameras == cameras[one.base]])
            steps = [
                w[(pids == pid) & (cameras == one.camera)].mean(0)
                - w[(pids == pid) & (cameras == cameras[one.base])].mean(0)
                for pid in sorted(both)
            ]
            expected = expected + torch.stack(steps).mean(0)
        elif way == "transfer":
            start, end = one.others
            assert pids[start] == pids[end] != one.pid and cameras[start] != cameras[end]
            expected = expected + 0.5 * (w[end] - w[start])
        elif way in ("sefa", "pca"):
            assert one.component is not None
            direction = varying.directions[way][one.component]
            for layer in (0, 1):
                spread = ((w[:, layer] - w[:, layer].mean(0)) @ direction).std()
                expected[layer] += one.amount * spread * direction
            assert 2 <= abs(one.amount) <= 4
        torch.testing.assert_close(made, expected)


def test_detail_gives_back_what_inversion_lost(latents: Latents, generator: Generator) -> None:
    def made(detail: float, *ways: Way) -> tuple[list[Variation], np.ndarray]:
        varying = Varying(generator, latents, with_ways(*ways, images=2, detail=detail))
        planned = [one for one in varying.plan() if one.pid == column(latents.table, "pid")[0]]
        return planned, varying.pictures(planned[0].pid, planned)

    real = pixels(latents.table, generator.height, generator.width)
    planned, whole = made(1.0, "inversion")
    np.testing.assert_array_equal(whole, real[[one.base for one in planned]])
    planned, whole = made(0.5, "camera")
    bases = [one.base for one in planned]
    lost = real[bases].astype(np.float64) - show(generator, latents.w[bases])
    expected = (made(0.0, "camera")[1] + 0.5 * lost).clip(0, 255)
    np.testing.assert_allclose(whole, expected, atol=0.5)


def test_rows_say_what_was_done_with_which_parents(
    latents_folder: Path, latents: Latents, tiny_gan: Path, generator: Generator, tmp_path: Path
) -> None:
    out = vary_persons(tiny_gan, latents_folder, tmp_path / "out", OPTIONS)
    table = read_table(out / TABLE)
    digests, pids = column(latents.table, "sha256"), column(latents.table, "pid")
    of = dict(zip(digests, pids, strict=True))
    assert set(column(table, "origin")) == {"variation"} and set(column(table, "claim")) == {"parent"}
    assert set(column(table, "pid")) == set(pids) and len(table) == 6 * len(set(pids))
    ways = set()
    for row in table.to_pylist():
        recipe = json.loads(row["maker"])
        ways.add(recipe["operation"])
        roles = {parent["role"]: parent for parent in row["parents"]}
        assert of[row["parents"][0]["sha256"]] == row["pid"] and row["parents"][0]["role"] == "person"
        if recipe["operation"] == "mix":
            assert roles["style"]["layers"] == [0, 1] and of[roles["style"]["sha256"]] != row["pid"]
            assert roles["person"]["layers"] == list(range(2, generator.num_ws))
        if recipe["operation"] == "between":
            assert sum(parent["weight"] for parent in row["parents"]) == pytest.approx(1)
        if recipe["operation"] == "transfer":
            assert (roles["from"]["weight"], roles["to"]["weight"]) == (-0.5, 0.5)
        if recipe["operation"] == "camera":
            assert row["camera"] == recipe["camera"]
    assert ways == set(OPTIONS.ways)
    assert len(made_pictures(out)) == len(table)  # which selection and training read
    again = vary_persons(tiny_gan, latents_folder, tmp_path / "again", OPTIONS)
    assert column(read_table(again / TABLE), "sha256").tolist() == column(table, "sha256").tolist()


def test_inversion_alone_shows_each_picture_once(
    latents_folder: Path, latents: Latents, tiny_gan: Path, generator: Generator, tmp_path: Path
) -> None:
    options = with_ways("inversion", images=100, allow_fewer=True)
    table = read_table(vary_persons(tiny_gan, latents_folder, tmp_path / "out", options) / TABLE)
    assert sorted(p[0]["sha256"] for p in column(table, "parents")) == sorted(column(latents.table, "sha256"))
    with pytest.raises(UserError, match=r"100 variations of person .* give only \d+ that differ; take --images"):
        vary_persons(tiny_gan, latents_folder, tmp_path / "more", with_ways("inversion", images=100))


def test_a_way_that_is_used_up_makes_room_for_the_others(generator: Generator, tmp_path: Path) -> None:
    """Two pictures under two cameras give two camera variations, and as many points between as are asked for."""
    pids, cameras = [*"aabbccdd"], [*"12121212"]
    names = [f"{k}.png" for k in range(8)]
    table = from_columns(path=names, sha256=names, pid=pids, camera=cameras, split="train")
    w = torch.randn(8, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(1))
    varying = Varying(generator, Latents(table, w, "", "", tmp_path), with_ways("camera", "between", images=9))
    planned = varying.plan()
    for pid in "abcd":
        own = [one.way for one in planned if one.pid == pid]
        assert (own.count("camera"), own.count("between")) == (2, 7)
    assert len(set(planned)) == len(planned) == 36
    with pytest.raises(UserError, match=r"9 variations of person a .* its 2 pictures give only 2 that differ"):
        Varying(generator, varying.latents, with_ways("camera", images=9)).plan()


def test_junk_is_not_varied(generator: Generator, tmp_path: Path) -> None:
    names = [f"{k}.png" for k in range(6)]
    junk = [False, True, False, False, True, True]
    table = from_columns(path=names, sha256=names, pid=[*"aabbcc"], camera="1", split="train", junk=junk)
    w = torch.zeros(6, generator.num_ws, generator.w_dim)
    planned = Varying(generator, Latents(table, w, "", "", tmp_path), with_ways("mix", "transfer", images=2)).plan()
    assert {one.pid for one in planned} == {"a", "b"}
    assert not {row for one in planned for row in (one.base, *one.others)} & {1, 4, 5}


def test_a_picture_does_not_depend_on_its_neighbours(latents: Latents, generator: Generator) -> None:
    together = show(generator, latents.w[:5])
    np.testing.assert_array_equal(together[3], show(generator, latents.w[3:4])[0])


def test_ways_that_a_person_does_not_have(
    tiny_gan: Path, train_table: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pids = column(train_table, "pid")
    first = [int(np.flatnonzero(pids == pid)[0]) for pid in sorted(set(pids))]
    single = write_latents(tmp_path / "single", tiny_gan, train_table.take(first))
    with pytest.raises(UserError, match="between needs two pictures of the person"):
        vary_persons(tiny_gan, single, tmp_path / "out", with_ways("between"))
    out = vary_persons(tiny_gan, single, tmp_path / "both", with_ways("between", "sefa"))
    assert "between needs two pictures of the person" in capsys.readouterr().err
    assert {json.loads(text)["operation"] for text in column(read_table(out / TABLE), "maker")} == {"sefa"}


def test_a_single_picture_has_no_deviation_to_step_by(
    tiny_gan: Path, train_table: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single = write_latents(tmp_path / "single", tiny_gan, train_table.slice(0, 1))
    for way in ("sefa", "pca"):
        with pytest.raises(UserError, match=f"{way} needs two inverted pictures .* invert more pictures"):
            vary_persons(tiny_gan, single, tmp_path / way, with_ways(way))
    out = vary_persons(tiny_gan, single, tmp_path / "both", with_ways("sefa", "inversion", images=1))
    assert "sefa needs two inverted pictures" in capsys.readouterr().err
    assert {json.loads(text)["operation"] for text in column(read_table(out / TABLE), "maker")} == {"inversion"}


def test_bad_input_is_one_sentence(
    tiny_gan: Path, latents_folder: Path, tiny_street: Path, tmp_path: Path, other_gan: Path
) -> None:
    with pytest.raises(UserError, match="holds styles of generator"):
        vary_persons(other_gan, latents_folder, tmp_path / "a", OPTIONS)
    with pytest.raises(UserError, match="layers 7-9 must be"):
        vary_persons(tiny_gan, latents_folder, tmp_path / "b", dataclasses.replace(OPTIONS, layers="7-9"))
    test = write_latents(tmp_path / "test", tiny_gan, pick(open_data(tiny_street), split="query"))
    with pytest.raises(UserError, match="is a query picture"):
        vary_persons(tiny_gan, test, tmp_path / "c", OPTIONS)
    for name, value in (
        ("images", 0),
        ("strength", -1.0),
        ("step", -1.0),
        ("components", 0),
        ("ways", ()),
        ("seed", -1),
        ("seed", 2**64),
    ):
        with pytest.raises(UserError, match=name):
            dataclasses.replace(OPTIONS, **{name: value})  # type: ignore[arg-type]
