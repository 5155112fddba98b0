"""Adversarial training of a generator: one loop, one state, exact resume.

Every random number comes from (seed, step, round), so a run that was cut off and goes on ends with the same weights,
bit for bit on a CPU, as one that was not; and as many devices as share the rounds of a step see the same numbers.
"""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torchvision.transforms.v2.functional import gaussian_blur

from synreid.data.pixels import pixels
from synreid.data.table import column, pick, table_fingerprint
from synreid.generate.augment import adapt, augment, transforms_of
from synreid.generate.diffaugment import diffaugment
from synreid.generate.discriminator import judged_size
from synreid.generate.feed import Feed, Round, classes_of
from synreid.generate.generator import Generator, Mapping
from synreid.generate.losses import PATH_LENGTH_DECAY, discriminator_loss, generator_loss, path_lengths, r1_penalty
from synreid.generate.measure import was_aided
from synreid.generate.network import save_network, save_networks
from synreid.generate.options import GanOptions
from synreid.generate.place import LearnedPictures, generator_fingerprint, learned_pictures, start_folder
from synreid.generate.quality import Measurement
from synreid.generate.state import new_state
from synreid.generate.stylegan2 import resolutions
from synreid.generate.transfer import check_start
from synreid.generate.transfer import table as carried_table
from synreid.generate.vision_aid import check_vision_aid
from synreid.quality.metrics import parse_metrics
from synreid.stage.device import autocast
from synreid.stage.errors import UserError
from synreid.stage.files import write_text
from synreid.stage.folder import StageFolder
from synreid.stage.log import say
from synreid.stage.metrics import MetricsLog, read_metrics
from synreid.stage.progress import progress
from synreid.stage.world import World, join_world

VERSION = 3
CHECKPOINT = "checkpoint.pt"
CHECKPOINT_SECONDS = 120.0
TRANSFER = "transfer.txt"
ADAPT_EVERY = 4  # steps between two changes of the augmentation probability
MEAN_BETA = 0.998  # of the running mean style


def train_gan(table: pa.Table, out: Path, options: GanOptions, config: dict[str, Any] | None = None) -> Path:
    """Train a generator on the training split of `table` and return `out`.

    `config` is what is written to `config.yaml` (default: the options). Writes `generator.safetensors` (the moving
    average), `discriminator.safetensors`, `pictures.parquet` (digests of all pictures it learned from), for each
    snapshot a grid of samples, `generator-<kimg>.safetensors` and a line in `quality.json` (drawn in `quality.png`),
    `metrics.jsonl`, and with a `start` `transfer.txt`, which says what was carried over. Raises UserError for fewer
    training pictures than a batch, a loss that is not finite, a `start` that does not fit, pictures without the classes
    that are asked for, or missing weights for `vision_aid`.
    """
    train = pick(table, split="train")
    if len(train) < options.batch:
        raise UserError(
            f"the training split holds {len(train)} pictures, fewer than a batch of {options.batch}; "
            "give more pictures or a smaller --batch."
        )
    start = start_folder(options.start)
    _check(train, options, start)
    inputs = {"data": table_fingerprint(train)}
    if start is not None:
        inputs["start"] = generator_fingerprint(start)
        inputs["start's pictures"] = learned_pictures(start).fingerprint
    unnamed = ("data", "out", "start", "subset", "subset_seed", "camera_pattern")  # `inputs` stand for these
    world = join_world(options.device, options.gpus)
    folder = StageFolder(out, "gan", VERSION, config or dataclasses.asdict(options), inputs, unnamed)
    if world.rank:  # the first process keeps the folder
        if not world.agree(True):
            _Training(train, folder, options, start, world).run()
        return out
    with folder:
        if not world.agree(folder.complete):
            _Training(train, folder, options, start or _grown(train, folder, options), world).run()
    return out


def _check(train: pa.Table, options: GanOptions, start: Path | None) -> None:
    """Raise UserError for what cannot be trained, before anything is written."""
    if options.vision_aid:
        check_vision_aid()
    transforms_of(options.augpipe)
    parse_metrics(options.metrics)
    halved = resolutions if options.cfg in ("stylegan2", "dcgan") else judged_size
    halved(options.height, options.width)
    _, classes = classes_of(train, options.cond)
    if start is not None:
        check_start(start, options, classes)
    elif options.grow:
        coarser = len(resolutions(options.height, options.width)) - 2  # the coarsest is filled by a constant
        if len(options.grow) > coarser:
            raise UserError(
                f"grow has {len(options.grow)} entries, but there are only {coarser} coarser sizes; give fewer."
            )


