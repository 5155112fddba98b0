"""Tensors in a safetensors file, with what it takes to understand them in the file's header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from synreid.stage.files import atomic_path

DAMAGED = (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError)
"""What reading, and then using, a file raises that is missing, damaged or of another kind."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], kind: str = "", header: object = None) -> None:
    """Write `tensors`, whole or not at all, from any device; `header` (JSON values) goes under the name `kind`.

    Equal values have equal bytes: the header is one entry, since several come out in any order.
    """
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(held, {kind: json.dumps(header)} if kind else None))


def read_header(path: Path, kind: str) -> dict[str, Any]:
    """Return the header that `write_tensors` wrote under `kind`; raises one of `DAMAGED`."""
    with safe_open(path, "pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()[kind])
    return found
