"""Adversarial training of a generator: one loop, one state, exact resume.

Every random number comes from (seed, step), so a run that was cut off and goes on ends with the same weights, bit for
bit on a CPU, as one that was not.
"""

from __future__ import annotations

import copy
import dataclasses
import io
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synreid.data.pixels import pixels
from synreid.data.table import column, pick, table_fingerprint
from synreid.generate.augment import adapt, augment
from synreid.generate.network import (
    LearnedPictures,
    StyleGenerator,
    carry_over,
    generator_fingerprint,
    learned_pictures,
    new_generator,
    save_networks,
    start_folder,
)
from synreid.generate.options import GanOptions
from synreid.generate.quality import Measurement
from synreid.generate.stylegan2 import Discriminator, resolutions
from synreid.generate.vision_aid import VisionAid, check_vision_aid
from synreid.stage.device import autocast, choose_device
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path
from synreid.stage.folder import StageFolder
from synreid.stage.log import say
from synreid.stage.metrics import MetricsLog
from synreid.stage.progress import progress

VERSION = 2
CHECKPOINT = "checkpoint.pt"
CHECKPOINT_SECONDS = 120.0
ADAPT_EVERY = 4  # steps between two changes of the augmentation probability
MEAN_BETA = 0.998  # of the running mean style


@dataclass
class State:
    """All that training changes."""

    generator: StyleGenerator
    discriminator: Discriminator
    average: StyleGenerator
    vision_aid: VisionAid | None
    adam_g: torch.optim.Adam
    adam_d: torch.optim.Adam
    adam_v: torch.optim.Adam | None
    step: int
    ada_p: float
    signs: float

    def save(self, path: Path) -> None:
        values = {name: part.state_dict() for name, part in self._parts().items()}
        held = io.BytesIO()  # torch reports a full disk in its own words, write_bytes as the error it is
        torch.save({**values, "step": self.step, "ada_p": self.ada_p, "signs": self.signs}, held)
        with atomic_path(path) as temporary:
            temporary.write_bytes(held.getbuffer())

    def load(self, path: Path) -> None:
        try:
            values = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file
            raise UserError(
                f"{path} is damaged ({type(error).__name__}); remove {path.parent} and train again."
            ) from error
        for name, part in self._parts().items():
            part.load_state_dict(values[name])
        self.step, self.ada_p, self.signs = values["step"], values["ada_p"], values["signs"]

    def _parts(self) -> dict[str, Any]:
        names = ("generator", "discriminator", "average", "vision_aid", "adam_g", "adam_d", "adam_v")
        parts = {name: getattr(self, name) for name in names}
        return {name: part for name, part in parts.items() if part is not None}


def train_gan(table: pa.Table, out: Path, options: GanOptions, config: dict[str, Any] | None = None) -> Path:
    """Train a generator on the training split of `table` and return `out`.

    `config` is what is written to `config.yaml` (default: the options). Writes `generator.safetensors` (the moving
    average), `discriminator.safetensors`, `pictures.parquet` (digests of all pictures it learned from), sample grids
    and `metrics.jsonl`. Raises UserError for fewer training pictures than a batch, a loss that is not finite, a
    `start` that does not fit, or missing weights for `vision_aid`.
    """
    train = pick(table, split="train")
    if len(train) < options.batch:
        raise UserError(
            f"the training split holds {len(train)} pictures, fewer than a batch of {options.batch}; "
            "give more pictures or a smaller --batch."
        )
    if options.vision_aid:
        check_vision_aid()
    start = start_folder(options.start)
    inputs = {"data": table_fingerprint(train)}
    if start is not None:
        inputs["start"] = generator_fingerprint(start)
        inputs["start's pictures"] = learned_pictures(start).fingerprint
    unnamed = ("data", "out", "start", "subset", "subset_seed", "camera_pattern")  # `inputs` stand for these
    with StageFolder(out, "gan", VERSION, config or dataclasses.asdict(options), inputs, unnamed) as folder:
        if not folder.complete:
            _Training(train, folder, options, start or _grown(train, folder.path, options)).run()
    return out


def _grown(train: pa.Table, folder: Path, options: GanOptions) -> Path | None:
    """Train at the coarser sizes that `options.grow` asks for, each going on from the one before; return the last.

    R1's weight follows the number of pixels; vision aid waits for the size at which it sees something.
    """
    start: Path | None = None
    sizes = resolutions(options.height, options.width)[:-1]
    if len(options.grow) > len(sizes):
        raise UserError(
            f"grow has {len(options.grow)} entries, but there are only {len(sizes)} coarser sizes; give fewer."
        )
    for (height, width), kimg in zip(sizes[len(sizes) - len(options.grow) :], options.grow, strict=True):
        coarse = dataclasses.replace(
            options,
            height=height,
            width=width,
            kimg=kimg,
            gamma=options.gamma * height * width / (options.height * options.width),
            vision_aid=0.0,
            grow=(),
            start=str(start) if start is not None else None,
            snap=kimg,
            measure=0,
        )
        start = train_gan(train, folder / f"grow-{height}x{width}", coarse)
    return start


