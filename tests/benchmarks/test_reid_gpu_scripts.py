from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from synreid.reid.optimise import optimiser_for
from synreid.reid.options import PRESETS, ReidOptions
from synreid.reid.state import enter
from synreid.stage.files import read_json, write_json

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    **{"backbone": "test_resnet", "last_stride": None, "pretrained": None},
    **{"height": 32, "width": 16, "batch": 8},
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own for all that is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNREID_CACHE", str(tmp_path / "cache"))


def test_throughput_runs_tiny_on_the_cpu(scripts: dict[str, Any], tmp_path: Path) -> None:
    scripts["reid_throughput"].main(["--device", "cpu", "--tiny", "--out", str(tmp_path / "result.json")])
    result = read_json(tmp_path / "result.json")
    assert result["finished"]
    assert [(row["work"], row["preset"]) for row in result["values"]] == [
        *(("training", name) for name in ("thesis", "thesis", "strong")),
        *(("embedding", name) for name in ("thesis", "strong")),
    ]
    for row in result["values"]:
        loop, fixed = (row["turns"][name] for name in ("loop", "fixed"))
        assert len(loop) == len(fixed) == 1
        assert row["ratio_median_of_turns"] == pytest.approx(loop[0] / fixed[0], rel=0.02)


def test_what_the_fixed_batch_takes_lies_on_the_network_s_device(
    scripts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    throughput, loop = scripts["reid_throughput"], sys.modules["reid_loop"]
    monkeypatch.setattr(loop, "optimiser_for", lambda *given: None)  # its kernels are not to be had everywhere
    options = ReidOptions(**{**PRESETS["strong"], **SMALL}, precision="fp32", steps=1)
    elsewhere = torch.device("meta")
    pair = throughput.Pair(options, 16, 4, elsewhere)
    places = [pair.batch, pair.of_batch, *pair.metric.buffers(), *pair.network.parameters()]
    model = throughput.ReidModel(pair.network, options, "fp32", elsewhere, "")
    assert {one.device for one in [*places, throughput.fixed_batch(model, 4)]} == {elsewhere}


@pytest.mark.parametrize("preset", ["thesis", "strong"])
def test_a_packed_re_id_training_goes_on_where_it_was(preset: str, scripts: dict[str, Any], tmp_path: Path) -> None:
    options = ReidOptions(**{**PRESETS[preset], **SMALL}, precision="fp32")
    state, precision = enter(tmp_path / "run", options, 5, CPU)
    for _ in range(2):
        features, logits = state.network.answers(torch.randn(8, 3, 32, 16))
        loss = logits.square().sum() + features.square().sum()
        if state.metric is not None:
            loss = loss + sum(state.metric(features, torch.arange(8) // 2, torch.ones(8)).values())
        loss.backward()
        state.optimiser.step()
    state.step, state.sums = 2, {"loss": 3.0, "wrong": 1.0, "pictures": 16.0}
    write_json(tmp_path / "run" / "run.json", {"stage": "reid", "finished": "today"})
    pack = scripts["reid_pack"].ReidPack(tmp_path / "pack", 15.0, {"row": "a", "seed": 0}, [{"seconds": 1}])
    pack.write(state, tmp_path / "run", precision)
    back = scripts["reid_pack"].ReidPack(tmp_path / "pack", 15.0)
    back.read(tmp_path / "again", options)
    again, found = enter(tmp_path / "again", options, 5, CPU)
    assert (again.step, again.sums, found, back.of, back.stretches) == (
        *(2, state.sums, precision, {"row": "a", "seed": 0}, [{"seconds": 1}]),
    )
    held = again.network.state_dict()
    for name, value in state.network.state_dict().items():
        torch.testing.assert_close(held[name], value, rtol=2**-11 if value.ndim > 1 else 0, atol=1e-7)
    if preset == "strong":
        centres = next(state.metric.buffers())
        torch.testing.assert_close(next(again.metric.buffers()), centres, rtol=2**-11, atol=1e-7)
        for now, before in zip(again.optimiser.state.values(), state.optimiser.state.values(), strict=True):
            means = [one["exp_avg_sq"].flatten(min(1, one["exp_avg_sq"].ndim - 1)).mean(-1) for one in (now, before)]
            torch.testing.assert_close(*means)
            assert float(now["step"]) == 2


def test_resnet50_fits_what_may_travel(scripts: dict[str, Any]) -> None:
    baseline = scripts["thesis_baseline"]
    for name in ("batch-16", "strong"):
        options = baseline.ROWS[name].options(0, None, tiny=False)
        state, _ = enter(Path("nowhere"), options, 751, CPU)
        tensors = scripts["reid_pack"].small(state.network.state_dict())
        if state.metric is not None:
            tensors |= scripts["reid_pack"].small(state.metric.state_dict())
        parts = scripts["parts"].split(tensors, baseline.parse(["--tiny"]).part_mib * 2**20)
        assert len(parts) <= 5  # with state.json, result and a log they are 8 files
        assert sum(value.numel() * value.element_size() for value in tensors.values()) < 53 * 2**20


def test_the_rate_follows_the_batch_and_the_backbone_s_the_weights(scripts: dict[str, Any], tmp_path: Path) -> None:
    rows = scripts["thesis_baseline"].ROWS
    small, large = (rows[name].options(0, None, tiny=False) for name in ("batch-16", "batch-128"))
    assert large.lr / small.lr == large.batch / small.batch == 8
    assert small.epochs == large.epochs == 60
    assert large.warm_up * large.epochs == pytest.approx(5)
    rate = {}
    for weights in (None, tmp_path / "weights.pth"):
        options = rows["batch-16"].options(0, weights, tiny=True)
        network = torch.nn.ModuleDict({"backbone": torch.nn.Linear(1, 1), "classifier": torch.nn.Linear(1, 1)})
        backbone, head = (group["initial_lr"] for group in optimiser_for(network, options).param_groups)
        rate[weights is not None] = backbone / head
    assert rate == {False: 1.0, True: pytest.approx(0.1)}


def test_weights_are_found_where_timm_or_pytorch_has_fetched_them(
    scripts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, of_timm = PRESETS["thesis"]["backbone"], {}
    known = timm.get_pretrained_cfg(backbone)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *asked: of_timm.get(asked))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = scripts["thesis_baseline"].imagenet_weights
    assert found(backbone) is None
    file = tmp_path / "hub" / "checkpoints" / Path(known.url).name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    assert found(backbone) == file
    of_timm[known.hf_hub_id, "model.safetensors"] = "there"
    assert found(backbone) == Path("there")


def test_missing_weights_are_refused(scripts: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scripts["thesis_baseline"].parse(["--tiny", "--weights", "nowhere.pth"])
    assert "nowhere.pth does not exist; name a file" in capsys.readouterr().err


def test_a_baseline_that_was_cut_off_goes_on_from_the_pack_alone(
    scripts: dict[str, Any], tmp_path: Path, cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline = scripts["thesis_baseline"]
    given = ["--device", "cpu", "--tiny", "--out", "result.json"]
    asked = itertools.count()
    with monkeypatch.context() as patch:  # asked before each training and each of its 24 steps
        patch.setattr(baseline.Stretch, "over", lambda stretch: next(asked) >= 35)
        baseline.main(given)
    result = read_json(tmp_path / "result.json")
    assert [(row["row"], row["seed"]) for row in result["values"]] == [("batch-16", 0)]
    assert not result["finished"]
    (tmp_path / "runs" / "gpu" / "thesis-baseline").rename(tmp_path / "lost")
    baseline.main(given)
    result = read_json(tmp_path / "result.json")
    assert result["finished"]
    assert not list((tmp_path / "runs" / "gpu" / "thesis-baseline-pack").iterdir())
    assert [(row["row"], row["seed"]) for row in result["values"]] == [
        *(("batch-16", 0), ("batch-128", 0), ("batch-128", 1), ("batch-128", 2), ("strong", 0)),
    ]
    cut = result["values"][1]["cut_stretches"]
    assert [(one["went_on_from"], one["steps"]) for one in cut] == [("its start", [0, 9])]
    for row in result["values"]:
        place = tmp_path / ("lost" if row["row"] == "batch-16" else "runs/gpu/thesis-baseline")
        assert read_json(place / f"{row['row']}-{row['seed']}" / "run.json")["steps"] == 24
        assert 0 <= row["map_trapezoid"] <= 1
