"""Training of a re-ID model: cross-entropy over identities and losses on pairs, resumed where it was cut off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from synreid.data.table import column, concat, rows, table_fingerprint
from synreid.label.base import LabelStrategy, made_rows
from synreid.label.strategies import start_of, strategy
from synreid.label.weighted import Weighted
from synreid.reid.batches import PixelBatches
from synreid.reid.held_out import HeldOut, held_out_rows
from synreid.reid.losses import cross_entropy
from synreid.reid.optimise import set_rates
from synreid.reid.options import ReidOptions
from synreid.reid.osnet import OSNet, unfold
from synreid.reid.prepare import prepare, warn_of_sharpness
from synreid.reid.pretrained import weights_input
from synreid.reid.sampler import Part, check_parts, sampler_for
from synreid.reid.seeds import DROPOUT, seed_torch
from synreid.reid.state import CHECKPOINT, Training, enter, save
from synreid.stage.checkpoint import remove_checkpoint
from synreid.stage.device import autocast
from synreid.stage.errors import UserError
from synreid.stage.files import write_json
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import StageFolder
from synreid.stage.log import say
from synreid.stage.metrics import MetricsLog
from synreid.stage.progress import progress
from synreid.stage.tensors import write_tensors
from synreid.stage.world import World, join_world

if TYPE_CHECKING:
    from synreid.reid.teacher import Teacher

STAGE, VERSION = "reid", 2
MODEL, CLASSES = "model.safetensors", "classes.json"
LOG_LINES = 200  # lines of metrics.jsonl in a whole training, about
MEASUREMENTS = 20  # of the held-out pictures, about


def train(
    real: pa.Table,
    made: pa.Table | None,
    out: Path,
    options: ReidOptions,
    labels: str = "new-identity",
    *,
    teacher: Path | None = None,
    asked: dict[str, Any] | None = None,
    device: str = "auto",
    gpus: int = 1,
    checkpoint_seconds: float = 60.0,
) -> Path:
    """Train on `real` and `made` pictures and return `out`, a stage folder with model.safetensors and classes.json.

    `labels` names a strategy of the label room; `teacher` is the folder of a finished model of the real pictures, for
    the strategies that need one (`label.names.TAUGHT`) and no others. `asked` are the command line's own arguments
    (paths) for config.yaml, `device` and `checkpoint_seconds` do not change the result. A folder that is complete for
    the same request is returned as it is; one that was cut off goes on from its checkpoint, to the same weights as if
    it had not been. The model is that of the last step: no test picture chooses it.

    With `gpus` devices (or processes, without GPUs) each sees an equal part of every batch, draws its augmentation and
    dropout, normalises it by its own statistics and finds triplets in it, as torch's DataParallel does. Gradients,
    batch norm's running statistics and centres are averaged, so of cross-entropy a step is one of the whole batch. How
    many devices there are changes the result as a seed does, and names it. The calling program is started anew for each
    of them.

    `options.seed` sets the initial weights, the order and augmentation of the pictures, dropout, shuffled labels and
    the clusters of `slsr`, the centres of the centre loss and which pictures are held out. Raises UserError for test
    pictures among the training pictures, missing identities, fewer than two classes or than a batch has persons,
    nothing to hold out, unusable weights, labels by real identities without real pictures, a teacher that is missing,
    of no use or unfit, a batch without equal parts for the devices, devices that are not there, and a loss that is no
    longer finite (naming the step).
    """
    check_parts(options, gpus)
    parts = [training_rows(part) for part in (real, made) if part is not None and len(part)]
    if not parts:
        raise UserError("there are no training pictures; check that the data has a training split.")
    table = concat(parts)
    held = held_out_rows(table, options)
    kept = rows(table, ~held) if held.any() else table
    predict = _teacher(teacher, device)
    start = start_of(labels) if options.made_start is None else options.made_start
    start_step = round(start * planned_steps(len(kept), options))
    chosen = Weighted(strategy(labels, options.seed, predict), options.made_weight, start_step)
    config = {**(asked or {}), "labels": labels, **asdict(options), **({"gpus": gpus} if gpus > 1 else {})}
    inputs = {"pictures": table_fingerprint(table), **weights_input(options)}
    if predict is not None:
        inputs["teacher"] = predict.fingerprint
    unnamed = ("data", "out", *(asked or {}), *options.unnamed)
    world = join_world(device, gpus)
    folder = StageFolder(out, STAGE, VERSION, config, inputs, unnamed)
    with world.keeping(folder):
        if not world.agree(folder.complete):
            names = chosen.classes(kept)  # which may ask a teacher, for minutes
            if len(names) < 2:
                raise UserError(
                    f"{len(names)} identity among the training pictures, but two are needed; check the data."
                )
            if len(parts) == 2 and all(map(len, parts)):
                warn_of_sharpness(parts[0], parts[1], options)
            sampler = sampler_for(options, made_rows(kept), chosen.persons().numpy())
            state, precision = enter(folder.path, options, len(names), world.device)
            # part by part, since the cache knows the real pictures from the other arms
            pictures = torch.from_numpy(world.first(lambda: np.concatenate([prepare(part, options) for part in parts])))
            unseen = HeldOut(pictures[held], column(table, "pid")[held], names, world.device) if held.any() else None
            seen = pictures[~held] if held.any() else pictures
            batches = PixelBatches(seen, options, world.device, Part(sampler, options, world))
            backbone = state.network.backbone
            if isinstance(backbone, OSNet) and backbone.folded:
                unfold(backbone, batches.batch(sampler.rows(0), 0))  # the whole batch, so that all begin alike
            fit(state, batches, chosen, folder.path, precision, checkpoint_seconds, unseen, world, folder.keep_time)
            if not world.rank:
                _finish(state, folder, names, kept, int(held.sum()), precision, world.device)
    return folder.path


def training_rows(table: pa.Table) -> pa.Table:
    """Return `table` without its junk rows, which is said; a test picture among them raises UserError."""
    for split in ("query", "gallery"):
        test = np.flatnonzero(column(table, "split") == split)
        if len(test):
            path = column(table, "path")[test[0]]
            raise UserError(f"{path} is a {split} picture and must not be trained on; give the training split only.")
    junk = column(table, "junk")
    if junk.any():
        say(f"{junk.sum():,} of {len(table):,} training pictures are junk and are left out.")
        table = rows(table, ~junk)
    return table


def planned_steps(pictures: int, options: ReidOptions) -> int:
    """Return how many optimisation steps a training on `pictures` takes: `options.steps`, or as its epochs need."""
    if options.steps is not None:
        return options.steps
    return max(1, int(np.ceil(options.epochs * pictures / options.batch)))


def learn(
    state: Training,
    pictures: torch.Tensor,
    batch_rows: torch.Tensor,
    chosen: LabelStrategy,
    options: ReidOptions,
    total: int,
    precision: str,
    world: World,
) -> float:
    """Take one optimisation step on this device's pictures [B, 3, H, W], add to the sums, and return the loss."""
    set_rates(state.optimiser, options, state.step, total)
    # dropout's randomness belongs to the step, so that a resumed training draws the same
    seed_torch(options.seed, DROPOUT, world.turn(state.step))
    with autocast(pictures.device, precision):
        features, logits = state.network.answers(pictures)
    logits = logits.float()
    probabilities, weight = chosen.targets(batch_rows, logits.detach(), state.step)
    losses = {"cross_entropy": cross_entropy(logits, probabilities, weight, options.label_smoothing)}
    if state.metric is not None:
        losses |= state.metric(features, chosen.persons()[batch_rows].to(features.device), weight)
    loss = torch.stack(list(losses.values())).sum()
    parts = losses if len(losses) > 1 else {}
    facts = {"loss": loss, **parts, "wrong": wrong_answers(logits.detach(), probabilities)}
    means = world.mean(torch.stack([fact.detach() for fact in facts.values()]))
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    values = dict(zip(facts, means.tolist(), strict=True))  # behind backward, since a GPU is waited for here
    if not np.isfinite(values["loss"]):  # on one device or another: all of them stop here
        raise UserError(
            f"the loss is {values['loss']} at step {state.step + 1} of {total}; start again with a lower learning rate "
            f"(lr is {options.lr})" + (" or with precision fp32." if precision != "fp32" else ".")
        )
    world.average(state.by_part())
    state.optimiser.step()
    state.step += 1
    seen = len(pictures) * world.size
    state.sums["wrong"] += values.pop("wrong") * world.size
    state.sums["pictures"] += seen
    for name, value in values.items():
        state.sums[name] = state.sums.get(name, 0.0) + value * seen
    return values["loss"]


