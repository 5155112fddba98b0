"""Latents of real pictures: the styles that an encoder finds, refined, as a file beside the pictures' table."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file
from torch import Tensor

from synreid.data.pixels import pixels
from synreid.data.sheets import sheet, shown_scale, write_picture
from synreid.data.table import TABLE, column, read_table, rows_by_person, spread, table_fingerprint, write_table
from synreid.generate.generator import Generator
from synreid.generate.network import load_generator
from synreid.generate.place import generator_fingerprint, generator_place
from synreid.generate.sample import BATCH, filled, from_uint8, to_uint8
from synreid.invert.encoder import Encoder, encoder_fingerprint, load_encoder, mean_latent
from synreid.invert.losses import InversionLosses, check_losses
from synreid.invert.options import RefineOptions
from synreid.invert.refine import Difference, refine_styles, tune
from synreid.reid.embed import load_model
from synreid.stage.device import autocast, choose_device
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import file_digest, fingerprint
from synreid.stage.folder import StageFolder, read_run
from synreid.stage.progress import progress
from synreid.stage.tensors import DAMAGED, read_header, write_tensors

STAGE, VERSION = "latents", 2
LATENTS = "latents.safetensors"
HEADER = "latents"  # key of the file's metadata
PARTS, TUNED = "parts", "tuned"
BLOCK = 128  # pictures between two savings
SHOWN = 12  # rows of the sheet
ACROSS = 3  # of them side by side


@dataclass(frozen=True, eq=False)
class Latents:
    """Styles `w`, float32 [N, num_ws, w_dim], of the N real pictures in `table`, for one generator.

    `generator` is the generator's fingerprint and `fingerprint` names the latents. `folder` is where they lie, and with
    them, if `is_tuned`, a generator tuned to each person.
    """

    table: pa.Table
    w: Tensor
    generator: str
    fingerprint: str
    folder: Path
    is_tuned: bool = False

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {pid: number for number, pid in enumerate(rows_by_person(self.table))}

    def tuned(self, generator: Generator, pid: str) -> Generator:
        """Return the generator tuned to a person of the table, or `generator` itself where none was."""
        if not self.is_tuned:
            return generator
        return Difference.load(_tuned_path(self.folder, self._numbers[pid])).apply_to(generator)


def invert_pictures(
    table: pa.Table,
    gan: Path,
    encoder: Path,
    out: Path,
    options: RefineOptions,
    reid: Path | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Find styles of the generator `gan` for every picture of `table` and return `out`.

    `encoder` is the folder of a finished `encoder train` with that generator. Its styles are refined by the losses
    that it was trained with; `reid`, the folder of a finished `reid train`, is for the identity loss. Writes
    `table.parquet` (the pictures, and each loss before and after refinement), `latents.safetensors` (`w`) and
    `inverted.png` (real pictures beside the encoder's and the refined ones); with `tune_steps` also the difference of
    a generator tuned to each person, in `tuned/`. A run that was cut off goes on.

    Raises UserError for an encoder of another generator, and where there are no pictures.
    """
    place = generator_place(gan)
    network = load_encoder(encoder, place)
    if not len(table):
        raise UserError("there are no pictures to invert; check that the data has the split that is asked for.")
    inputs = {
        "data": table_fingerprint(table),
        "gan": generator_fingerprint(place),
        "encoder": encoder_fingerprint(encoder),
    }
    if reid is not None:
        inputs["reid"] = load_model(reid, "cpu").fingerprint
    asked = config or dataclasses.asdict(options)
    unnamed = ("data", "out", "gan", "encoder", "reid", "split", "subset", "subset_seed", "camera_pattern")
    with StageFolder(out, STAGE, VERSION, asked, inputs, unnamed) as folder:
        if not folder.complete:
            inversion = Inversion(load_generator(place), network, options, reid)
            outputs = _write(inversion, table, folder)
            folder.finish(outputs, pictures=len(table))
            shutil.rmtree(out / PARTS)
    return out


