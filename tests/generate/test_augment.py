from __future__ import annotations

import pytest
import torch

from synreid.generate.augment import _colour, _Draws, adapt, augment


def test_no_probability_changes_nothing_and_the_seed_decides() -> None:
    x = torch.rand(6, 3, 16, 8) * 2 - 1
    assert augment(x, 0.0, torch.Generator()) is x
    one, two, other = (augment(x, 0.8, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_share_of_changed_pictures_grows_with_probability() -> None:
    x = torch.rand(400, 3, 8, 4)
    same = (augment(x, 0.1, torch.Generator().manual_seed(0)) - x).abs().amax((1, 2, 3)) < 1e-5
    assert 0.9**7 - 0.1 < float(same.float().mean()) < 0.9**6 + 0.1  # seven gated transforms, flipped coins


def test_hue_keeps_grey_pictures_grey() -> None:
    colour = _colour(_Draws(50, 1.0, torch.Generator().manual_seed(0)))
    grey = torch.cat([torch.full((50, 3), 0.3), torch.ones(50, 1)], dim=1)
    made = torch.einsum("nij,nj->ni", colour, grey)[:, :3]
    assert float((made.amax(1) - made.amin(1)).max()) < 1e-4


def test_gradient_reaches_the_picture() -> None:
    x = torch.rand(4, 3, 16, 8, requires_grad=True)
    augment(x, 1.0, torch.Generator().manual_seed(0)).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0


def test_probability_moves_towards_the_target_and_stays_within_bounds() -> None:
    assert adapt(0.5, sign=0.9, target=0.6, shown=500, ada_kimg=50) == pytest.approx(0.51)
    assert adapt(0.5, sign=0.1, target=0.6, shown=500, ada_kimg=50) == pytest.approx(0.49)
    assert adapt(0.0, sign=0.1, target=0.6, shown=500, ada_kimg=50) == 0.0
    assert adapt(1.0, sign=0.9, target=0.6, shown=500, ada_kimg=50) == 1.0
