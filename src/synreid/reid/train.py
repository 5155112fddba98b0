"""Training of a re-ID model: cross-entropy over identities, the thesis's schedule, resumed where it was cut off."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import safetensors.torch
import torch
from torch.nn import functional

from synreid.data.table import column, concat, rows, table_fingerprint
from synreid.label.base import LabelStrategy, made_rows
from synreid.label.strategies import start_of, strategy
from synreid.label.weighted import Weighted
from synreid.reid.backbone import ReidNetwork, build
from synreid.reid.batches import PixelBatches
from synreid.reid.options import ReidOptions
from synreid.reid.prepare import prepare
from synreid.reid.seeds import DROPOUT, seed_torch
from synreid.stage.checkpoint import save_checkpoint
from synreid.stage.device import autocast, choose_device, use_bfloat16
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path, write_json
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import StageFolder
from synreid.stage.log import say
from synreid.stage.metrics import MetricsLog
from synreid.stage.progress import progress

if TYPE_CHECKING:
    from synreid.reid.teacher import Teacher

STAGE, VERSION = "reid", 2
MODEL, CLASSES, CHECKPOINT = "model.safetensors", "classes.json", "checkpoint.pt"
LOG_LINES = 200  # lines of metrics.jsonl in a whole training, about


@dataclass
class Training:
    """All that changes while a model is trained; what a checkpoint holds."""

    network: ReidNetwork
    optimiser: torch.optim.Optimizer
    step: int = 0
    sums: dict[str, float] = field(default_factory=lambda: {"loss": 0.0, "wrong": 0.0, "pictures": 0.0})


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
    checkpoint_seconds: float = 60.0,
) -> Path:
    """Train on `real` and `made` pictures and return `out`, a stage folder with model.safetensors and classes.json.

    `labels` names a strategy of the label room; `teacher` is the folder of a finished model of the real pictures, for
    the strategies that need one (`label.strategies.TAUGHT`) and no others. `asked` are the command line's own arguments
    (paths) for config.yaml, `device` and `checkpoint_seconds` do not change the result. A folder that is complete for
    the same request is returned as it is; one that was cut off goes on from its checkpoint, to the same weights as if
    it had not been. The model is that of the last step: no test picture chooses it.

    `options.seed` sets the initial weights, the order and augmentation of the pictures, dropout, shuffled labels and
    the clusters of `slsr`. Raises UserError for test pictures among the training pictures, missing identities, fewer
    than two classes, unusable weights, labels by real identities without real pictures, a teacher that is missing, of
    no use or unfit, and a loss that is no longer finite (naming the step).
    """
    parts = [training_rows(part) for part in (real, made) if part is not None and len(part)]
    if not parts:
        raise UserError("there are no training pictures; check that the data has a training split.")
    table = concat(parts)
    predict = _teacher(teacher, device)
    start = start_of(labels) if options.made_start is None else options.made_start
    start_step = round(start * planned_steps(len(table), options))
    chosen = Weighted(strategy(labels, options.seed, predict), options.made_weight, start_step)
    config = {**(asked or {}), "labels": labels, **asdict(options)}
    inputs = {"pictures": table_fingerprint(table), **_weights_input(options)}
    if predict is not None:
        inputs["teacher"] = predict.fingerprint
    unnamed = ("data", "out", *(asked or {}))
    with StageFolder(out, STAGE, VERSION, config, inputs, unnamed) as folder:
        if not folder.complete:
            names = chosen.classes(table)  # which may ask a teacher, for minutes
            if len(names) < 2:
                raise UserError(
                    f"{len(names)} identity among the training pictures, but two are needed; check the data."
                )
            where = choose_device(device)
            state, precision = _enter(folder, options, len(names), where)
            # part by part, since the cache knows the real pictures from the other arms
            pictures = np.concatenate([prepare(part, options) for part in parts])
            batches = PixelBatches(torch.from_numpy(pictures), options, where, made_rows(table))
            fit(state, batches, chosen, folder.path, precision, checkpoint_seconds)
            _finish(state, folder, names, table, precision, where)
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


def optimiser_for(network: ReidNetwork, options: ReidOptions) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum and two rates: the backbone's and the head's."""
    factor = options.backbone_lr_factor
    if factor is None:
        factor = 1.0 if options.pretrained is None else 0.1
    head = [value for name, value in network.named_parameters() if not name.startswith("backbone.")]
    groups = [
        {"params": list(network.backbone.parameters()), "initial_lr": options.lr * factor},
        {"params": head, "initial_lr": options.lr},
    ]
    return torch.optim.SGD(
        groups, lr=options.lr, momentum=options.momentum, nesterov=True, weight_decay=options.weight_decay, fused=True
    )


def rate_factor(step: int, total: int, step_at: float) -> float:
    """Return what the learning rates are multiplied by at `step` of `total`: 1, and 0.1 from `step_at` on."""
    return 1.0 if step < round(step_at * total) else 0.1