def load_latents(folder: Path, gan: Path) -> Latents:
    """Return the latents of a finished `encoder invert`; raises UserError where they are of another generator."""
    run = read_run(folder, STAGE)
    path = folder / LATENTS
    try:
        trained_with = read_header(path, HEADER)["generator"]
        w = load_file(path)["w"]
    except DAMAGED as error:
        raise UserError(f"{path} is missing or damaged ({error}); run encoder invert again.") from error
    given = generator_fingerprint(generator_place(gan))
    if trained_with != given:
        raise UserError(
            f"{path} holds styles of generator {trained_with}, but {gan} is generator {given}; "
            "name their own generator, or invert the pictures for this one."
        )
    table = read_table(folder / TABLE)
    if w.ndim != 3 or len(w) != len(table) or w.dtype != torch.float32:
        raise UserError(
            f"{path} holds {w.dtype} {tuple(w.shape)}, but must hold float32 styles of the {len(table)} pictures in "
            f"{folder / TABLE}; remove {folder} and run encoder invert again."
        )
    named = fingerprint(run["fingerprint"], run["outputs"])
    return Latents(table, w, trained_with, named, folder, bool(run["named"].get("tune_steps")))


class Inversion:
    """Encoder and refinement at work on pictures of one generator."""

    def __init__(
        self, generator: Generator, encoder: Encoder, options: RefineOptions, reid: Path | None = None
    ) -> None:
        self.options = options
        self.device = choose_device()
        self.generator, self.encoder = generator.to(self.device), encoder.to(self.device)
        identity = encoder.options.identity if reid else 0.0
        learned_by = dataclasses.replace(encoder.options, identity=identity, device="auto")
        check_losses(learned_by, reid)
        self.losses = InversionLosses(learned_by, mean_latent(self.generator), reid).to(self.device).eval()

    @property
    def names(self) -> list[str]:
        """The losses, as columns are named."""
        return list(self.losses.weights)

    def encode(self, pictures: np.ndarray) -> Tensor:
        """Return the encoder's styles [N, num_ws, w_dim], on the CPU, of pictures, uint8 [N, H, W, 3]."""
        found = []
        for real in filled(self._values(pictures), self.options.batch).split(self.options.batch):
            with autocast(self.device, self.options.precision):
                found.append(self.encoder.invert(self.generator, real, self.encoder.options.passes)[0].float().cpu())
        return torch.cat(found)[: len(pictures)]

    def refine(self, pictures: np.ndarray, w: Tensor) -> Tensor:
        """Return refined styles, of the shape of `w` [N, num_ws, w_dim]."""
        if not self.options.steps:
            return w
        return refine_styles(self.generator, self._values(pictures), w, self._loss, self.options)

    def tune(self, pictures: np.ndarray, w: Tensor) -> Difference:
        """Return what must change in the generator for one person's pictures and styles."""
        return tune(self.generator, self._values(pictures), w, self._loss, self.options)

    @torch.no_grad()
    def judged(self, pictures: np.ndarray, w: Tensor) -> dict[str, np.ndarray]:
        """Return each loss, float32 [N], of the pictures that `w` gives against the real ones."""
        parts: list[dict[str, Tensor]] = []
        batches = zip(
            *(filled(x, BATCH).split(BATCH) for x in (self._values(pictures), w.to(self.device))), strict=True
        )
        for real, styles in batches:
            with autocast(self.device, self.options.precision):
                parts.append(self.losses(styles, self.generator.synthesize(styles), self.losses.target(real)))
        whole = {name: torch.cat([part[name].float().cpu() for part in parts]) for name in self.names}
        return {name: values[: len(pictures)].numpy() for name, values in whole.items()}

    def _loss(self, real: Tensor) -> Callable[[Tensor], Tensor]:
        target = self.losses.target(real)
        return lambda made: self.losses.total(self.losses.compare(made, target))

    def _values(self, pictures: np.ndarray) -> Tensor:
        return from_uint8(pictures, self.device)


@torch.no_grad()
def show(generator: Generator, w: Tensor) -> np.ndarray:
    """Return the pictures, uint8 [N, H, W, 3], of styles `w` [N, num_ws, w_dim], with the generator's constant noise.

    Batches are filled up to one size, so that a picture's bytes do not depend on its neighbours.
    """
    device = next(generator.parameters()).device
    made = [to_uint8(generator.synthesize(part.to(device))) for part in filled(w, BATCH).split(BATCH)]
    return np.concatenate(made)[: len(w)]


