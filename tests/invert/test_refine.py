"""Styles and weights come nearer to pictures, one picture or person at a time, and the generator stays as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from synreid.generate.generator import Generator
from synreid.generate.network import new_generator
from synreid.generate.options import GanOptions
from synreid.invert.options import RefineOptions
from synreid.invert.refine import (
    HEADER,
    Difference,
    ramp,
    refine_styles,
    tune,
    weights_fingerprint,
)
from synreid.stage.errors import UserError
from synreid.stage.tensors import write_tensors

GAN = GanOptions(height=16, width=8, w_dim=8, cmax=8, cbase=128, map_depth=2)
OPTIONS = RefineOptions(steps=60, w_keep=0.0, tune_steps=20, tune_lr=0.01, locality=0.0, batch=4, precision="fp32")


def l2(made: Tensor, real: Tensor) -> Tensor:
    return (made - real).square().mean((1, 2, 3))


def squared(real: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda made: l2(made, real)


def random_generator(options: GanOptions = GAN, seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    return new_generator(options).eval()


def some_styles(generator: Generator, count: int, seed: int) -> Tensor:
    z = torch.randn(count, generator.w_dim, generator=torch.Generator().manual_seed(seed))
    return generator.styles(z).detach()


def some_pictures(generator: Generator, count: int, seed: int) -> Tensor:
    return generator.synthesize(some_styles(generator, count, seed)).detach()


def some_noise(count: int, seed: int) -> Tensor:
    return torch.rand(count, 3, 16, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def generator() -> Generator:
    return random_generator()


def test_a_picture_that_the_generator_made_is_found_again(generator: Generator) -> None:
    pictures, start = some_pictures(generator, 6, seed=1), some_styles(generator, 6, seed=2)
    found = refine_styles(generator, pictures, start, squared, OPTIONS)
    before, after = (l2(generator.synthesize(w), pictures) for w in (start, found))
    assert found.shape == start.shape
    assert (after < before / 10).all()


def test_the_first_step_is_adams_by_hand(generator: Generator) -> None:
    """Its first step goes by the learning rate against the sign of the gradient (Kingma and Ba 2015, algorithm 1)."""
    pictures, start = some_pictures(generator, 2, seed=1), some_styles(generator, 2, seed=2)
    w = start.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(l2(generator.synthesize(w), pictures).sum(), w)
    options = dataclasses.replace(OPTIONS, steps=1, lr=0.1, batch=2)
    expected = start - 0.1 * ramp(0, 1) * slope / (slope.abs() + 1e-8)
    torch.testing.assert_close(refine_styles(generator, pictures, start, squared, options), expected)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_neighbours_do_not_matter(generator: Generator, precision: str) -> None:
    options = dataclasses.replace(OPTIONS, steps=30, precision=precision)
    pictures, start = some_pictures(generator, 7, seed=1), some_styles(generator, 7, seed=2)
    together = refine_styles(generator, pictures, start, squared, options)
    for chosen in ([6, 2], [5, 4, 3, 2, 1]):
        apart = refine_styles(generator, pictures[chosen], start[chosen], squared, options)
        torch.testing.assert_close(apart, together[chosen], rtol=0, atol=1e-4)


def test_w_keep_holds_styles_where_they_began(generator: Generator) -> None:
    pictures, start = some_pictures(generator, 4, seed=1), some_styles(generator, 4, seed=2)
    moved = [
        (
            refine_styles(generator, pictures, start, squared, dataclasses.replace(OPTIONS, steps=30, w_keep=keep))
            - start
        ).norm()
        for keep in (0.0, 1.0, 100.0)
    ]
    assert moved[0] > 2 * moved[1] > 4 * moved[2]


def test_the_learning_rate_ramps_up_and_down() -> None:
    factors = [ramp(step, 1000) for step in range(1000)]
    assert factors[0] == pytest.approx(1 / 50)
    assert factors[24] == pytest.approx(0.5)
    assert factors[49] == factors[749] == 1.0
    assert factors[875] == pytest.approx(0.5)  # half-way down a cosine
    assert 0 < factors[999] < 1e-4


@pytest.mark.parametrize("cfg", ["stylegan2", "stylegan3-t", "dcgan"])
def test_the_generator_stays_as_it_was(cfg: str) -> None:
    """Also one that is being trained, whose layers keep running means of what they see."""
    generator = random_generator(dataclasses.replace(GAN, cfg=cfg, vision_aid=0)).train()
    before = save(generator.state_dict())
    w = torch.randn(2, generator.num_ws, generator.w_dim)
    options = dataclasses.replace(OPTIONS, steps=2, tune_steps=2, locality=1.0, batch=2)
    refine_styles(generator, some_noise(2, seed=3), w, squared, options)
    tuned = tune(generator, some_noise(2, seed=3), w, squared, options).apply_to(generator)
    assert save(generator.state_dict()) == before
    assert save(tuned.state_dict()) != before
    assert generator.training
    assert not tuned.training
    assert all(weight.requires_grad and weight.grad is None for weight in generator.parameters())


def test_tuning_shows_pictures_that_no_style_does(generator: Generator) -> None:
    pictures, w = some_noise(6, seed=3), some_styles(generator, 6, seed=2)
    difference = tune(generator, pictures, w, squared, OPTIONS)
    before, after = (l2(net.synthesize(w), pictures).mean() for net in (generator, difference.apply_to(generator)))
    assert after < before / 2
    assert not any(name.startswith("mapping.") for name in difference.tensors)


def test_tuning_does_not_depend_on_how_a_person_is_cut_into_batches(generator: Generator) -> None:
    pictures, w = some_noise(5, seed=3), some_styles(generator, 5, seed=2)
    whole, cut = (
        tune(generator, pictures, w, squared, dataclasses.replace(OPTIONS, tune_steps=3, batch=batch))
        for batch in (5, 2)
    )
    for name, change in whole.tensors.items():
        torch.testing.assert_close(cut.tensors[name], change, rtol=0, atol=1e-3)


def test_locality_keeps_other_pictures_nearer(generator: Generator) -> None:
    pictures, w = some_noise(4, seed=3), some_styles(generator, 4, seed=2)
    others = some_styles(generator, 32, seed=9)
    before = generator.synthesize(others)
    moved = [
        l2(tune(generator, pictures, w, squared, options).apply_to(generator).synthesize(others), before).mean()
        for options in (OPTIONS, dataclasses.replace(OPTIONS, locality=1.0))
    ]
    assert moved[1] < moved[0] / 1.5


@pytest.fixture(scope="module")
def difference(generator: Generator) -> Difference:
    options = dataclasses.replace(OPTIONS, tune_steps=3)
    return tune(generator, some_noise(2, seed=3), some_styles(generator, 2, seed=2), squared, options)


def test_a_difference_is_what_it_was_when_it_is_read_again(
    generator: Generator, difference: Difference, tmp_path: Path
) -> None:
    difference.save(tmp_path / "person.safetensors")
    difference.save(tmp_path / "again.safetensors")
    again = Difference.load(tmp_path / "person.safetensors")
    assert (tmp_path / "person.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert (again.parent, again.fingerprint) == (weights_fingerprint(generator), difference.fingerprint)
    tuned = again.apply_to(generator)
    assert save(tuned.state_dict()) == save(difference.apply_to(generator).state_dict())
    for name, weight in generator.state_dict().items():
        change = difference.tensors.get(name, torch.zeros(())).float()
        torch.testing.assert_close(tuned.state_dict()[name], weight + change, rtol=0, atol=0)


def test_another_generator_is_refused(difference: Difference) -> None:
    with pytest.raises(UserError, match=r"belongs to the generator with weights .* load the generator that was tuned"):
        difference.apply_to(random_generator(seed=1))


def test_a_file_that_is_no_difference_is_refused(generator: Generator, difference: Difference, tmp_path: Path) -> None:
    path = tmp_path / "person.safetensors"
    with pytest.raises(UserError, match="does not exist"):
        Difference.load(path)
    path.write_bytes(save(generator.state_dict()))
    with pytest.raises(UserError, match="damaged or not a tuned generator"):
        Difference.load(path)
    difference.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(UserError, match="damaged or not a tuned generator"):
        Difference.load(path)
    write_tensors(path, difference.tensors, HEADER, {"parent": float("inf"), "fingerprint": ""})
    with pytest.raises(UserError, match="damaged or not a tuned generator"):
        Difference.load(path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match="other weights than were written"):
        Difference.load(path)


def test_what_does_not_fit_is_said(generator: Generator) -> None:
    pictures, w = some_noise(2, seed=3), some_styles(generator, 2, seed=2)
    for given, styles, words in (
        (pictures[:, :, :8], w, "resize them"),
        (pictures, w[:, :2], "take those of this generator"),
        (pictures, w[:1], "2 pictures and 1 styles"),
        (pictures[:0], w[:0], "0 pictures and 0 styles"),
    ):
        for method in (refine_styles, tune):
            with pytest.raises(UserError, match=words):
                method(generator, given, styles, squared, OPTIONS)


def test_an_optimisation_that_runs_away_is_said(generator: Generator) -> None:
    pictures, w = some_noise(3, seed=3), some_styles(generator, 3, seed=2)
    pictures[1] = torch.nan
    with pytest.raises(UserError, match="styles of picture 1 are no numbers"):
        refine_styles(generator, pictures, w, squared, dataclasses.replace(OPTIONS, steps=2))
    with pytest.raises(UserError, match="smaller tune_lr"):
        tune(generator, pictures, w, squared, dataclasses.replace(OPTIONS, tune_steps=2))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("steps", -1), ("lr", float("nan")), ("w_keep", -1), ("locality_share", 1.5), ("batch", 0)),
        *(("seed", -1), ("seed", 2**64)),
    ],
)
def test_an_option_that_nothing_can_be_refined_with_is_named(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"refinement option {name} is"):
        dataclasses.replace(OPTIONS, **{name: value})
