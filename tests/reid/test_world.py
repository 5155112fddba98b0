"""Training on two devices, which are processes here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from synreid.data.scan import open_data
from synreid.data.table import pick, rows
from synreid.label.new_identity import NewIdentity
from synreid.reid.batches import PixelBatches
from synreid.reid.held_out import held_out_rows
from synreid.reid.losses import cross_entropy
from synreid.reid.optimise import set_rates
from synreid.reid.options import ReidOptions
from synreid.reid.prepare import prepare
from synreid.reid.sampler import MixedPasses, Part, PersonGroups
from synreid.reid.seeds import DROPOUT, seed_torch
from synreid.reid.state import Training, enter
from synreid.reid.train import MODEL, train
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import plain
from synreid.stage.folder import read_run
from synreid.stage.metrics import read_metrics
from synreid.stage.world import World

STEPS = 5
KILLED = """
import os
import signal
from functools import partial

from synreid.cli.main import main
from synreid.reid import train as module

learn = module.learn


def until(state, *rest):
    if state.step == 3 and os.environ["LOCAL_RANK"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(state, *rest)


module.learn, module.train = until, partial(module.train, checkpoint_seconds=0.0)
main()
"""
NOT_FINITE_ON_ONE = """
import os

from synreid.cli.main import main
from synreid.reid import train as module

cross_entropy = module.cross_entropy
calls = []


def spoilt(*given):
    calls.append(given)
    return cross_entropy(*given) * (float("nan") if (len(calls), os.environ["LOCAL_RANK"]) == (3, "1") else 1.0)


module.cross_entropy = spoilt
main()
"""


class One(World):
    """One of several devices, by itself."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(torch.device("cpu"))
        self.rank, self.size = rank, size


@pytest.fixture(scope="module")
def options(small) -> ReidOptions:
    """All that a device does with its own part: dropout, triplets, centres, augmentation, batch norm."""
    return replace(
        small,
        steps=STEPS,
        neck="bnneck",
        pooling="gem",
        pictures_each=2,
        triplet=1.0,
        centre=5e-3,
        random_erasing=0.5,
        colour_jitter=0.2,
        label_smoothing=0.1,
        held_out=0.1,
        lr=0.01,
    )


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute as each of several processes does: where sums are split otherwise, another triplet may be the hardest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def command(data: Path, out: Path, options: ReidOptions, program: str | None = None) -> subprocess.CompletedProcess:
    """Run `reid train` with two processes, by another program where one is given."""
    values = {**asdict(options), "gpus": 2, "device": "cpu", "data": str(data), "out": str(out)}
    (config := out.with_suffix(".yaml")).write_text(yaml.safe_dump(plain(values)))
    start = ["-m", "synreid"]
    if program is not None:
        (file := out.with_suffix(".py")).write_text(program)
        start = [str(file)]
    # which returns when every process that writes into its pipes has ended, not the first alone
    return subprocess.run(
        [sys.executable, *start, "reid", "train", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def oracle(data: Path, folder: Path, options: ReidOptions) -> tuple[Training, list[float], list[float]]:
    """Train in this process: both halves of each batch one after the other; return also losses and shares of wrong."""
    table = pick(open_data(data), split="train")
    table = rows(table, ~held_out_rows(table, options))
    chosen = NewIdentity()
    classes = len(chosen.classes(table))
    state, _ = enter(folder, options, classes, torch.device("cpu"))
    network, metric = state.network, state.metric
    sampler = PersonGroups(options, np.zeros(len(table), dtype=bool), chosen.persons().numpy())
    batches = PixelBatches(torch.from_numpy(prepare(table, options)), options, torch.device("cpu"), sampler)
    held = [value for name, value in network.named_buffers() if "running" in name] + [metric.centres.values]
    losses, wrong = [], []
    for step in range(STEPS):
        set_rates(state.optimiser, options, step, STEPS)
        groups = sampler.rows(step).split(options.pictures_each)
        before, after, loss_of, wrong_of = [value.clone() for value in held], [], [], []
        state.optimiser.zero_grad()
        for rank in range(2):
            for value, old in zip(held, before, strict=True):
                value.copy_(old)
            part = torch.cat([group for number, group in enumerate(groups) if number % 2 == rank])
            pictures = batches.batch(part, 2 * step + rank)
            seed_torch(options.seed, DROPOUT, 2 * step + rank)
            features, logits = network.answers(pictures)
            persons = chosen.persons()[part]
            target, weight = chosen.targets(part, logits.detach(), step)
            loss = cross_entropy(logits, target, weight, options.label_smoothing)
            loss = loss + sum(metric(features, persons, weight).values())
            (loss / 2).backward()
            after.append([value.clone() for value in held])
            loss_of.append(float(loss.detach()))
            wrong_of.append(float((logits.argmax(1) != persons).float().mean()))
        for value, *found in zip(held, *after, strict=True):
            value.copy_(sum(found) / 2)
        state.optimiser.step()
        losses.append(sum(loss_of) / 2)
        wrong.append(sum(wrong_of) / 2)
    return state, losses, wrong


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_learn_what_one_computes_of_both_halves(
    tiny_street, options, tmp_path, one_thread
):
    pytest.importorskip("lightning_fabric")
    out = tmp_path / "two"
    killed = command(tiny_street, out, options, KILLED)
    assert killed.returncode == -9 and (out / "checkpoint.pt").exists() and not (out / MODEL).exists()
    resumed = command(tiny_street, out, options)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.splitlines() == [str(out)]
    assert resumed.stderr.count("goes on at step 3") == 1
    (tmp_path / "one").mkdir()
    with torch.random.fork_rng(devices=[]):
        state, losses, wrong = oracle(tiny_street, tmp_path / "one", options)
    found = load_file(out / MODEL)
    for name, value in state.network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5)
    lines = read_metrics(out)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["loss"] for line in lines] == pytest.approx(losses, rel=1e-4)
    assert [line["classification_error"] for line in lines] == pytest.approx(wrong)
    assert all("val_loss" in line for line in lines)
    assert read_run(out, "reid")["named"]["gpus"] == 2


@pytest.mark.slow
def test_a_loss_that_is_not_finite_on_one_device_stops_both_with_one_sentence(tiny_street, options, tmp_path):
    pytest.importorskip("lightning_fabric")
    done = command(tiny_street, tmp_path / "two", options, NOT_FINITE_ON_ONE)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.count("synreid: the loss is nan at step 3 of 5") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("size", [1, 2, 4])
def test_parts_make_up_the_batch_and_hold_whole_groups_of_either_kind(small, size):
    made = np.arange(120) >= 60
    options = replace(small, batch=16, made_ratio=1.0)
    groups = replace(options, batch=32, pictures_each=4)
    for one, whole in (
        (options, MixedPasses(options, made)),
        (groups, PersonGroups(groups, made, np.arange(120) // 6)),
    ):
        parts = [Part(whole, one, One(rank, size)).rows(3) for rank in range(size)]
        assert sorted(torch.cat(parts).tolist()) == sorted(whole.rows(3).tolist())
        for part in parts:
            assert made[part.numpy()].sum() == len(part) / 2 == one.batch / size / 2
    for part in parts:
        assert all(len(set((group // 6).tolist())) == 1 for group in part.split(4))


def test_no_two_devices_draw_alike():
    turns = [One(rank, 3).turn(step) for step in range(4) for rank in range(3)]
    assert len(set(turns)) == 12
    assert World(torch.device("cpu")).turn(7) == 7


@pytest.mark.parametrize(
    ("given", "gpus", "sentence"),
    [
        ({}, 0, "--gpus is 0, but a training needs a device"),
        ({}, 3, "a batch of 8 pictures does not spread evenly over 3 devices"),
        ({"pictures_each": 2}, 8, r"a batch of 4 groups of 2 pictures \(pictures_each\) does not spread evenly over 8"),
        ({"pictures_each": 2}, 4, r"4 groups of 2 pictures \(pictures_each\) leaves one for each of 4 devices"),
        ({}, 8, "a batch of 8 pictures leaves one for each of 8 devices"),
    ],
)
def test_batches_that_cannot_be_parted(persons, small, tmp_path, given, gpus, sentence):
    with pytest.raises(UserError, match=sentence):
        train(pick(persons, split="train"), None, tmp_path / "x", replace(small, **given), gpus=gpus, device="cpu")
    assert not (tmp_path / "x").exists()
