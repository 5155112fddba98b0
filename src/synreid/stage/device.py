"""Which device computes, and in which number format."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from synreid.stage.errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; `auto` is a GPU if there is one. Raises UserError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device {name} cannot be used here ({str(error).splitlines()[0]}); try --device cpu."
        ) from error
    return device


def use_bfloat16(device: torch.device, precision: str) -> bool:
    """Whether convolutions run in bfloat16: as `precision` says (`bf16`, `fp32`), or as the hardware can (`auto`)."""
    if precision != "auto":
        return precision == "bf16"
    if device.type != "cuda":
        return _cpu_has_bfloat16()
    return torch.cuda.is_bf16_supported(including_emulation=False)  # a T4 or V100 emulates it, slower than float32


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return the context in which networks compute."""
    return torch.autocast(device.type, torch.bfloat16, enabled=use_bfloat16(device, precision))


def _cpu_has_bfloat16() -> bool:
    # bfloat16 works on every processor, but without these instructions it is emulated and slower than float32
    try:
        known = torch.cpu.get_capabilities()
    except (AttributeError, RuntimeError):
        return False
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