class _Training:
    """One run of training: what does not change, and the state that does."""

    def __init__(self, train: pa.Table, folder: StageFolder, options: GanOptions, start: Path | None) -> None:
        self.folder, self.options, self.start = folder, options, start
        self.device = choose_device(options.device)
        before = learned_pictures(start).digests if start is not None else frozenset()
        self.learned = LearnedPictures(before | set(column(train, "sha256")))
        self.pictures = torch.from_numpy(np.array(pixels(train, options.height, options.width))).permute(0, 3, 1, 2)
        self.state = new_state(options, start, self.device)
        self.total = math.ceil(options.kimg * 1000 / options.batch)
        self.snap_steps = max(1, round(options.snap * 1000 / options.batch))
        self.measurement = Measurement(
            folder.path, self.pictures, options.measure, options.seed, options.vision_aid > 0
        )

    def run(self) -> None:
        options, state = self.options, self.state
        checkpoint = self.folder.path / CHECKPOINT
        resumed = checkpoint.exists()
        if resumed:
            state.load(checkpoint)
            say(f"going on at {state.step * options.batch / 1000:.1f} kimg")
        with MetricsLog(self.folder.path, state.step if resumed else None) as log:
            if not resumed:
                self._snapshot(log)
            saved = time.monotonic()
            done = state.step * options.batch
            with progress("training the generator", self.total * options.batch, "pictures", done=done) as bar:
                while state.step < self.total:
                    facts = self._step()
                    bar.advance(options.batch, **facts)
                    if state.step % 16 == 0:
                        log.write(state.step, kimg=state.step * options.batch / 1000, ada_p=state.ada_p, **facts)
                    snap = state.step % self.snap_steps == 0 or state.step == self.total
                    if snap:
                        self._snapshot(log)
                    if snap or time.monotonic() - saved > CHECKPOINT_SECONDS:
                        state.save(checkpoint)
                        saved = time.monotonic()
        outputs = save_networks(self.folder.path, options, state.average, state.discriminator, self.learned)
        self.folder.finish(outputs, kimg=state.step * options.batch / 1000, ada_p=state.ada_p)
        checkpoint.unlink(missing_ok=True)

    def _step(self) -> dict[str, float]:
        """One step of each network, the discriminator first: the other way round they chase each other in circles.

        The pictures that the discriminator learns from then teach the generator, through the new discriminator.
        """
        options, state = self.options, self.state
        rng = torch.Generator().manual_seed(options.seed * 1_000_003 + state.step)
        real = self._real(rng)
        z = torch.randn(2, options.batch, options.w_dim, generator=rng).to(self.device)
        noise = torch.randn(options.batch, state.generator.noise_length, generator=rng).to(self.device)
        w = _mixed_styles(state.generator, z, options.mixing, rng)
        with autocast(self.device, options.precision):
            fake = state.generator.synthesize(w, noise)
            loss_d, penalty, logits = self._discriminator_loss(real, fake.detach(), rng)
        _descend(state.adam_d, loss_d)
        losses = {"loss_d": loss_d}
        seen: list[Tensor] = []
        if state.vision_aid is not None:
            seen, losses["loss_v"] = self._vision_aid_step(state.vision_aid, real, fake, rng)
        state.discriminator.requires_grad_(False)
        with autocast(self.device, options.precision):
            losses["loss_g"] = F.softplus(-state.discriminator(augment(fake, state.ada_p, rng))).mean()
            if state.vision_aid is not None:
                losses["loss_gv"] = state.vision_aid.generator_loss(seen)
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        if not all(math.isfinite(value) for value in values.values()):
            raise UserError(
                f"the loss is not finite at step {state.step}; the last good checkpoint is kept in {self.folder.path}: "
                "train with a smaller lr or a larger gamma in a new folder."
            )
        aid = options.vision_aid * losses["loss_gv"] if "loss_gv" in losses else 0.0
        _descend(state.adam_g, losses["loss_g"] + aid)
        state.discriminator.requires_grad_(True)
        sign = float(logits.detach().sign().mean())
        state.step += 1
        self._average()
        self._adapt(sign)
        return {**values, "r1": penalty, "sign": sign}

    def _vision_aid_step(
        self, vision_aid: VisionAid, real: Tensor, fake: Tensor, rng: torch.Generator
    ) -> tuple[list[Tensor], Tensor]:
        """Teach the heads; return the features of `fake`, with their graph to the generator, and the heads' loss."""
        assert self.state.adam_v is not None
        with autocast(self.device, self.options.precision):
            with torch.no_grad():
                of_real = vision_aid.features(augment(real.detach(), self.state.ada_p, rng))
            of_fake = vision_aid.features(augment(fake, self.state.ada_p, rng))
            loss = vision_aid.discriminator_loss(of_real, of_fake)
        _descend(self.state.adam_v, loss)
        return of_fake, loss

    def _real(self, rng: torch.Generator) -> Tensor:
        """Return the step's real pictures [batch, 3, H, W] in -1 to 1, in an order drawn anew for each pass."""
        options, n = self.options, len(self.pictures)
        first = self.state.step * options.batch
        places = np.arange(first, first + options.batch)
        index = np.empty(options.batch, dtype=np.int64)
        for epoch in np.unique(places // n):
            order = np.random.default_rng((options.seed, int(epoch))).permutation(n)
            index[places // n == epoch] = order[places[places // n == epoch] % n]
        x = self.pictures[torch.from_numpy(index)].to(self.device).float() / 127.5 - 1
        if options.mirror:
            flip = torch.rand(options.batch, generator=rng) < 0.5
            x = torch.where(flip[:, None, None, None].to(self.device), x.flip(3), x)
        return x

    def _discriminator_loss(self, real: Tensor, fake: Tensor, rng: torch.Generator) -> tuple[Tensor, float, Tensor]:
        """Return the loss, the R1 penalty (0 on steps without) and the logits of the real pictures."""
        options, state = self.options, self.state
        penalised = state.step % options.r1_every == 0
        real = real.requires_grad_(penalised)
        logits = state.discriminator(augment(real, state.ada_p, rng))
        loss = F.softplus(state.discriminator(augment(fake, state.ada_p, rng))).mean() + F.softplus(-logits).mean()
        if not penalised:
            return loss, 0.0, logits
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        r1 = slope.square().sum((1, 2, 3)).mean()
        return loss + r1 * (options.gamma / 2 * options.r1_every), float(r1.detach()), logits

    @torch.no_grad()
    def _average(self) -> None:
        options, state = self.options, self.state
        half_life = options.ema_kimg * 1000
        if self.start is None:  # random weights should be forgotten quickly, learned ones should not
            half_life = min(half_life, state.step * options.batch * options.ema_rampup)
        beta = 0.5 ** (options.batch / max(half_life, 1e-8))
        for average, value in zip(state.average.parameters(), state.generator.parameters(), strict=True):
            average.lerp_(value, 1 - beta)
        for mean, newest in zip(state.average.buffers(), state.generator.buffers(), strict=True):
            mean.copy_(newest)

    def _adapt(self, sign: float) -> None:
        options, state = self.options, self.state
        state.signs += sign / ADAPT_EVERY
        if state.step % ADAPT_EVERY == 0:
            if options.ada_target > 0:
                shown = ADAPT_EVERY * options.batch
                state.ada_p = adapt(state.ada_p, state.signs, options.ada_target, shown, options.ada_kimg)
            state.signs = 0.0

    def _snapshot(self, log: MetricsLog) -> None:
        kimg = self.state.step * self.options.batch / 1000
        grid, values = self.measurement.take(self.state.average, kimg)
        log.picture(self.state.step, "samples", grid)
        if values:
            log.write(
                self.state.step,
                kimg=kimg,
                **{k: v for k, v in values.items() if isinstance(v, int | float) and k != "kimg"},
            )


def new_state(options: GanOptions, start: Path | None, device: torch.device) -> State:
    """Return networks and optimisers before the first step, from random weights or from the folder `start`."""
    torch.manual_seed(options.seed)
    generator, discriminator = new_generator(options), Discriminator(options)
    if start is not None:
        carry_over(start, generator, discriminator, options)
    vision_aid = VisionAid() if options.vision_aid else None
    networks: list[nn.Module] = [generator, discriminator, *([vision_aid] if vision_aid is not None else [])]
    for network in networks:
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return State(
        generator,
        discriminator,
        average=copy.deepcopy(generator).requires_grad_(False),
        vision_aid=vision_aid,
        adam_g=torch.optim.Adam(generator.parameters(), lr=options.lr_g, betas=(0.0, 0.99), eps=1e-8),
        adam_d=torch.optim.Adam(discriminator.parameters(), lr=options.lr_d, betas=(0.0, 0.99), eps=1e-8),
        adam_v=torch.optim.Adam(vision_aid.heads.parameters(), lr=options.lr_vision_aid, betas=(0.0, 0.99), eps=1e-8)
        if vision_aid is not None
        else None,
        step=0,
        ada_p=options.ada_p,
        signs=0.0,
    )


def _mixed_styles(generator: StyleGenerator, z: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Return styles [N, num_ws, w_dim]; with `probability`, those from a random layer on come from a second z."""
    n = z.shape[1]
    first, second = generator.mapping(z.flatten(0, 1)).split(n)
    with torch.no_grad():
        generator.mapping.mean.lerp_(first.mean(0), 1 - MEAN_BETA)
    cut = torch.randint(1, generator.num_ws, (n,), generator=rng)
    cut = torch.where(torch.rand(n, generator=rng) < probability, cut, generator.num_ws)
    from_first = (torch.arange(generator.num_ws)[None] < cut[:, None]).to(z.device)
    return torch.where(from_first[:, :, None], first[:, None], second[:, None])


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
