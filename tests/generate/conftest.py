from __future__ import annotations

import pytest
import torch

from synreid.generate.sample import StyleSampler


@pytest.fixture
def asked_classes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The classes that generators are asked for from now on, in their order."""
    asked: list[int] = []
    latents = StyleSampler.latents

    def noted(self: StyleSampler, seeds: range, truncation: float = 1.0, classes: torch.Tensor | None = None):
        assert classes is not None
        asked.extend(classes.tolist())
        return latents(self, seeds, truncation, classes)

    monkeypatch.setattr(StyleSampler, "latents", noted)
    return asked
