"""Snapshots: what is measured, on which features, and what is left in the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from synreid.features import inception, registry
from synreid.features.embedders import PixelEmbedder
from synreid.generate import quality
from synreid.generate.network import load_generator
from synreid.generate.sample import StyleSampler
from synreid.quality import cached
from synreid.quality.distribution import measure
from synreid.quality.metrics import AIDED, PERHAPS_AIDED, parse_metrics
from synreid.stage.errors import UserError
from synreid.stage.files import read_json


class Counting(PixelEmbedder):
    """Pixels; counts the pictures that it is shown."""

    shown = 0

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        self.shown += len(pictures)
        return super().embed(pictures)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counting:
    monkeypatch.setenv("SYNREID_CACHE", str(tmp_path / "cache"))
    embedder = Counting()
    monkeypatch.setattr(quality, "default_quality_embedder", lambda: (embedder, "Quality is counted."))
    return embedder


def pictures(n: int = 40) -> torch.Tensor:
    """uint8 [n, 3, 16, 8], laid out in memory as the training's are."""
    numbers = np.random.default_rng(0).integers(0, 256, (n, 16, 8, 3), dtype=np.uint8)
    return torch.from_numpy(numbers).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("metrics", "made", "real"), [("fd30", 30, 30), ("fd50_full", 50, 40), ("fd99", 99, 40)])
def test_counts_are_those_that_are_asked_for(
    metrics: str,
    made: int,
    real: int,
    tmp_path: Path,
    tiny_gan: Path,
    counting: Counting,
    capsys: pytest.CaptureFixture,
) -> None:
    taken = quality.Measurement(tmp_path, pictures(), parse_metrics(metrics), seed=0)
    _, values = taken.take(load_generator(tiny_gan), 0.0)
    assert (values["made"], values["real"], values["features"]) == (made, real, "pixels-16x8")
    assert counting.shown == made + real
    said = capsys.readouterr().err
    assert f"{made} made pictures against {'all' if real == 40 else 'a draw of'} {real} real ones" in said


def test_values_are_the_measures_of_all_pictures_at_once(
    tmp_path: Path, tiny_gan: Path, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached, "BLOCK", 32)
    monkeypatch.setattr(quality, "BLOCK", 32)
    _, values = quality.Measurement(tmp_path, pictures(), parse_metrics("fd70_full"), 0).take(
        load_generator(tiny_gan), 0
    )
    sampler = StyleSampler.load(tiny_gan)
    made = sampler.synthesize(sampler.latents(range(70)), range(70))
    real = pictures().permute(0, 2, 3, 1).numpy()
    expected = measure(PixelEmbedder().embed(real), PixelEmbedder().embed(made), "pixels-16x8")
    assert {name: values[name] for name in expected} == expected


def test_the_real_set_is_embedded_once_for_all_snapshots_and_trainings(
    tmp_path: Path, tiny_gan: Path, counting: Counting
) -> None:
    network = load_generator(tiny_gan)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        taken = quality.Measurement(tmp_path / name, pictures(), parse_metrics("fd20"), seed=3)
        for kimg in (0.0, 1.0):
            taken.take(network, kimg)
    assert counting.shown == 20 + 4 * 20


def test_a_snapshot_leaves_grid_values_and_curve(tmp_path: Path, tiny_gan: Path, counting: Counting) -> None:
    taken = quality.Measurement(tmp_path, pictures(), parse_metrics("fd20"), seed=0)
    network = load_generator(tiny_gan)
    grids = [taken.take(network, kimg)[0] for kimg in (0.0, 2.0, 1.0)]  # the last one goes on from an earlier moment
    assert [line["kimg"] for line in read_json(tmp_path / quality.FILE)] == [0.0, 1.0]
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names == {"real.png", "quality.png", "samples-00000.0.png", "samples-00001.0.png", "samples-00002.0.png"}
    assert grids[0].dtype == np.uint8
    assert (grids[0] == grids[1]).all()


def test_nothing_is_measured_where_nothing_is_asked(tmp_path: Path, tiny_gan: Path, counting: Counting) -> None:
    _, values = quality.Measurement(tmp_path, pictures(1), parse_metrics("none"), 0).take(load_generator(tiny_gan), 0)
    assert values == {}
    assert counting.shown == 0
    assert not (tmp_path / quality.FILE).exists()


