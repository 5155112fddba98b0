"""Training of an encoder for one frozen generator: ReStyle's loop, one state, exact resume.

Alaluf et al. 2021, "ReStyle", section 3: every pass starts from the estimate of the one before, and its loss is
back-propagated by itself. What a step sees depends on (seed, step) alone, so a run that was cut off and goes on ends
with the same weights, bit for bit on a CPU in fp32, as one that was not.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from synreid.data.pixels import pixels
from synreid.data.sheets import sheet, shown_scale, write_picture
from synreid.data.splits import TEST, subset
from synreid.data.table import column, paths, pick, rows, spread, table_fingerprint
from synreid.generate.generator import Generator
from synreid.generate.network import load_generator
from synreid.generate.place import (
    PICTURES,
    LearnedPictures,
    generator_fingerprint,
    generator_place,
    learned_pictures,
    save_learned,
)
from synreid.generate.sample import from_uint8, to_uint8
from synreid.invert.encoder import ENCODER, Encoder, check_styles, mean_latent, new_encoder, save_encoder
from synreid.invert.losses import InversionLosses, check_losses
from synreid.invert.options import EncoderOptions
from synreid.reid.embed import load_model
from synreid.reid.sampler import rows_of_step
from synreid.reid.seeds import AUGMENT
from synreid.reid.seeds import generator as random_numbers
from synreid.reid.train import training_rows
from synreid.stage.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from synreid.stage.device import autocast, choose_device
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import StageFolder
from synreid.stage.log import say
from synreid.stage.metrics import MetricsLog
from synreid.stage.progress import progress

STAGE, VERSION = "encoder", 1
CHECKPOINT = "checkpoint.pt"
CHECKPOINT_SECONDS = 120.0
LOG_EVERY = 16  # steps
HELD_OUT = 0.1  # share of the training persons whose pictures only measure
SHOWN = 12  # rows of a sheet


@dataclass
class State:
    """All that a step of training changes; what a checkpoint holds."""

    encoder: Encoder
    optimiser: torch.optim.Adam
    step: int = 0

    def save(self, path: Path) -> None:
        """Write everything, whole or not at all."""
        parts = {"encoder": self.encoder.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step}
        save_checkpoint(path, parts)

    def load(self, path: Path) -> None:
        """Read what `save` wrote; raises UserError for a damaged file or one of another configuration."""
        load_checkpoint(path, self._restore)

    def _restore(self, values: dict[str, Any]) -> None:
        self.encoder.load_state_dict(values["encoder"])
        self.optimiser.load_state_dict(values["optimiser"])
        self.step = values["step"]


def train_encoder(
    data: pa.Table,
    gan: Path,
    out: Path,
    options: EncoderOptions,
    reid: Path | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Train an encoder for the generator `gan` on the training split of `data` and return `out`.

    `gan` is a shipped generator, a finished run or import, or a snapshot's file; it is never changed. `reid` is the
    folder of a finished `reid train`, for the identity loss. `config` is what is written to `config.yaml` (default: the
    options). A tenth of the training persons is held out and only measured. Writes `encoder.safetensors`,
    `pictures.parquet` (digests of all training pictures and of those that the generator learned from),
    `metrics.jsonl`, and for each snapshot a sheet `passes-<step>.png` of held-out pictures beside every pass.

    Raises UserError for a generator without style layers or one that learned from a picture of another split, fewer
    training pictures than a batch, persons too few to hold one out, missing weights and a loss that is not finite.
    """
    place = generator_place(gan)
    generator = load_generator(place)
    check_styles(generator)
    check_losses(options, reid)
    train = training_rows(pick(data, split="train"))
    learned = learned_pictures(place if place.is_dir() else place.parent)
    _check_unseen(data, learned)
    learning, held = hold_out(train, options.seed)
    if len(learning) < options.batch:
        raise UserError(
            f"the training split holds {len(train)} pictures, {len(learning)} without the persons held out, fewer than "
            f"a batch of {options.batch}; give more pictures or a smaller --batch."
        )
    inputs = {
        "data": table_fingerprint(train),
        "gan": generator_fingerprint(place),
        "gan's pictures": learned.fingerprint,
    }
    if reid is not None:
        inputs["reid"] = load_model(reid, "cpu").fingerprint
    unnamed = ("data", "out", "gan", "reid", "subset", "subset_seed", "camera_pattern")  # `inputs` stand for these
    with StageFolder(out, STAGE, VERSION, config or dataclasses.asdict(options), inputs, unnamed) as folder:
        if not folder.complete:
            training = _Training(learning, held, generator, folder, options, reid)
            training.run()
            training.finish(learned | LearnedPictures(frozenset(column(train, "sha256"))))
    return out