def wrong_answers(logits: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """Return how many rows of logits [B, C] are highest where the target [B, C] is not; a uniform one has no wrong."""
    target = probabilities.gather(1, logits.argmax(1, keepdim=True))[:, 0]
    return (target < probabilities.max(1).values).sum().float()


def _teacher(folder: Path | None, device: str) -> Teacher | None:
    from synreid.reid.teacher import Teacher  # which reads what this module writes

    return Teacher(folder, device) if folder is not None else None


def steps(
    state: Training, batches: PixelBatches, chosen: LabelStrategy, total: int, precision: str, world: World
) -> Iterator[float]:
    """Take the steps that are left, and yield each one's loss."""
    while state.step < total:
        picked = batches.rows(state.step)
        pictures = batches.batch(picked, world.turn(state.step))
        yield learn(state, pictures, picked, chosen, batches.options, total, precision, world)


def fit(
    state: Training,
    batches: PixelBatches,
    chosen: LabelStrategy,
    folder: Path,
    precision: str,
    checkpoint_seconds: float = 60.0,
    unseen: HeldOut | None = None,
    world: World | None = None,
    keep_time: Callable[[], None] = lambda: None,
) -> None:
    """Train `state` to its last step, with metrics (of `unseen` pictures, too) and checkpoints in `folder`.

    Of the devices of `world`, which is by default the pictures' alone, the first writes them. `keep_time` is called
    after each checkpoint.
    """
    options, size = batches.options, batches.options.batch
    total = planned_steps(len(batches), options)
    every = max(1, total // LOG_LINES)
    measure_every = every * max(1, total // (every * MEASUREMENTS))
    saved = logged = time.monotonic()
    device = batches.pictures.device
    world = world or World(device)
    losses = steps(state, batches, chosen, total, precision, world)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if world.rank:
            for _ in losses:
                pass
            return
        with (
            MetricsLog(folder, resume_step=state.step or None) as log,
            progress("training re-ID", total=total * size, unit="pictures", done=state.step * size) as bar,
        ):
            for loss in losses:
                bar.advance(size, loss=loss)
                now = time.monotonic()
                if state.step % every == 0 or state.step == total:
                    measured = {}
                    if unseen is not None and (state.step % measure_every == 0 or state.step == total):
                        measured = unseen.measure(state.network, options, precision)
                    _log(state, log, now - logged, measured)
                    logged = time.monotonic()
                if now - saved > checkpoint_seconds and state.step < total:
                    save(state, folder, precision)
                    keep_time()
                    saved = now


def _log(state: Training, log: MetricsLog, seconds: float, measured: dict[str, float]) -> None:
    seen = state.sums["pictures"]
    parts = {name: total / seen for name, total in state.sums.items() if name not in ("loss", "wrong", "pictures")}
    log.write(
        state.step,
        loss=state.sums["loss"] / seen,
        classification_error=state.sums["wrong"] / seen,
        lr=state.optimiser.param_groups[-1]["lr"],
        pictures_per_second=seen / max(seconds, 1e-9),
        **parts,
        **measured,
    )
    state.sums = dict.fromkeys(state.sums, 0.0)


def _finish(
    state: Training,
    folder: StageFolder,
    names: list[str],
    table: pa.Table,
    held_out: int,
    precision: str,
    device: torch.device,
) -> None:
    write_tensors(folder.path / MODEL, state.network.state_dict())
    write_json(folder.path / CLASSES, names)
    real = int((column(table, "origin") == "real").sum())
    folder.finish(
        {"model": file_digest(folder.path / MODEL)[:16]},
        steps=state.step,
        classes=len(names),
        pictures_real=real,
        pictures_made=len(table) - real,
        pictures_held_out=held_out,
        precision=precision,
        device=device.type,
    )
    remove_checkpoint(folder.path / CHECKPOINT)
