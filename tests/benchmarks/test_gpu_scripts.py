from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from synreid.data.table import column, pick
from synreid.generate import filtered_lrelu as rectifier
from synreid.generate.options import GanOptions
from synreid.generate.state import new_state
from synreid.generate.train import CHECKPOINT
from synreid.stage.errors import UserError
from synreid.stage.files import read_json, write_json

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "name", ["filtered rectifier, stylegan3-t", "generator, dcgan", "discriminator and R1", "augmentation, oblong"]
)
def test_checks_hold_on_the_cpu(name: str, scripts: dict[str, Any]) -> None:
    right = scripts["right_on_cuda"]
    row = right.compare(name, right.checks(right.TINY, tiny=True)[name], CPU)
    assert row["right"], row
    assert row["errors"]["fp32"]["gradient"] < 1e-4 < row["errors"]["bf16"]["gradient"]


def test_a_kernel_that_is_a_little_wrong_is_found(scripts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    right, whole = scripts["right_on_cuda"], rectifier._whole

    def wrong(*given: Any) -> tuple[Tensor, Tensor]:
        y, positive = whole(*given)
        return y * 1.001, positive

    monkeypatch.setattr(rectifier, "_whole", wrong)
    name = "filtered rectifier, stylegan3-r"
    assert not right.compare(name, right.checks(right.TINY, tiny=True)[name], CPU)["right"]


def test_a_result_that_was_cut_off_goes_on_and_a_finished_one_begins_anew(
    scripts: dict[str, Any], tmp_path: Path
) -> None:
    def result(size: int = 1) -> Any:
        return scripts["common"].Result(tmp_path / "result.json", "what", "command", {"size": (size, size)})

    first = result()
    first.add({"row": 1})
    assert result().has(row=1)
    assert not result(size=2).has(row=1)
    first.finish(verdict="right")
    assert read_json(tmp_path / "result.json")["verdict"] == "right"
    assert not result().has(row=1)


def test_a_result_goes_on_after_a_restart_but_not_on_another_gpu(
    scripts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = scripts["common"]
    first = {"gpu": "A", "versions": {"torch": "2"}, "memory_gib": 128.0, "commit": "abc", "platform": "Linux 1"}

    def result(same: tuple[str, ...] = common.SAME, **changed: Any) -> Any:
        monkeypatch.setattr(common, "machine", lambda: {**first, **changed})
        return common.Result(tmp_path / "result.json", "what", "command", {}, same)

    result().add({"row": 1})
    again = result(memory_gib=127.9, commit="def", platform="Linux 2")
    assert again.has(row=1)
    again.add({"row": 2})
    assert [one["commit"] for one in read_json(tmp_path / "result.json")["earlier_machines"]] == ["abc"]
    assert not result(versions={"torch": "3"}).has(row=1)
    assert not result(gpu="B").has(row=1)
    assert result(same=(), gpu="B").has(row=1)


@pytest.fixture
def trained(scripts: dict[str, Any]) -> tuple[GanOptions, Any]:
    """The state of a tiny training after four steps."""
    options = GanOptions(height=16, width=8, cmax=8, cbase=128, w_dim=8, batch=4, vision_aid=0)
    loop = scripts["common"].Loop(options, CPU)
    for _ in range(4):
        loop._step()
    return options, loop.state


def test_a_packed_training_goes_on_where_it_was(
    scripts: dict[str, Any], trained: tuple[GanOptions, Any], tmp_path: Path
) -> None:
    options, state = trained
    write_json(tmp_path / "run" / "run.json", {"stage": "gan", "finished": "today"})
    write_json(tmp_path / "run" / "quality.json", [{"kimg": 0.0}])
    pack = scripts["pack"].Pack(tmp_path / "pack", whole_mib=1, part_mib=0.02, stretches=[{"seconds": 1}])
    pack.write(state, tmp_path / "run")
    parts = list((tmp_path / "pack").glob("weights-*.safetensors"))
    assert len(parts) > 1
    assert max(path.stat().st_size for path in parts) <= 0.02 * 2**20
    back = scripts["pack"].Pack(tmp_path / "pack", whole_mib=1, part_mib=0.02)
    back.read(tmp_path / "again", options)
    again, _ = new_state(options, None, CPU)
    again.load(tmp_path / "again" / CHECKPOINT)
    assert (again.step, again.ada_p, again.signs) == (state.step, state.ada_p, state.signs)
    for name in ("generator", "average", "discriminator"):
        found = getattr(again, name).state_dict()
        for key, value in getattr(state, name).state_dict().items():
            torch.testing.assert_close(found[key], value, rtol=2**-11, atol=1e-7)
    for parameter, moments in again.adam_g.state.items():
        assert moments["exp_avg_sq"].stride() == parameter.stride()
    for number, moments in state.adam_g.state_dict()["state"].items():
        mean = moments["exp_avg_sq"].flatten(1).mean(1) if moments["exp_avg_sq"].ndim > 1 else moments["exp_avg_sq"]
        kept = again.adam_g.state_dict()["state"][number]["exp_avg_sq"]
        torch.testing.assert_close(kept.flatten(1).mean(1) if kept.ndim > 1 else kept, mean)
    assert back.stretches == [{"seconds": 1}]
    assert read_json(tmp_path / "again" / "run.json")["finished"] is None


def test_a_pack_whose_writing_was_cut_off_is_the_one_before(
    scripts: dict[str, Any], trained: tuple[GanOptions, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, state = trained
    write_json(tmp_path / "run" / "run.json", {"stage": "gan"})
    pack = scripts["pack"].Pack(tmp_path / "pack", whole_mib=1, part_mib=0.02)
    pack.write(state, tmp_path / "run")
    kept = {path.name for path in (tmp_path / "pack").iterdir()}
    state.step += 1

    def cut_off(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scripts["pack"], "write_json", cut_off)
        pack.write(state, tmp_path / "run")
    assert kept < {path.name for path in (tmp_path / "pack").iterdir()}
    pack.read(tmp_path / "again", options)
    again, _ = new_state(options, None, CPU)
    again.load(tmp_path / "again" / CHECKPOINT)
    assert again.step == state.step - 1
    pack.write(state, tmp_path / "run")
    assert len({path.name for path in (tmp_path / "pack").iterdir()}) == len(kept)


def test_a_pack_that_would_be_too_large_or_has_lost_a_file_is_refused(
    scripts: dict[str, Any], trained: tuple[GanOptions, Any], tmp_path: Path
) -> None:
    options, state = trained
    write_json(tmp_path / "run" / "run.json", {"stage": "gan"})
    pack = scripts["pack"].Pack(tmp_path / "pack", whole_mib=0.01, part_mib=0.02)
    with pytest.raises(UserError, match=r"but the pack may hold 0\.01"):
        pack.check(options)
    pack.write(state, tmp_path / "run")
    next((tmp_path / "pack").glob("weights-4-2-*.safetensors")).unlink()
    with pytest.raises(UserError, match="lacks weights-4-2-of-"):
        pack.read(tmp_path / "again", options)


@pytest.mark.parametrize("cfg", ["stylegan2", "stylegan3-r"])
def test_what_is_trained_on_market_fits_a_pack(cfg: str, scripts: dict[str, Any], tmp_path: Path) -> None:
    given = scripts["train_on_market"].parse(["--data", "MARKET", "--cfg", cfg])
    options = scripts["train_on_market"].asked(cfg, "cpu", tiny=False)
    scripts["pack"].Pack(tmp_path, given.pack_mib, given.part_mib).check(options)


def test_a_training_stops_before_a_measure_that_there_is_no_time_for(
    scripts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = scripts["train_on_market"]
    monkeypatch.setattr(market, "time", SimpleNamespace(monotonic=lambda: now))
    now = 100.0
    given = Namespace(minutes=2.0, measure_seconds=30.0)
    stretch = market.Stretch(given, None, tmp_path, scripts["pack"].Pack(tmp_path, 1, 1), "random weights")
    stretch.first = 0

    def stops(step: int) -> bool:
        return bool(stretch.over(SimpleNamespace(state=SimpleNamespace(step=step), snap_steps=10, total=25)))

    now = 189.0  # 31 of the 120 seconds are left
    assert not any(stops(step) for step in range(25))
    now = 191.0
    assert [step for step in range(25) if stops(step)] == [9, 19, 24]  # measures follow the steps to 10, 20 and 25
    stretch.first = 9
    assert not stops(9)
    now = 221.0
    assert stops(3)


def test_a_generator_learns_from_a_lone_training_split(
    scripts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNREID_CACHE", str(tmp_path / "cache"))
    whole = scripts["common"].embedded_set(tmp_path / "street")
    shutil.copytree(tmp_path / "street" / "bounding_box_train", tmp_path / "alone" / "bounding_box_train")
    found = scripts["train_on_market"].pictures(Namespace(tiny=False, data=tmp_path / "alone"))
    assert column(found, "sha256").tolist() == column(pick(whole, split="train"), "sha256").tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["right_on_cuda", "generator_throughput"])
def test_a_whole_script_runs_tiny_on_the_cpu(name: str, scripts: dict[str, Any], tmp_path: Path) -> None:
    scripts[name].main(["--device", "cpu", "--tiny", "--out", str(tmp_path / "result.json")])
    result = read_json(tmp_path / "result.json")
    assert result["finished"]
    assert all(row.get("right", True) for row in result["values"])


@pytest.mark.slow
def test_training_goes_on_from_the_pack_alone(
    scripts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scripts["train_on_market"], "CHECKPOINT_SECONDS", 0.0)
    given = ["--device", "cpu", "--tiny", "--out", "result.json"]
    scripts["train_on_market"].main([*given, "--minutes", "0.05"])
    assert not read_json(tmp_path / "result.json")["finished"]
    (tmp_path / "runs" / "gpu" / "market-stylegan2").rename(tmp_path / "lost")
    scripts["train_on_market"].main([*given, "--minutes", "10"])
    result = read_json(tmp_path / "result.json")
    assert result["finished"]
    assert [stretch["went_on_from"] for stretch in result["stretches"]] == ["random weights", "the pack"]
    assert [one["kimg"] for one in result["values"]] == pytest.approx([0.1, 0.2, 0.3, 0.4])