def _write(inversion: Inversion, table: pa.Table, folder: StageFolder) -> dict[str, str]:
    """Work through the pictures, block by block, and write everything; returns the digests of what was written."""
    height, width = inversion.generator.height, inversion.generator.width
    pictures = pixels(table, height, width)
    parts = []
    for part in _parts(inversion, pictures, folder.path / PARTS):
        parts.append(part)
        folder.keep_time()
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    w = whole.pop("w")
    if inversion.options.tune_steps:
        _tune(inversion, table, pictures, w, folder.path)
    for name, values in whole.items():
        table = table.append_column(name, pa.array(values.numpy()))
    write_tensors(folder.path / LATENTS, {"w": w}, HEADER, {"generator": folder.inputs["gan"]})
    write_table(table, folder.path / TABLE)
    write_picture(folder.path / "inverted.png", _sheet(inversion, table, pictures, w, folder.path))
    outputs = {name: file_digest(folder.path / name) for name in (LATENTS, TABLE)}
    if inversion.options.tune_steps:
        outputs[TUNED] = fingerprint([file_digest(path) for path in sorted((folder.path / TUNED).iterdir())])
    return outputs


def read_block(path: Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return what was saved of a block, float32 tensors of these names and shapes; UserError for a damaged file."""
    try:
        found = load_file(path)
        if {name: list(tensor.shape) for name, tensor in found.items()} != {k: list(v) for k, v in shapes.items()}:
            raise ValueError(f"it does not hold {', '.join(shapes)} of its pictures")
        if any(tensor.dtype != torch.float32 for tensor in found.values()):
            raise ValueError("its numbers are not float32")
    except DAMAGED as error:
        raise UserError(f"{path} is damaged ({error}); remove it and run the same command again.") from error
    return found


def _parts(inversion: Inversion, pictures: np.ndarray, folder: Path) -> Iterator[dict[str, Tensor]]:
    """Yield each block: `w`, and each loss before (`<loss>_encoder`) and after refinement."""
    losses = [name + behind for name in inversion.names for behind in ("_encoder", "")]
    generator = inversion.generator
    with progress("inverting pictures", len(pictures), "pictures") as bar:
        for start in range(0, len(pictures), BLOCK):
            path = folder / f"{start:07d}.safetensors"
            block = pictures[start : start + BLOCK]
            if not path.exists():
                found = inversion.encode(block)
                w = inversion.refine(block, found)
                judged = {f"{name}_encoder": value for name, value in inversion.judged(block, found).items()}
                judged |= inversion.judged(block, w)
                write_tensors(path, {"w": w, **{name: torch.from_numpy(value) for name, value in judged.items()}})
            bar.advance(len(block))
            shapes = {"w": (len(block), generator.num_ws, generator.w_dim)}
            yield read_block(path, shapes | {name: (len(block),) for name in losses})


def _tune(inversion: Inversion, table: pa.Table, pictures: np.ndarray, w: Tensor, folder: Path) -> None:
    """Tune the generator to one person after the other: a person's pictures are a batch already.

    One pass for several persons, each with its own weights (`torch.func.vmap`), makes every convolution a grouped one,
    which is no faster.
    """
    persons = rows_by_person(table)
    with progress("tuning to persons", len(persons), "persons") as bar:
        for number, rows in enumerate(persons.values()):
            path = _tuned_path(folder, number)
            if not path.exists():
                inversion.tune(pictures[rows], w[rows]).save(path)
            bar.advance()


def _tuned_path(folder: Path, number: int) -> Path:
    """Return the file of the generator tuned to a person, who is numbered by name, since names may hold anything."""
    return folder / TUNED / f"{number:05d}.safetensors"


def _sheet(inversion: Inversion, table: pa.Table, pictures: np.ndarray, w: Tensor, folder: Path) -> np.ndarray:
    """Return some real pictures beside what the encoder, refinement and tuning make of them."""
    picked = spread(len(pictures), SHOWN)
    real, styles = pictures[picked], w[picked]
    columns = {"real": real, "encoder": show(inversion.generator, inversion.encode(real))}
    if inversion.options.steps:
        columns["refined"] = show(inversion.generator, styles)
    if inversion.options.tune_steps:
        pids = column(table, "pid")[picked]
        latents = Latents(table, w, "", "", folder, is_tuned=True)
        tuned = [
            show(inversion.generator if pid is None else latents.tuned(inversion.generator, pid), styles[k : k + 1])
            for k, pid in enumerate(pids)
        ]
        columns["tuned"] = np.concatenate(tuned)
    cells = np.stack(list(columns.values()), axis=1).reshape(-1, *real.shape[1:])
    across = min(ACROSS, len(real))
    return sheet(cells, across * len(columns), scale=shown_scale(real.shape[1]), heads=across * list(columns))
