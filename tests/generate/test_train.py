from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.nn import functional

from synreid.data.table import column
from synreid.features.embedders import PixelEmbedder
from synreid.generate import quality
from synreid.generate import train as training
from synreid.generate.feed import Round
from synreid.generate.layers import upsample_repeating as upsample
from synreid.generate.network import load_discriminator, load_generator, new_generator
from synreid.generate.options import GanOptions
from synreid.generate.place import learned_pictures
from synreid.generate.sample import StyleSampler
from synreid.generate.state import new_state
from synreid.generate.train import train_gan
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import plain
from synreid.stage.folder import StageFolder
from synreid.stage.metrics import MetricsLog, read_metrics
from synreid.stage.world import World


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {**load_file(folder / "generator.safetensors"), **load_file(folder / "discriminator.safetensors")}


def test_time_is_kept_with_every_checkpoint(
    tmp_path: Path, train_table: pa.Table, monkeypatch: pytest.MonkeyPatch, tiny_options: GanOptions
) -> None:
    checkpoint, steps, kept = tmp_path / "gan" / "checkpoint.pt", [], {}

    def keep(self: StageFolder, **facts: float) -> None:
        steps.append(torch.load(checkpoint, weights_only=True)["step"])
        kept.update(facts)
        assert kept["kimg"] == steps[-1] * tiny_options.batch / 1000

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(StageFolder, "keep_time", keep)
    train_gan(train_table, tmp_path / "gan", tiny_options)
    assert steps == sorted([*range(1, 21), 10, 20])  # once more behind a snapshot


@pytest.mark.parametrize("cut", [1, 5, 7])
def test_resumed_run_ends_bit_identical(
    cut: int,
    tmp_path: Path,
    train_table: pa.Table,
    tiny_gan: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_options: GanOptions,
) -> None:
    whole = training._Training._step

    def stops(self: training._Training) -> dict[str, float]:
        if self.state.step == cut:
            raise KeyboardInterrupt
        return whole(self)

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training._Training, "_step", stops)
    with pytest.raises(KeyboardInterrupt):
        train_gan(train_table, tmp_path / "gan", tiny_options)
    monkeypatch.setattr(training._Training, "_step", whole)
    train_gan(train_table, tmp_path / "gan", tiny_options)
    resumed, uninterrupted = weights(tmp_path / "gan"), weights(tiny_gan)
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in resumed)
    steps = [line["step"] for line in read_metrics(tmp_path / "gan")]
    assert steps == [line["step"] for line in read_metrics(tiny_gan)]


def test_a_run_that_was_cut_off_in_a_snapshot_goes_on_with_it(
    tmp_path: Path, train_table: pa.Table, monkeypatch: pytest.MonkeyPatch, tiny_options: GanOptions
) -> None:
    options = dataclasses.replace(tiny_options, metrics="fd16")
    monkeypatch.setattr(quality, "default_quality_embedder", lambda: (PixelEmbedder(), "Quality is on pixels."))
    whole = train_gan(train_table, tmp_path / "whole", options)
    assert [line["step"] for line in read_metrics(whole) if "frechet" in line] == [0, 10, 20]
    measured, step, snapshot = quality.Measurement.take, training._Training._step, training._Training._snapshot

    def cut_measure(self: quality.Measurement, *args: Any) -> Any:
        found = measured(self, *args)
        if args[1] == cut * options.batch / 1000:
            raise KeyboardInterrupt  # all is measured, and nothing of it said in the log
        return found

    def cut_behind(self: training._Training, log: MetricsLog) -> None:
        snapshot(self, log)
        if self.state.step == cut:
            raise KeyboardInterrupt

    for cut, owner, name, stops, snapshots in (
        (10, quality.Measurement, "take", cut_measure, [10, 20]),
        (20, quality.Measurement, "take", cut_measure, [20]),
        (10, training._Training, "_snapshot", cut_behind, [20]),
    ):
        out = tmp_path / f"{name}-{cut}"
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(owner, name, stops)
            train_gan(train_table, out, options)
        done: dict[str, list[int]] = {"steps": [], "snapshots": []}
        with monkeypatch.context() as patch:
            note = done["steps"].append
            patch.setattr(training._Training, "_step", lambda self, note=note: (note(self.state.step), step(self))[1])
            note = done["snapshots"].append
            patch.setattr(
                training._Training,
                "_snapshot",
                lambda self, log, note=note: (note(self.state.step), snapshot(self, log))[1],
            )
            train_gan(train_table, out, options)
        assert done == {"steps": list(range(cut, 20)), "snapshots": snapshots}
        files = {path.name for path in whole.iterdir() if path.is_file()}
        assert files == {path.name for path in out.iterdir() if path.is_file()}
        assert len(files) > 12
        for file in files - {"run.json"}:
            assert (whole / file).read_bytes() == (out / file).read_bytes(), file