def hold_out(train: pa.Table, seed: int) -> tuple[pa.Table, pa.Table]:
    """Return the training pictures to learn from, and those of the tenth of the persons that is held out.

    Pictures without an identity are learned from. Raises UserError where there are fewer than two persons.
    """
    pids = {pid for pid in column(train, "pid") if pid is not None}
    if len(pids) < 2:
        raise UserError(
            f"the training split names {len(pids)} of the two persons that are needed, one of them held out to measure "
            "by; give pictures of more persons."
        )
    held = set(column(subset(train, fraction=HELD_OUT, seed=seed), "pid"))
    is_held = np.array([pid in held for pid in column(train, "pid")], dtype=bool)
    return rows(train, ~is_held), rows(train, is_held)


def _check_unseen(data: pa.Table, learned: LearnedPictures) -> None:
    """Raise UserError where the generator learned from a picture that is not of the training split."""
    for digest, split, path in zip(column(data, "sha256"), column(data, "split"), paths(data), strict=True):
        if split in TEST and digest in learned.digests:
            raise UserError(
                f"the generator learned from {path}, a {split} picture, so what is tested would be known; "
                "train a generator on the training split alone."
            )


class _Training:
    """One run of training: what does not change, and the state that does."""

    def __init__(
        self,
        learning: pa.Table,
        held: pa.Table,
        generator: Generator,
        folder: StageFolder,
        options: EncoderOptions,
        reid: Path | None,
    ) -> None:
        self.folder, self.options = folder, options
        self.device = choose_device(options.device)
        self.generator = generator.to(self.device)
        height, width = generator.height, generator.width
        self.pictures, self.held = pixels(learning, height, width), pixels(held, height, width)
        self.held = self.held[spread(len(self.held), options.validate)]
        self.losses = InversionLosses(options, mean_latent(self.generator), reid).to(self.device).eval()
        encoder = new_encoder(self.generator, options).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.state = State(encoder, torch.optim.Adam(encoder.parameters(), lr=options.lr))

    def run(self) -> None:
        """Train until all steps are done, from the last checkpoint if there is one."""
        options, state = self.options, self.state
        checkpoint = self.folder.path / CHECKPOINT
        resumed = checkpoint.exists()
        if resumed:
            state.load(checkpoint)
            say(f"going on at step {state.step}")
        shown = options.batch * options.accumulate
        with MetricsLog(self.folder.path, state.step if resumed else None) as log:
            if not resumed:
                self._snapshot(log)
            due = not resumed
            saved = time.monotonic()
            total, done = options.steps * shown, state.step * shown
            with progress("training the encoder", total, "pictures", done=done) as bar:
                while state.step < options.steps:
                    facts = self._gradients()
                    if due or time.monotonic() - saved > CHECKPOINT_SECONDS:  # now that its loss is known to be finite
                        state.save(checkpoint)
                        self.folder.keep_time()
                        saved = time.monotonic()
                    state.optimiser.step()
                    state.step += 1
                    bar.advance(shown, loss=facts["loss"])
                    if state.step % LOG_EVERY == 0:
                        log.write(state.step, **facts)
                    due = state.step % options.snap == 0 or state.step == options.steps
                    if due:
                        self._snapshot(log)

    def finish(self, learned: LearnedPictures) -> None:
        """Write the encoder and what it has seen, and close the folder."""
        path = self.folder.path
        save_encoder(path / ENCODER, self.state.encoder, self.folder.inputs["gan"])
        save_learned(path, learned)
        outputs = {name: file_digest(path / name) for name in (ENCODER, PICTURES)}
        pictures = {"pictures_learned": len(self.pictures), "pictures_measured": len(self.held)}
        self.folder.finish(outputs, steps=self.state.step, **pictures)
        remove_checkpoint(path / CHECKPOINT)

    def _gradients(self) -> dict[str, float]:
        """Work out a step's gradients; return the losses of its last pass, and their weighted sum as `loss`."""
        state = self.state
        state.optimiser.zero_grad(set_to_none=True)
        facts = [self._teach(real) for real in self._batches()]
        values = {name: float(torch.stack([fact[name] for fact in facts]).mean()) for name in facts[0]}
        norm = float(get_total_norm([p.grad for p in state.encoder.parameters() if p.grad is not None]))
        self._check_finite([*values.values(), norm])
        return values

    def _check_finite(self, values: Iterable[float]) -> None:
        if not all(math.isfinite(value) for value in values):
            raise UserError(
                f"the loss is not finite at step {self.state.step}; the last good checkpoint is kept in "
                f"{self.folder.path}: train with a smaller learning rate in a new folder."
            )

    def _teach(self, real: Tensor) -> dict[str, Tensor]:
        """Add up the gradients of all passes of one batch, each pass by itself."""
        encoder, options = self.state.encoder, self.options
        facts: dict[str, Tensor] = {}
        with autocast(self.device, options.precision):
            target = self.losses.target(real)
            w, made = encoder.start(self.generator, len(real))
        for _ in range(options.passes):
            with autocast(self.device, options.precision):
                w, made = encoder.improve(self.generator, real, w, made)
                values = self.losses(w, made, target)
                loss = self.losses.total(values).mean()
            (loss / options.accumulate).backward()
            facts = {"loss": loss.detach(), **{name: value.detach().mean() for name, value in values.items()}}
        return facts

    def _batches(self) -> list[Tensor]:
        """Return the pictures of this step, [batch, 3, H, W] in -1 to 1 each, some mirrored."""
        options, step = self.options, self.state.step
        count = options.batch * options.accumulate
        chosen = self.pictures[rows_of_step(options.seed, step, count, len(self.pictures))]
        if options.mirror:
            flip = random_numbers(options.seed, AUGMENT, step).random(count) < 0.5
            chosen[flip] = chosen[flip, :, ::-1]
        return list(self._values(chosen).split(options.batch))

    def _values(self, pictures: np.ndarray) -> Tensor:
        """Turn pictures, uint8 [N, H, W, 3], into [N, 3, H, W] in -1 to 1, on the device."""
        return from_uint8(pictures, self.device)

    def _passes(self, real: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield styles and pictures after each pass, without gradients."""
        with autocast(self.device, self.options.precision):
            w, made = self.state.encoder.start(self.generator, len(real))
        for _ in range(self.options.passes):
            with torch.no_grad(), autocast(self.device, self.options.precision):
                w, made = self.state.encoder.improve(self.generator, real, w, made)
            yield w, made

    def _snapshot(self, log: MetricsLog) -> None:
        """Measure the last pass on held-out pictures, and draw some of them beside every pass."""
        values = self._measured()
        self._check_finite(values.values())
        log.write(self.state.step, **values)
        picked = self.held[spread(len(self.held), SHOWN)]
        columns = [picked, *(to_uint8(made) for _, made in self._passes(self._values(picked)))]
        heads = ["real", *(f"pass {number}" for number in range(1, len(columns)))]
        cells = np.stack(columns, axis=1).reshape(-1, *picked.shape[1:])
        page = sheet(cells, len(columns), scale=shown_scale(picked.shape[1]), heads=heads)
        write_picture(self.folder.path / f"passes-{self.state.step:06d}.png", page)
        log.picture(self.state.step, "passes", page)

    @torch.no_grad()
    def _measured(self) -> dict[str, float]:
        """Return each loss on the held-out pictures after the last pass, and their weighted sum, as `val_...`."""
        sums: dict[str, float] = {}
        for start in range(0, len(self.held), self.options.batch):
            real = self._values(self.held[start : start + self.options.batch])
            with autocast(self.device, self.options.precision):
                target = self.losses.target(real)
                *_, (w, made) = self._passes(real)
                values = self.losses(w, made, target)
            for name, value in {"loss": self.losses.total(values), **values}.items():
                sums[f"val_{name}"] = sums.get(f"val_{name}", 0.0) + float(value.sum())
        return {name: value / len(self.held) for name, value in sums.items()}
