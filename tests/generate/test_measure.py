"""`gan measure`: sets, counts and features of every number, and generators that cannot be measured."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from synreid.cli.main import main
from synreid.data.pixels import pixels
from synreid.data.table import column
from synreid.features.embedders import EfficientNetLite0, PixelEmbedder
from synreid.generate import quality
from synreid.generate.measure import class_labels, measure_gan, measures_as_text, was_aided
from synreid.generate.network import load_generator
from synreid.generate.options import GanOptions
from synreid.generate.sample import StyleSampler, classes_as_in
from synreid.generate.train import train_gan
from synreid.quality.distribution import measure
from synreid.stage.errors import UserError
from synreid.stage.files import read_json, write_json


def test_values_are_the_measures_of_both_sets(tiny_gan: Path, train_table: pa.Table) -> None:
    found = measure_gan(tiny_gan, train_table, PixelEmbedder(), count=50, k=3)
    sampler = StyleSampler.load(tiny_gan)
    made = PixelEmbedder().embed(sampler.synthesize(sampler.latents(range(50)), range(50)))
    expected = measure(PixelEmbedder().embed(np.array(pixels(train_table, 16, 8))), made, "pixels-16x8", k=3)
    assert {name: found[name] for name in expected} == expected
    assert (found["made"], found["real"], found["k"]) == (50, len(train_table), 3)
    assert (found["generator"], found["resolution"]) == (sampler.fingerprint, "16x8")


def test_a_snapshots_file_is_measured(tiny_gan: Path, train_table: pa.Table) -> None:
    snapshots = sorted(tiny_gan.glob("generator-*.safetensors"))
    first, last = (measure_gan(path, train_table, PixelEmbedder(), 20) for path in (snapshots[0], snapshots[-1]))
    assert first["frechet"] != last["frechet"]
    assert last["frechet"] == pytest.approx(measure_gan(tiny_gan, train_table, PixelEmbedder(), 20)["frechet"])


def test_every_line_names_sets_counts_and_features(tiny_gan: Path, train_table: pa.Table) -> None:
    total = len(train_table)
    for real, every in ((None, f"{total} real (all)"), (40, "40 real (drawn)")):
        lines = measures_as_text(measure_gan(tiny_gan, train_table, PixelEmbedder(), 30, real)).splitlines()
        assert [line.split()[0] for line in lines] == [
            *("FD-pixels-16x8", "KID", "precision", "recall", "density", "coverage", "looks")
        ]
        assert all(f"30 made, {every}, 16x8, pixels-16x8" in line for line in lines)
    assert "k = 5" in lines[2]
    assert "subsets of 15" in lines[1]


def test_the_command_prints_and_writes(
    tiny_gan: Path, tiny_street: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    asked = ["--data", str(tiny_street), "--features", "pixels", "--count", "30", "--out", str(tmp_path / "m.json")]
    with pytest.raises(SystemExit) as end:
        main(["gan", "measure", str(tiny_gan), *asked])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert f"FD-pixels-16x8  {read_json(tmp_path / 'm.json')['frechet']:>21.4g}" in printed


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"count": 1}, "1 made pictures have no spread"),
        ({"real_count": 1}, "1 real pictures have no spread"),
        ({"k": 0}, "k is 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(asked: dict, said: str, tiny_gan: Path, train_table: pa.Table) -> None:
    with pytest.raises(UserError, match=said):
        measure_gan(tiny_gan, train_table, PixelEmbedder(), **asked)


def test_no_generator_is_refused(tmp_path: Path, train_table: pa.Table) -> None:
    with pytest.raises(UserError, match="neither a shipped generator"):
        measure_gan(tmp_path, train_table, PixelEmbedder(), 10)


def test_no_training_pictures_are_refused(tiny_gan: Path, train_table: pa.Table) -> None:
    with pytest.raises(UserError, match="0 real pictures have no spread"):
        measure_gan(tiny_gan, train_table.slice(0, 0), PixelEmbedder(), 10)


def test_features_that_a_training_looked_through_are_known(tmp_path: Path) -> None:
    def config(name: str, **values: object) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(values))
        return tmp_path / name

    plain, aided = config("plain", vision_aid=0.0, start=None), config("aided", vision_aid=0.5)
    assert [was_aided(place) for place in (plain, aided, tmp_path)] == [False, True, None]
    assert was_aided(config("further", vision_aid=0, start=str(aided)))
    assert was_aided(config("clean", vision_aid=0, start=str(plain))) is False
    assert was_aided(config("import", file="network.pkl")) is False
    assert was_aided(config("lost", vision_aid=0, start=str(tmp_path / "gone"))) is None
    assert was_aided(config("shipped", vision_aid=0, start="street"))
    assert was_aided(config("stages", street={}, gan=[{"vision_aid": 0}, {"vision_aid": 0.5}]))


def test_generators_that_name_each_other_come_to_an_end(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump({"vision_aid": 0, "start": str(tmp_path / other)}))
    assert was_aided(tmp_path / "a") is None


@pytest.mark.parametrize("text", ["", "[3]", "gan: [3]", "vision_aid: much", "start: 3"])
def test_options_of_no_training_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml does not hold the options of a generator's training"):
        was_aided(tmp_path)


def test_a_start_whose_name_is_too_long_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"start: {'x' * 5000}")
    assert was_aided(tmp_path) is None


def test_an_aided_generators_numbers_say_so(
    tiny_gan: Path, train_table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_gan, tmp_path / "gan")
    (tmp_path / "gan" / "config.yaml").write_text(yaml.safe_dump({"vision_aid": 0.5}))
    monkeypatch.setattr(quality, "EfficientNetLite0", PixelEmbedder)
    text = measures_as_text(measure_gan(tmp_path / "gan", train_table, PixelEmbedder(), 10))
    assert text.startswith("FD-pixels-16x8 ")
    assert "pixels-16x8, through which the training looked too" in text
    assert EfficientNetLite0.name == "EfficientNet-Lite0"
    (tmp_path / "gan" / "config.yaml").unlink()
    text = measures_as_text(measure_gan(tmp_path / "gan", train_table, PixelEmbedder(), 10))
    assert text.startswith("FD-pixels-16x8 ")
    assert "pixels-16x8, through which the training may have looked too" in text


@pytest.fixture(scope="module")
def by_camera(tmp_path_factory: pytest.TempPathFactory, train_table: pa.Table, tiny_options: GanOptions) -> Path:
    """A generator that is asked for cameras."""
    options = dataclasses.replace(tiny_options, cond="camera", kimg=0.008)
    return train_gan(train_table, tmp_path_factory.mktemp("camera") / "gan", options)


def test_a_training_records_whether_it_was_aided_wherever_its_start_was_named_from(
    tiny_gan: Path, train_table: pa.Table, tiny_options: GanOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_gan, tmp_path / "first")
    (tmp_path / "first" / "config.yaml").write_text(yaml.safe_dump({"vision_aid": 0.5}))
    monkeypatch.chdir(tmp_path)
    out = train_gan(train_table, Path("further"), dataclasses.replace(tiny_options, start="first", kimg=0.008))
    (tmp_path / "elsewhere" / "first").mkdir(parents=True)
    (tmp_path / "elsewhere" / "first" / "config.yaml").write_text(yaml.safe_dump({"vision_aid": 0}))
    out = out.resolve()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert was_aided(out) is True
    run = read_json(out / "run.json")
    write_json(out / "run.json", {name: value for name, value in run.items() if name != "vision_aided"})
    assert was_aided(out) is None  # what is called first here is another generator
    monkeypatch.chdir(tmp_path)
    assert was_aided(out) is True


def test_classes_are_drawn_as_often_as_the_pictures_have_them(
    by_camera: Path, train_table: pa.Table, asked_classes: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    cameras = column(train_table, "camera")
    names = sorted(set(cameras))
    labels = class_labels(load_generator(by_camera), train_table)
    assert labels is not None
    assert labels.tolist() == [names.index(camera) for camera in cameras]
    real = train_table.take([*np.flatnonzero(cameras == names[0])[:1], *np.flatnonzero(cameras == names[1])[:3]])
    measure_gan(by_camera, real, PixelEmbedder(), 200)
    zeros = asked_classes.count(0)
    assert 30 < zeros < 70 and zeros + asked_classes.count(1) == 200  # a quarter
    assert asked_classes[:9] == classes_as_in(torch.tensor([0, 1, 1, 1]), range(9)).tolist()
    assert "of no class" not in capsys.readouterr().err


def test_pictures_of_no_class_are_said(
    by_camera: Path, train_table: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    generator, place = load_generator(by_camera), train_table.column_names.index("camera")
    cameras = [generator.classes[1], "another", *[None] * (len(train_table) - 2)]
    partly = train_table.set_column(place, "camera", pa.array(cameras))
    labels = class_labels(generator, partly)
    assert labels is not None and labels.tolist() == [1]
    assert "95 of 96 pictures are of no class that this generator makes; it is asked for" in capsys.readouterr().err
    assert class_labels(generator, partly.slice(1)) is None
    assert "95 of 95 pictures are of no class" in capsys.readouterr().err