def test_run_leaves_what_others_need(tiny_gan: Path, train_table: pa.Table) -> None:
    assert learned_pictures(tiny_gan).digests == set(column(train_table, "sha256"))
    assert len(list(tiny_gan.glob("samples-*.png"))) == 3
    snapshots = sorted(tiny_gan.glob("generator-*.safetensors"))
    assert [path.stem for path in snapshots] == ["generator-00000.0", "generator-00000.1", "generator-00000.2"]
    last, kept = load_generator(snapshots[-1]).state_dict(), load_generator(tiny_gan).state_dict()
    assert all(torch.equal(last[name], kept[name]) for name in kept)
    assert (tiny_gan / "real.png").exists()
    assert not (tiny_gan / "checkpoint.pt").exists()


def test_training_changes_every_weight_of_the_average(tiny_gan: Path, tiny_options: GanOptions) -> None:
    torch.manual_seed(tiny_options.seed)
    start = new_generator(tiny_options).state_dict()
    trained = load_generator(tiny_gan).state_dict()
    assert all(not torch.equal(start[name], trained[name]) for name in start)


def test_start_from_another_run_counts_its_pictures(
    tiny_gan: Path, train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    few = train_table.slice(0, 10)
    out = train_gan(few, tmp_path / "b", dataclasses.replace(tiny_options, start=str(tiny_gan), kimg=0.016))
    assert learned_pictures(out).digests == set(column(train_table, "sha256"))


def test_start_of_another_architecture_is_refused(
    tiny_gan: Path, train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    with pytest.raises(UserError, match="has cmax 8, but 4 is asked for"):
        train_gan(train_table, tmp_path / "b", dataclasses.replace(tiny_options, start=str(tiny_gan), cmax=4))


def test_too_few_pictures_are_refused(train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions) -> None:
    with pytest.raises(UserError, match="3 pictures, fewer than a batch of 8"):
        train_gan(train_table.slice(0, 3), tmp_path / "b", tiny_options)


def test_loss_that_is_not_finite_stops_and_names_the_step(
    train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    with pytest.raises(UserError, match="not finite at step"):
        train_gan(train_table, tmp_path / "b", dataclasses.replace(tiny_options, glr=1e30, dlr=1e30))


def test_damaged_checkpoint_is_named(
    train_table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_options: GanOptions
) -> None:
    def stop(self: training._Training) -> dict[str, float]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training._Training, "_step", stop)
        train_gan(train_table, tmp_path / "b", tiny_options)
    (tmp_path / "b" / "checkpoint.pt").write_bytes(np.random.default_rng(0).bytes(1000))
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged"):
        train_gan(train_table, tmp_path / "b", tiny_options)


def test_growing_starts_from_the_pictures_and_the_judgement_of_the_coarser_size(
    tiny_gan: Path, train_table: pa.Table, tiny_options: GanOptions
) -> None:
    finer = dataclasses.replace(tiny_options, height=64, width=32, start=str(tiny_gan))
    state, _ = new_state(finer, tiny_gan, torch.device("cpu"))
    coarse = load_generator(tiny_gan)
    w = coarse.styles(torch.randn(2, 8, generator=torch.Generator().manual_seed(0)))
    wide = torch.cat([w, torch.randn(2, state.generator.num_ws - w.shape[1], 8)], dim=1)
    before = upsample(upsample(coarse.synthesize(w, torch.zeros(2, 0))))
    made = state.generator.synthesize(wide, torch.zeros(2, 0))
    bias = sum(block.to_rgb.bias.abs().sum() for block in state.generator.blocks[3:])
    assert float(bias.detach()) == 0
    torch.testing.assert_close(made.detach(), before, rtol=1e-3, atol=1e-4)
    pictures = torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    old = load_discriminator(tiny_gan)(functional.avg_pool2d(pictures, 4))
    torch.testing.assert_close(state.discriminator(pictures).detach(), old, rtol=1e-3, atol=1e-4)
    step_after_growing(state.discriminator, pictures)
    assert all(parameter.grad.abs().max() > 0 for parameter in state.discriminator.parameters())


def step_after_growing(discriminator: torch.nn.Module, pictures: torch.Tensor) -> None:
    """Descend once, so that the parts that start at nothing pass gradients on, and compute the gradients anew."""
    optimiser = torch.optim.SGD(discriminator.parameters(), lr=1.0)
    for _ in range(2):
        optimiser.zero_grad()
        discriminator(pictures).square().mean().backward()
        optimiser.step()


def test_growing_run_trains_every_size(train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions) -> None:
    out = train_gan(train_table, tmp_path / "g", dataclasses.replace(tiny_options, grow=(0.016,), kimg=0.016))
    assert load_generator(out / "grow-8x4").height == 8
    assert load_generator(out).height == 16


def losses(folder: Path) -> list[dict[str, float]]:
    return [line for line in read_metrics(folder) if "loss_d" in line]


@pytest.mark.parametrize(
    "asked",
    [
        {"cfg": "stylegan3-t", "pl_weight": 2.0},
        {"cfg": "stylegan3-r", "blur_sigma": 2.0, "blur_fade_kimg": 0.1},
        {"cfg": "dcgan", "gamma": 0.0, "aug": "none"},
        {"noise": True, "edges": "zero", "aug": "diffaugment"},
        {"cond": "camera", "augpipe": ("bgc", "noise"), "aug": "fixed", "ada_p": 0.5},
    ],
    ids=lambda asked: "-".join(str(value) for value in asked.values()),
)
def test_every_network_and_option_resumes_bit_identical(
    asked: dict[str, Any],
    tmp_path: Path,
    train_table: pa.Table,
    monkeypatch: pytest.MonkeyPatch,
    tiny_options: GanOptions,
) -> None:
    options = dataclasses.replace(tiny_options, kimg=0.064, tick=0.032, **asked)
    train_gan(train_table, tmp_path / "whole", options)
    whole = training._Training._step

    def stops(self: training._Training) -> dict[str, float]:
        if self.state.step == 5:
            raise KeyboardInterrupt
        return whole(self)

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training._Training, "_step", stops)
        train_gan(train_table, tmp_path / "cut", options)
    train_gan(train_table, tmp_path / "cut", options)
    resumed, uninterrupted = weights(tmp_path / "cut"), weights(tmp_path / "whole")
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in uninterrupted)


