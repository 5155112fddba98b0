from __future__ import annotations

import pytest
import torch

from synreid.stage.device import use_bfloat16


@pytest.mark.parametrize(("major", "expected"), [(7, False), (8, True)])
def test_a_gpu_that_emulates_bfloat16_computes_in_float32(
    major: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T4 and V100 have compute capability 7.5 and 7.0."""

    class Properties:
        pass

    Properties.major = major  # type: ignore[attr-defined]
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)
    assert use_bfloat16(torch.device("cuda"), "auto") is expected
    assert use_bfloat16(torch.device("cuda"), "bf16")
