"""Tensors in files of a bounded size, in half precision, for folders that travel between machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path

MIB = 2**20


def half(value: Tensor) -> Tensor:
    """Return `value` in float16, unless it is no floating-point number or too large for it."""
    small = value.half() if value.is_floating_point() else value
    return small if small.isfinite().all() else value


def split(tensors: dict[str, Tensor], limit: float) -> list[dict[str, Tensor]]:
    """Return `tensors` in as few parts as hold at most `limit` bytes each, in their order."""
    room = limit * 0.99  # a file's header wants some
    parts: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, value in tensors.items():
        size = value.numel() * value.element_size() + 200
        if filled + size > room and parts[-1]:
            parts.append({})
            filled = 0
        parts[-1][name] = value
        filled += size
    return parts


def write_parts(folder: Path, tensors: dict[str, Tensor], part_mib: float, step: int) -> list[str]:
    """Write `tensors` into files of at most `part_mib` and return their names, which no other step's files have.

    Those of other steps stay, for whoever reads the folder before it says that these are there.
    """
    parts = [save(part) for part in split(tensors, part_mib * MIB)]  # first, so that two steps' files meet but briefly
    names = [f"weights-{step}-{number}-of-{len(parts)}.safetensors" for number in range(1, len(parts) + 1)]
    for name, part in zip(names, parts, strict=True):
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(part)
    return names


def remove_others(folder: Path, names: Iterable[str]) -> None:
    """Remove the files of all steps but those of `names`."""
    for old in {path.name for path in folder.glob("weights-*.safetensors")} - set(names):
        (folder / old).unlink()


def read_parts(folder: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """Return what `write_parts` wrote; raises UserError where a file is missing."""
    if lacking := [name for name in names if not (folder / name).exists()]:
        raise UserError(f"{folder} lacks {', '.join(lacking)}; bring all of its files.")
    tensors: dict[str, Tensor] = {}
    for name in names:
        tensors |= load_file(folder / name)
    return tensors


def size_mib(folder: Path) -> float:
    """Return the size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir()) / MIB


def moments_of(adam: torch.optim.Adam) -> dict[str, Tensor]:
    """Return of every parameter of `adam` how often it was learned, and its second moments' mean by output channel."""
    found: dict[str, Tensor] = {}
    for number, moments in adam.state_dict()["state"].items():
        found[f"{number}.exp_avg_sq"] = channel_means(moments["exp_avg_sq"]).cpu()
        found[f"{number}.step"] = torch.as_tensor(moments["step"]).cpu().float()
    return found


def channel_means(moments: Tensor) -> Tensor:
    """Return the mean of `moments` [O, ...] over all but the first axis: [O], or a number as it is."""
    return moments.float().flatten(1).mean(1) if moments.ndim > 1 else moments.float().clone()


def restore_moments(adam: torch.optim.Adam, found: dict[str, Tensor]) -> None:
    """Give every parameter of `adam` the second moments that `moments_of` found, and first moments of 0."""
    parameters = [parameter for group in adam.param_groups for parameter in group["params"]]
    held: dict[int, dict[str, Tensor]] = {}
    for number, parameter in enumerate(parameters):
        if f"{number}.step" not in found:
            continue
        means = found[f"{number}.exp_avg_sq"]
        spread = means.reshape(-1, *[1] * (parameter.ndim - 1)) if parameter.ndim else means
        # in the parameter's own order in memory, without which Adam takes parameters one by one
        squares = torch.empty_like(parameter, requires_grad=False).copy_(spread)
        step = found[f"{number}.step"].reshape(())
        held[number] = {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": squares}
    adam.load_state_dict({"state": held, "param_groups": adam.state_dict()["param_groups"]})


def of_part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `part` and a point, without it."""
    return {name.removeprefix(f"{part}."): value for name, value in tensors.items() if name.startswith(f"{part}.")}


def with_part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return `tensors` with `part` and a point before their names."""
    return {f"{part}.{name}": value for name, value in tensors.items()}