@pytest.mark.parametrize("asked", [{}, {"cfg": "stylegan3-t"}, {"vision_aid": 0.5}], ids=["sg2", "sg3", "aid"])
def test_rounds_give_the_gradient_of_the_whole_batch(
    asked: dict[str, Any], train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    """With all that is random per picture switched off, two rounds of one picture set are that set twice."""
    still = dataclasses.replace(tiny_options, batch=8, mixing=0.0, aug="none", mirror=False, precision="fp32", **asked)
    folders = []
    for rounds in (1, 2):
        options = dataclasses.replace(still, batch_gpu=8 // rounds)
        run = training_of(train_table, tmp_path / f"{rounds}", options)
        run.feed.round = same_pictures(run, options)  # type: ignore[method-assign]
        folders.append([run._step() for _ in range(2)])
    for once, twice in zip(*folders, strict=True):
        assert once == pytest.approx(twice, rel=2e-3, abs=1e-4)


def training_of(table: pa.Table, out: Path, options: GanOptions) -> training._Training:
    out.mkdir()
    return training._Training(table, FakeFolder(out), options, None, World(torch.device("cpu")))  # type: ignore[arg-type]


class FakeFolder:
    def __init__(self, path: Path) -> None:
        self.path = path


def same_pictures(run: training._Training, options: GanOptions) -> Any:
    """Return a feed whose every round holds the same four pictures, each as often; groups of four see all of them."""

    def round_of(step: int, number: int) -> Round:
        rng = torch.Generator().manual_seed(step)
        real = (run.pictures[:4].float() / 127.5 - 1).repeat_interleave(options.round // 4, 0)
        z = torch.randn(1, 4, options.w_dim, generator=rng).repeat_interleave(options.round // 4, 1).repeat(2, 1, 1)
        none = torch.zeros(options.round, dtype=torch.int64)
        noise, cut = torch.zeros(options.round, 0), torch.full((options.round,), run.state.generator.num_ws)
        return Round(rng, real, none, z, none, noise, cut)

    return round_of


def test_frozen_blocks_of_the_discriminator_do_not_learn(
    tiny_gan: Path, train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    options = dataclasses.replace(tiny_options, start=str(tiny_gan), freezed=1, kimg=0.032)
    out = train_gan(train_table, tmp_path / "frozen", options)
    before, after = (load_file(folder / "discriminator.safetensors") for folder in (tiny_gan, out))
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith(("blocks.0.", "from_rgb.0."))}


def test_classes_are_the_cameras_and_come_with_the_generator(
    train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    out = train_gan(train_table, tmp_path / "c", dataclasses.replace(tiny_options, cond="camera", kimg=0.032))
    generator = load_generator(out)
    assert generator.classes == tuple(sorted(set(column(train_table, "camera"))))
    sampler = StyleSampler.load(out)
    classes = [torch.full((4,), number) for number in (0, 1)]
    first, second = (sampler.synthesize(sampler.latents(range(4), 1.0, one), range(4)) for one in classes)
    assert (first != second).any()


def test_pictures_without_a_camera_cannot_be_asked_for_by_camera(
    train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    place = train_table.column_names.index("camera")
    without = train_table.set_column(place, "camera", pa.nulls(len(train_table), pa.string()))
    with pytest.raises(UserError, match="96 of 96 training pictures have no camera"):
        train_gan(without, tmp_path / "c", dataclasses.replace(tiny_options, cond="camera"))


def test_checkpoint_of_another_configuration_is_refused(tmp_path: Path, tiny_options: GanOptions) -> None:
    state, _ = new_state(tiny_options, None, torch.device("cpu"))
    state.save(tmp_path / "checkpoint.pt")
    other, _ = new_state(dataclasses.replace(tiny_options, cmax=4), None, torch.device("cpu"))
    with pytest.raises(UserError, match="of another configuration"):
        other.load(tmp_path / "checkpoint.pt")


def test_two_processes_compute_the_losses_of_one(
    tiny_street: Path, train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    pytest.importorskip("lightning_fabric")
    options = dataclasses.replace(tiny_options, batch_gpu=4, pl_weight=2.0, precision="fp32", device="cpu")
    train_gan(train_table, tmp_path / "one", options)
    values = {**dataclasses.asdict(options), "gpus": 2, "data": str(tiny_street), "out": str(tmp_path / "two")}
    config = tmp_path / "two.yaml"
    config.write_text(yaml.safe_dump(plain(values)))
    subprocess.run([sys.executable, "-m", "synreid", "gan", "train", "--config", str(config)], check=True, timeout=300)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) > 0
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    one_weights, two_weights = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in one_weights:
        torch.testing.assert_close(one_weights[name], two_weights[name], rtol=1e-4, atol=1e-5)