def learn(
    state: Training,
    pictures: torch.Tensor,
    batch_rows: torch.Tensor,
    chosen: LabelStrategy,
    options: ReidOptions,
    total: int,
    precision: str,
) -> float:
    """Take one optimisation step on pictures [B, 3, H, W], add to the sums, and return the loss."""
    for group in state.optimiser.param_groups:
        group["lr"] = group["initial_lr"] * rate_factor(state.step, total, options.step_at)
    # dropout's randomness belongs to the step, so that a resumed training draws the same
    seed_torch(options.seed, DROPOUT, state.step)
    with autocast(pictures.device, precision):
        logits = state.network(pictures).float()
    probabilities, weight = chosen.targets(batch_rows, logits.detach(), state.step)
    each = functional.cross_entropy(logits, probabilities, reduction="none")
    loss = (weight * each).mean()
    value = float(loss.detach())
    if not np.isfinite(value):
        raise UserError(
            f"the loss is {value} at step {state.step + 1} of {total}; start again with a lower learning rate "
            f"(lr is {options.lr})" + (" or with precision fp32." if precision != "fp32" else ".")
        )
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    state.optimiser.step()
    state.step += 1
    state.sums["loss"] += value * len(pictures)
    state.sums["wrong"] += wrong_answers(logits.detach(), probabilities)
    state.sums["pictures"] += len(pictures)
    return value


def wrong_answers(logits: torch.Tensor, probabilities: torch.Tensor) -> float:
    """Return how many rows of logits [B, C] are highest where the target [B, C] is not; a uniform one has no wrong."""
    target = probabilities.gather(1, logits.argmax(1, keepdim=True))[:, 0]
    return float((target < probabilities.max(1).values).sum())


def _teacher(folder: Path | None, device: str) -> Teacher | None:
    from synreid.reid.teacher import Teacher  # which reads what this module writes

    return Teacher(folder, device) if folder is not None else None


def _weights_input(options: ReidOptions) -> dict[str, str]:
    if options.pretrained in (None, "timm"):
        return {}
    path = Path(str(options.pretrained))
    if not path.is_file():
        raise UserError(f"{path}, the backbone's pretrained weights, is not a file; check the name.")
    return {"pretrained": file_digest(path)}


def _enter(folder: StageFolder, options: ReidOptions, classes: int, device: torch.device) -> tuple[Training, str]:
    """Return a fresh state and the precision, or those of the folder's checkpoint."""
    path = folder.path / CHECKPOINT
    network = build(options, classes, weights=not path.exists()).to(device).to(memory_format=torch.channels_last)
    state = Training(network.train(), optimiser_for(network, options))
    if not path.exists():
        return state, "bf16" if use_bfloat16(device, options.precision) else "fp32"
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
        network.load_state_dict(saved["network"])
        state.optimiser.load_state_dict(saved["optimiser"])
    except Exception as error:  # damage shows itself as any of a dozen kinds
        raise UserError(f"{path} is damaged ({type(error).__name__}); remove it to train from the start.") from error
    state.step, state.sums = saved["step"], saved["sums"]
    say(f"{folder.path} goes on at step {state.step:,}.")
    return state, str(saved["precision"])


def _save(state: Training, folder: Path, precision: str) -> None:
    values = {
        "step": state.step,
        "sums": state.sums,
        "precision": precision,
        "network": state.network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
    }
    save_checkpoint(folder / CHECKPOINT, values)


def fit(
    state: Training,
    batches: PixelBatches,
    chosen: LabelStrategy,
    folder: Path,
    precision: str,
    checkpoint_seconds: float = 60.0,
) -> None:
    """Train `state` to its last step, with metrics and checkpoints in `folder`."""
    options, size = batches.options, batches.options.batch
    total = planned_steps(len(batches), options)
    every = max(1, total // LOG_LINES)
    saved = logged = time.monotonic()
    devices = [batches.pictures.device] if batches.pictures.is_cuda else []
    with (
        torch.random.fork_rng(devices=devices),
        MetricsLog(folder, resume_step=state.step or None) as log,
        progress("training re-ID", total=total * size, unit="pictures", done=state.step * size) as bar,
    ):
        while state.step < total:
            picked = batches.rows(state.step)
            loss = learn(state, batches.batch(picked, state.step), picked, chosen, options, total, precision)
            bar.advance(size, loss=loss)
            now = time.monotonic()
            if state.step % every == 0 or state.step == total:
                _log(state, log, now - logged)
                logged = now
            if now - saved > checkpoint_seconds and state.step < total:
                _save(state, folder, precision)
                saved = now


def _log(state: Training, log: MetricsLog, seconds: float) -> None:
    seen = state.sums["pictures"]
    log.write(
        state.step,
        loss=state.sums["loss"] / seen,
        classification_error=state.sums["wrong"] / seen,
        lr=state.optimiser.param_groups[-1]["lr"],
        pictures_per_second=seen / max(seconds, 1e-9),
    )
    state.sums = dict.fromkeys(state.sums, 0.0)


def _finish(
    state: Training, folder: StageFolder, names: list[str], table: pa.Table, precision: str, device: torch.device
) -> None:
    weights = {name: value.detach().cpu().contiguous() for name, value in state.network.state_dict().items()}
    with atomic_path(folder.path / MODEL) as temporary:
        temporary.write_bytes(safetensors.torch.save(weights))
    write_json(folder.path / CLASSES, names)
    real = int((column(table, "origin") == "real").sum())
    folder.finish(
        {"model": file_digest(folder.path / MODEL)[:16]},
        steps=state.step,
        classes=len(names),
        pictures_real=real,
        pictures_made=len(table) - real,
        precision=precision,
        device=device.type,
    )
    (folder.path / CHECKPOINT).unlink(missing_ok=True)
