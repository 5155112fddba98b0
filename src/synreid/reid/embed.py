"""From pictures to features with a trained re-ID model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import safetensors.torch
import torch

from synreid.data.decode import read_picture
from synreid.data.pixels import pixels, resize
from synreid.features.framing import resized
from synreid.reid.backbone import ReidNetwork, build
from synreid.reid.batches import normalise
from synreid.reid.options import ReidOptions
from synreid.reid.train import CLASSES, MODEL, STAGE
from synreid.stage.device import autocast, choose_device
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import read_run
from synreid.stage.progress import progress

BLOCK = 1024  # pictures prepared at a time, so that a gallery never lies in memory as a whole
BATCH_PIXELS = 600_000  # of one batch on a CPU: 130 pictures of 96x48, 18 of 256x128
ON_GPU = 32  # times as many: fewer would be waiting for their launch


@dataclass(frozen=True)
class ReidModel:
    """A trained network with what it was trained with."""

    network: ReidNetwork
    options: ReidOptions
    precision: str
    device: torch.device
    fingerprint: str
    """As of `model_mark`."""


def model_mark(folder: Path) -> str:
    """Return what tells a finished `reid train` from another: its training's fingerprint and its weights' digest.

    Two machines may make other weights of the same options. Raises UserError when the folder is not one, was cut off,
    or has no weights.
    """
    run = read_run(folder, STAGE)
    if not (folder / MODEL).is_file():
        raise UserError(f"{folder / MODEL} does not exist; remove {folder} and train again.")
    return f"{run['fingerprint']} {file_digest(folder / MODEL)[:16]}"


def load_model(folder: Path, device: str = "auto") -> ReidModel:
    """Return the model of a finished `reid train` folder, ready to embed.

    Raises UserError when the folder is not one, was cut off, or its weights are damaged.
    """
    folder = Path(folder)
    run = read_run(folder, STAGE)
    named, classes = run["named"], read_json(folder / CLASSES)
    try:  # a run of before an option came has the default
        options = ReidOptions(**{field.name: named[field.name] for field in fields(ReidOptions) if field.name in named})
        network, precision = build(options, len(classes), weights=False), str(run["precision"])
    except UserError:
        raise
    except Exception as error:  # timm and torch raise kinds of their own for options of a wrong kind
        raise UserError(
            f"{folder} does not say of what network its weights are ({error}); remove it and train again."
        ) from error
    try:
        network.load_state_dict(safetensors.torch.load_file(folder / MODEL))
    except Exception as error:  # safetensors and torch raise kinds of their own
        raise UserError(f"{folder / MODEL} is missing or damaged; remove {folder} and train again.") from error
    where = choose_device(device)
    network = network.to(where).to(memory_format=torch.channels_last).eval()
    return ReidModel(network, options, precision, where, model_mark(folder))


def batch_size(model: ReidModel) -> int:
    """Return how many pictures go through the network at a time."""
    pixels_at_a_time = BATCH_PIXELS * (1 if model.device.type == "cpu" else ON_GPU)
    return max(8, pixels_at_a_time // (model.options.height * model.options.width))


@torch.inference_mode()
def embed(model: ReidModel, pictures: np.ndarray, flip: bool | None = None) -> np.ndarray:
    """Return features, float32 [N, D], of uint8 pictures [N, H, W, 3] of the network's size; raw, not of unit length.

    With `flip` (by default as the model's options say) a picture's feature is the sum of its own and its mirror
    image's. Raises ValueError for pictures of another size.
    """
    if pictures.shape[1:] != (*model.options.size, 3):
        raise ValueError(f"pictures are {pictures.shape[1:]}, but the model takes {(*model.options.size, 3)}")
    flip = model.options.flip_test if flip is None else flip
    size = batch_size(model)
    out = np.empty((len(pictures), model.network.embedding), dtype=np.float32)
    for start in range(0, len(pictures), size):
        block = torch.from_numpy(np.ascontiguousarray(pictures[start : start + size])).to(model.device)
        batch = normalise(block).contiguous(memory_format=torch.channels_last)
        with autocast(model.device, model.precision):
            features = model.network.embed(batch).float()
            if flip:
                features += model.network.embed(batch.flip(3)).float()
        out[start : start + size] = features.cpu().numpy()
    return out


def embed_table(model: ReidModel, table: pa.Table, flip: bool | None = None) -> np.ndarray:
    """Return the features of a picture table, float32 [N, D], prepared as the training pictures were.

    `flip` is that of `embed`.
    """
    source = pixels(table, *model.options.through_size)
    out = np.empty((len(table), model.network.embedding), dtype=np.float32)
    with progress("embedding", total=len(table), unit="pictures") as bar:
        for start in range(0, len(table), BLOCK):
            block = resized(source[start : start + BLOCK], *model.options.size)
            out[start : start + BLOCK] = embed(model, block, flip)
            bar.advance(len(block))
    return out


def embed_files(model: ReidModel, files: Sequence[Path]) -> np.ndarray:
    """Return raw features, float32 [N, D], of picture files, prepared as those of a table are.

    Raises UserError for a file that is not a picture.
    """
    parts = []
    for start in range(0, len(files), BLOCK):
        small = [resize(read_picture(path), *model.options.through_size) for path in files[start : start + BLOCK]]
        parts.append(embed(model, resized(np.stack(small), *model.options.size)))
    return np.concatenate(parts)


class ReidEmbedder:
    """A trained model as an embedder of the features room: pictures of any size in, raw features out."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.model = load_model(folder, device)
        options = self.model.options
        self.name = f"re-ID {options.backbone} {options.height}x{options.width} ({self.model.fingerprint[:8]})"
        self.fingerprint = f"{self.model.fingerprint} {self.model.precision}"

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        """Return features, float32 [N, D], of uint8 pictures [N, H, W, 3] of any size."""
        options = self.model.options
        parts = [np.empty((0, self.model.network.embedding), dtype=np.float32)]
        for start in range(0, len(pictures), BLOCK):
            chunk = pictures[start : start + BLOCK]
            small = np.stack([resize(np.asarray(picture), *options.through_size) for picture in chunk])
            parts.append(embed(self.model, resized(small, *options.size)))
        return np.concatenate(parts)
