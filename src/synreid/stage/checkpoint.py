"""Checkpoints of a training: tensors and plain values, written whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path


def save_checkpoint(path: Path, values: dict[str, Any]) -> None:
    """Write `values`: tensors, state dicts, numbers. Raises UserError where the disk is full."""
    held = io.BytesIO()  # torch reports a full disk in its own words, write_bytes as the error it is
    torch.save(values, held)
    _remove_parts(path)
    with atomic_path(path) as temporary:
        temporary.write_bytes(held.getbuffer())


def remove_checkpoint(path: Path) -> None:
    """Remove what `save_checkpoint` wrote, once the training is finished."""
    path.unlink(missing_ok=True)
    _remove_parts(path)


def _remove_parts(path: Path) -> None:
    """Remove what processes left that were killed as they wrote; the stage's lock sees to it that none is at work."""
    for part in path.parent.glob(f".{path.stem}.*.part{path.suffix}"):
        part.unlink(missing_ok=True)


def load_checkpoint(path: Path, restore: Callable[[dict[str, Any]], None]) -> None:
    """Hand what `save_checkpoint` wrote to `restore`; raises UserError where the file is damaged or does not fit."""
    try:
        restore(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many kinds for a damaged file
        raise UserError(
            f"{path} is damaged or of another configuration ({type(error).__name__}); "
            f"remove {path.parent} and train again."
        ) from error