@pytest.mark.parametrize("count", [2, 3, 5, 6])
def test_a_handful_of_pictures_is_measured(count: int, tmp_path: Path, tiny_gan: Path, counting: Counting) -> None:
    taken = quality.Measurement(tmp_path, pictures(count), parse_metrics(f"fd{count}"), 0)
    _, values = taken.take(load_generator(tiny_gan), 0)
    assert all(np.isfinite(value) for value in values.values() if isinstance(value, float))
    assert values["k"] == min(5, count - 1)


def test_one_real_picture_is_refused(tmp_path: Path, counting: Counting) -> None:
    with pytest.raises(UserError, match="1 real pictures have no spread"):
        quality.Measurement(tmp_path, pictures(1), parse_metrics("fd10"), 0)


def test_a_smaller_draw_is_part_of_a_larger_one() -> None:
    few, many = quality.drawn_rows(100, 20, 5), quality.drawn_rows(100, 60, 5)
    assert set(few) < set(many)
    assert len(set(few)) == 20
    assert (np.diff(few) > 0).all()
    assert (quality.drawn_rows(100, None, 5) == np.arange(100)).all()


def test_fid_without_inception_is_said_and_measured_under_another_name(
    tmp_path: Path, counting: Counting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("torch_fidelity")
    monkeypatch.setattr(registry, "find", lambda name: None)
    taken = quality.Measurement(tmp_path, pictures(), parse_metrics("fid50_full"), 0)
    assert taken.features == "pixels-16x8"
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    for part in (
        "FID is not measured",
        "weights-inception-2015-12-05-6726825d.pth",
        "FD-pixels-16x8",
        "SYNREID_WEIGHTS",
    ):
        assert part in said[0]


def test_fid_with_inception_is_measured_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Network:
        name, fingerprint = inception.INCEPTION, "1"

    monkeypatch.setattr(quality, "missing", lambda: None)
    monkeypatch.setattr(quality, "InceptionEmbedder", Network)
    assert quality.quality_embedder("fid")[0].name == inception.INCEPTION
    assert quality.quality_embedder("fd")[0].name != inception.INCEPTION


def test_features_that_the_training_looked_through_are_marked(
    tmp_path: Path, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = parse_metrics("fd20")
    assert not quality.Measurement(tmp_path, pictures(), asked, 0, aided=True).features.endswith(AIDED)
    monkeypatch.setattr(quality, "EfficientNetLite0", Counting)
    assert quality.Measurement(tmp_path, pictures(), asked, 0, aided=True).features.endswith(AIDED)
    assert not quality.Measurement(tmp_path, pictures(), asked, 0).features.endswith(AIDED)
    assert quality.Measurement(tmp_path, pictures(), asked, 0, aided=None).features.endswith(PERHAPS_AIDED)


def test_snapshots_ask_for_classes_as_often_as_the_training_pictures_have_them(
    tmp_path: Path, tiny_gan: Path, counting: Counting, asked_classes: list[int]
) -> None:
    labels = torch.tensor([2] * 39 + [5])
    quality.Measurement(tmp_path, pictures(), parse_metrics("fd20"), 0, labels=labels).take(load_generator(tiny_gan), 0)
    assert len(asked_classes) == 6 * 16 + 20
    assert set(asked_classes) <= {2, 5} and asked_classes.count(2) > asked_classes.count(5)


LINE = {"kimg": 0.0, "frechet": 3.0, "kid": -0.1, "kid_sd": 0.1, "made": 8, "real": 8, "features": "pixels"}


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        ({}, "not a list of measures"),
        ([3], "not a list of measures"),
        ([LINE | {"kimg": "many"}], "kimg as a number"),
        ([LINE | {"frechet": float("nan")}], "frechet as a number"),
        ([LINE | {"kid_sd": -1.0}], "kid_sd as a number"),
        ([LINE | {"made": 10**400}], "made as a number"),
        ([LINE | {"features": None}], "features in a few words"),
    ],
)
def test_damaged_measures_are_refused_before_the_training(
    lines: object, rule: str, tmp_path: Path, counting: Counting
) -> None:
    quality.write_json(tmp_path / quality.FILE, lines)
    with pytest.raises(UserError, match=rf"quality\.json .*{rule}; remove it, and the curve begins anew"):
        quality.Measurement(tmp_path, pictures(), parse_metrics("fd20"), 0)