def _grown(train: pa.Table, folder: StageFolder, options: GanOptions) -> Path | None:
    """Train at the coarser sizes that `options.grow` asks for, each going on from the one before; return the last.

    R1's weight follows the number of pixels; vision aid waits for the size at which it sees something.
    """
    start: Path | None = None
    if not options.grow:
        return start
    sizes = resolutions(options.height, options.width)[:-1]
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
            snap=max(1, math.ceil(kimg / options.tick)),
            metrics="none",
        )
        start = train_gan(train, folder.path / f"grow-{height}x{width}", coarse)
        folder.keep_time()
    return start


class _Training:
    """One run of training: what does not change, and the state that does."""

    def __init__(
        self, train: pa.Table, folder: StageFolder, options: GanOptions, start: Path | None, world: World
    ) -> None:
        self.folder, self.options, self.start, self.world = folder, options, start, world
        self.device = world.device
        self.learned = LearnedPictures(frozenset(column(train, "sha256")))
        if start is not None:
            self.learned |= learned_pictures(start)
        self.pictures = torch.from_numpy(np.array(pixels(train, options.height, options.width))).permute(0, 3, 1, 2)
        labels, classes = classes_of(train, options.cond)
        self.state, carried = new_state(options, start, self.device, classes)
        if carried and not world.rank:
            write_text(folder.path / TRANSFER, carried_table(carried) + "\n")
            say(carried_table(carried))
        self.total = math.ceil(options.kimg * 1000 / options.batch)
        self.snap_steps = max(1, round(options.snap * options.tick * 1000 / options.batch))
        generator = self.state.generator
        self.feed = Feed(self.pictures, labels, options, generator.num_ws, generator.noise_length, self.device)
        self.transforms = transforms_of(options.augpipe)
        self.rounds = options.batch // options.round
        self.judging = [p for p in self.state.discriminator.parameters() if p.requires_grad]
        # running means, which every round of a step begins with alike (what is larger never changes)
        self.buffers = [one for one in generator.buffers() if one.is_floating_point() and one.ndim < 2]
        if not world.rank:
            self.aided = options.vision_aid > 0 or (start is not None and was_aided(start))
            self.measurement = Measurement(
                folder.path, self.pictures, parse_metrics(options.metrics), options.seed, self.aided, labels
            )

    def run(self) -> None:
        options, state = self.options, self.state
        checkpoint = self.folder.path / CHECKPOINT
        resumed = self.world.agree(checkpoint.exists())
        if resumed:
            state.load(checkpoint)
        if self.world.rank:
            while state.step < self.total:
                self._step()
            return
        if resumed:
            say(f"going on at {state.step * options.batch / 1000:.1f} kimg")
        with MetricsLog(self.folder.path, state.step if resumed else None) as log:
            if not resumed or self._snapshot_is_due():
                self._snapshot(log)
            saved = time.monotonic()
            done = state.step * options.batch
            with progress("training the generator", self.total * options.batch, "pictures", done=done) as bar:
                while state.step < self.total:
                    facts = self._step()
                    bar.advance(options.batch, **facts)
                    if state.step % 16 == 0:
                        log.write(state.step, kimg=state.step * options.batch / 1000, ada_p=state.ada_p, **facts)
                    if self._at_snapshot() or time.monotonic() - saved > CHECKPOINT_SECONDS:
                        state.save(checkpoint)
                        self.folder.keep_time(kimg=state.step * options.batch / 1000, vision_aided=self.aided)
                        saved = time.monotonic()
                    if self._at_snapshot():  # behind the checkpoint: a run that is cut off in it goes on with it
                        self._snapshot(log)
                        self.folder.keep_time()
        outputs = save_networks(self.folder.path, options, state.average, state.discriminator, self.learned)
        kimg = state.step * options.batch / 1000
        self.folder.finish(outputs, kimg=kimg, ada_p=state.ada_p, vision_aided=self.aided)
        checkpoint.unlink(missing_ok=True)

    def _step(self) -> dict[str, float]:
        """One step of each network, the discriminator first: the other way round they chase each other in circles.

        The pictures that the discriminator learns from then teach the generator, through the new discriminator. Returns
        the losses, and the penalties as they were when they were last worked out.
        """
        state, world = self.state, self.world
        rounds = [self.feed.round(state.step, number) for number in range(world.rank, self.rounds, world.size)]
        facts = self._teach_discriminator(rounds)
        if state.vision_aid is not None:
            facts |= self._teach_vision_aid(rounds)
        facts |= self._teach_generator(rounds)
        values = dict(zip(facts, world.mean(torch.stack(list(facts.values()))).tolist(), strict=True))
        gradients = [p.grad for p in state.generator.parameters() if p.grad is not None]
        if not all(math.isfinite(value) for value in (*values.values(), float(get_total_norm(gradients)))):
            raise UserError(
                f"the loss is not finite at step {state.step}; the last good checkpoint and snapshot are kept in "
                f"{self.folder.path}: train with a smaller learning rate or a larger gamma in a new folder."
            )
        state.adam_g.step()
        state.r1 = values.get("r1", state.r1)
        state.path_length = values.get("path_length", state.path_length)
        state.step += 1
        self._average()
        self._adapt(values["sign"])
        lazy = {"r1": state.r1, **({"path_length": state.path_length} if self.options.pl_weight else {})}
        return {**values, **lazy}

    def _teach_discriminator(self, rounds: list[Round]) -> dict[str, Tensor]:
        options, state = self.options, self.state
        penalised = options.gamma > 0 and state.step % options.r1_every == 0
        keep_graph = self.rounds == 1  # one round: the same pictures teach the generator, made once
        state.adam_d.zero_grad(set_to_none=True)
        facts: list[dict[str, Tensor]] = []
        found = []
        before = [buffer.clone() for buffer in self.buffers]
        for one in rounds:
            if not keep_graph:
                self._restore(before)
            with torch.set_grad_enabled(keep_graph), autocast(self.device, options.precision):
                one.fake = state.generator.synthesize(self._styles(one, learn_mean=True), one.noise)
            real = one.real.requires_grad_(penalised)
            with autocast(self.device, options.precision):
                on_real = state.discriminator(self._seen(real, one.rng), one.real_classes)
                on_fake = state.discriminator(self._seen(one.fake.detach(), one.rng), one.classes)
                loss = discriminator_loss(on_real, on_fake)
            r1 = r1_penalty(on_real, real) if penalised else torch.zeros((), device=self.device)
            ((loss + r1 * (options.gamma / 2 * options.r1_every)) / self.rounds).backward()
            fact = {"loss_d": loss, "sign": on_real.sign().mean(), **({"r1": r1} if penalised else {})}
            facts.append({name: value.detach() for name, value in fact.items()})
            found.append([buffer.clone() for buffer in self.buffers])
        if not keep_graph:
            self._restore([self.world.mean(torch.stack(one).mean(0)) for one in zip(*found, strict=True)])
        self.world.sum_gradients(self.judging)
        state.adam_d.step()
        return _mean(facts)

    def _teach_vision_aid(self, rounds: list[Round]) -> dict[str, Tensor]:
        """Teach the heads; where there is one round, keep the features of its made pictures for the generator."""
        state, keep_graph = self.state, self.rounds == 1
        assert state.vision_aid is not None
        assert state.adam_v is not None
        state.adam_v.zero_grad(set_to_none=True)
        state.vision_aid.settle_norms()
        losses = []
        for one in rounds:
            assert one.fake is not None
            with autocast(self.device, self.options.precision):
                with torch.no_grad():
                    of_real = state.vision_aid.features(self._augmented(one.real.detach(), one.rng))
                with torch.set_grad_enabled(keep_graph):
                    one.features = state.vision_aid.features(self._augmented(one.fake, one.rng))
                loss = state.vision_aid.discriminator_loss(of_real, one.features)
            (loss / self.rounds).backward()
            losses.append(loss.detach())
        self.world.sum_gradients(state.vision_aid.heads.parameters())
        state.adam_v.step()
        state.vision_aid.settle_norms()
        return {"loss_v": torch.stack(losses).mean()}

    def _teach_generator(self, rounds: list[Round]) -> dict[str, Tensor]:
        """Work out the generator's gradients, all but the step itself, and return its losses."""
        options, state = self.options, self.state
        state.adam_g.zero_grad(set_to_none=True)
        _learn(self.judging, False)
        facts: list[dict[str, Tensor]] = []
        kept = [buffer.clone() for buffer in self.buffers]
        for one in rounds:
            if self.rounds > 1:
                self._make_again(one, kept)
            assert one.fake is not None
            with autocast(self.device, options.precision):
                loss = generator_loss(state.discriminator(self._seen(one.fake, one.rng), one.classes))
                fact = {"loss_g": loss}
                if state.vision_aid is not None:
                    fact["loss_gv"] = state.vision_aid.generator_loss(one.features)
                    loss = loss + options.vision_aid * fact["loss_gv"]
                if options.pl_weight and state.step % options.pl_every == 0:
                    penalty, fact["path_length"] = self._path_length(one)
                    loss = loss + penalty * (options.pl_weight * options.pl_every)
            (loss / self.rounds).backward()
            facts.append({name: value.detach() for name, value in fact.items()})
            one.fake, one.features = None, []
        self._restore(kept)
        _learn(self.judging, True)
        self.world.sum_gradients(state.generator.parameters())
        return _mean(facts)

    def _make_again(self, one: Round, buffers: list[Tensor]) -> None:
        """Make a round's pictures with a graph, which several rounds' pictures could not keep."""
        self._restore(buffers)
        with autocast(self.device, self.options.precision):
            one.fake = self.state.generator.synthesize(self._styles(one), one.noise)
            if self.state.vision_aid is not None:
                one.features = self.state.vision_aid.features(self._augmented(one.fake, one.rng))

    def _path_length(self, one: Round) -> tuple[Tensor, Tensor]:
        """Return the path length penalty on half of a round, and the new running mean of path lengths."""
        half = max(1, self.options.round // 2)
        w = self._styles(one)[:half]
        lengths = path_lengths(self.state.generator, w, one.noise[:half], one.rng)
        before = lengths.new_tensor(self.state.path_length)
        mean = before.lerp(lengths.detach().mean(), PATH_LENGTH_DECAY)
        return (lengths - mean).square().mean(), mean

    def _styles(self, one: Round, learn_mean: bool = False) -> Tensor:
        """Return styles [n, num_ws, w_dim]; those from a picture's `cut` on come from its second z."""
        generator: Generator = self.state.generator
        with torch.autocast(self.device.type, enabled=False):  # the mapping is small, and wants float32
            first, second = (generator.mapping(z, one.classes) for z in one.z)
        if learn_mean and isinstance(generator.mapping, Mapping):
            with torch.no_grad():
                generator.mapping.mean.lerp_(first.mean(0), 1 - MEAN_BETA)
        from_first = torch.arange(generator.num_ws, device=one.cut.device)[None] < one.cut[:, None]
        return torch.where(from_first[:, :, None], first[:, None], second[:, None])

    def _seen(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Return pictures as the discriminator sees them: blurred at the beginning if asked, then augmented."""
        options = self.options
        faded = self.state.step * options.batch / (options.blur_fade_kimg * 1000)
        sigma = options.blur_sigma * max(0.0, 1 - faded) if self.start is None else 0.0
        if sigma > 0:
            reach = min(math.ceil(3 * sigma), min(x.shape[2:]) - 1)
            x = gaussian_blur(x, [2 * reach + 1, 2 * reach + 1], [sigma, sigma])
        return self._augmented(x, rng)

    def _augmented(self, x: Tensor, rng: torch.Generator) -> Tensor:
        if self.options.aug == "diffaugment":
            return diffaugment(x, rng)
        return x if self.options.aug == "none" else augment(x, self.state.ada_p, rng, self.transforms)

    @torch.no_grad()
    def _restore(self, values: list[Tensor]) -> None:
        for buffer, value in zip(self.buffers, values, strict=True):
            buffer.copy_(value)

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
            if options.aug == "ada":
                shown = ADAPT_EVERY * options.batch
                state.ada_p = adapt(state.ada_p, state.signs, options.ada_target, shown, options.ada_kimg)
            state.signs = 0.0

    def _at_snapshot(self) -> bool:
        return self.state.step % self.snap_steps == 0 or self.state.step == self.total

    def _snapshot_is_due(self) -> bool:
        """Whether the run was cut off in a snapshot, or in one without a measure, which is quickly taken again."""
        lines = (line for line in read_metrics(self.folder.path) if line["step"] == self.state.step)
        return self._at_snapshot() and not any("frechet" in line for line in lines)

    def _snapshot(self, log: MetricsLog) -> None:
        kimg = self.state.step * self.options.batch / 1000
        path = self.folder.path / f"generator-{kimg:07.1f}.safetensors"
        save_network(path, self.state.average, self.options, self.state.average.classes)
        grid, values = self.measurement.take(self.state.average, kimg)
        log.picture(self.state.step, "samples", grid)
        if values:
            log.write(
                self.state.step,
                kimg=kimg,
                **{k: v for k, v in values.items() if isinstance(v, int | float) and k != "kimg"},
            )


def _mean(facts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([fact[name] for fact in facts]).mean() for name in facts[0]}


def _learn(parameters: list[nn.Parameter], yes: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(yes)
