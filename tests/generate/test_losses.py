from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn

from synreid.generate.losses import discriminator_loss, generator_loss, path_lengths, r1_penalty
from synreid.generate.network import new_generator
from synreid.generate.options import GanOptions


def test_logistic_losses_are_cross_entropies() -> None:
    real, fake = torch.tensor([0.3, -2.0]), torch.tensor([1.5, -0.2])
    sigmoid = [1 / (1 + math.exp(-float(x))) for x in (*real, *fake)]
    expected = -(math.log(sigmoid[0]) + math.log(sigmoid[1])) / 2
    expected -= (math.log(1 - sigmoid[2]) + math.log(1 - sigmoid[3])) / 2
    torch.testing.assert_close(float(discriminator_loss(real, fake)), expected, rtol=1e-5, atol=0)
    expected = -(math.log(sigmoid[2]) + math.log(sigmoid[3])) / 2
    torch.testing.assert_close(float(generator_loss(fake)), expected, rtol=1e-5, atol=0)


def test_r1_of_a_linear_judge_is_its_squared_weight() -> None:
    weight = torch.randn(3 * 4 * 2, generator=torch.Generator().manual_seed(0))
    real = torch.randn(5, 3, 4, 2).requires_grad_()
    torch.testing.assert_close(r1_penalty(real.flatten(1) @ weight, real), weight.square().sum())


def test_path_length_of_a_linear_generator_is_the_length_of_its_matrix_times_y() -> None:
    matrix = torch.randn(3 * 4 * 2, 6, generator=torch.Generator().manual_seed(1))

    class Linear(nn.Module):
        def synthesize(self, w: Tensor, noise: Tensor) -> Tensor:
            return (w.flatten(1) @ matrix.T).reshape(-1, 3, 4, 2)

    w = torch.randn(2, 3, 2).requires_grad_()
    made = path_lengths(Linear(), w, torch.zeros(2, 0), torch.Generator().manual_seed(5))  # type: ignore[arg-type]
    y = torch.randn(2, 3, 4, 2, generator=torch.Generator().manual_seed(5)) / math.sqrt(8)
    slope = (y.flatten(1) @ matrix).reshape(2, 3, 2)
    torch.testing.assert_close(made.detach(), slope.square().sum(2).mean(1).sqrt())


def test_path_length_has_a_gradient_to_the_weights() -> None:
    options = dataclasses.replace(GanOptions(), height=16, width=8, cmax=8, cbase=128, w_dim=8)
    generator = new_generator(options)
    w = generator.styles(torch.randn(4, 8))
    path_lengths(generator, w, torch.zeros(4, 0), torch.Generator()).square().mean().backward()
    assert float(generator.blocks[1].layer.conv.weight.grad.abs().max()) > 0  # type: ignore[union-attr, index]
