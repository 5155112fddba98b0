"""A person made by hand is what `persons make` and style mixing give, and its file says what it is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synreid.app.markup import made_png
from synreid.app.person import WAY, Wish, file_name, layer_groups, make_person, open_maker
from synreid.exchange.metadata import source_type
from synreid.generate.persons import Recipe, layer_group, make
from synreid.generate.sample import StyleSampler
from synreid.stage.errors import UserError


@pytest.fixture(scope="module")
def sampler(tiny_gan: Path) -> StyleSampler:
    return open_maker(tiny_gan, show_persons=False)


def test_ends_are_the_seeds_own_pictures(sampler: StyleSampler) -> None:
    made = make_person(sampler, Wish(5, 9, truncation=0.6, share=0.0))
    alone = [Recipe(sampler.fingerprint, "sample", seed, None, (), 0.0, 0.6) for seed in (5, 9)]
    first, second = make(sampler, alone)
    assert (made.first == first).all() and (made.second == second).all()
    assert (made.picture == first).all()
    assert len(made.way) == len(WAY) and (made.way[0] == first).all()


@pytest.mark.parametrize("groups", [("coarse",), ("medium", "fine"), ()])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_chosen_layers_alone_go_to_the_other(sampler: StyleSampler, groups: tuple[str, ...], share: float) -> None:
    own, other = sampler.latents([5, 9], 0.8)
    wanted = own.clone()
    for group in groups:
        for layer in layer_group(group, sampler.num_ws):
            wanted[layer] = (1 - share) * own[layer] + share * other[layer]
    picture = sampler.synthesize(wanted[None], [5])[0]
    made = make_person(sampler, Wish(5, 9, 0.8, share, groups))
    assert np.abs(made.picture.astype(int) - picture).max() <= 1  # two ways to round
    if groups:
        assert (made.picture != made.first).any()


def test_same_wish_gives_the_same_bytes(sampler: StyleSampler) -> None:
    wish = Wish(3, 4, 0.7, 0.5)
    assert make_person(sampler, wish).picture.tobytes() == make_person(sampler, wish).picture.tobytes()


def test_network_with_one_style_goes_as_a_whole() -> None:
    class Single:
        """Pictures that show their style."""

        num_ws = 1

        def classes(self, seeds: list[int]) -> torch.Tensor:
            return torch.zeros(len(seeds), dtype=torch.int64)

        def latents(self, seeds: list[int], truncation: float, classes: torch.Tensor) -> torch.Tensor:
            return torch.tensor(seeds, dtype=torch.float32)[:, None, None] * truncation

        def synthesize(self, w: torch.Tensor, seeds: list[int]) -> np.ndarray:
            return w[..., None].numpy()

    single: StyleSampler = Single()  # type: ignore[assignment]
    assert layer_groups(single) == {}
    assert make_person(single, Wish(10, 20, 1.0, 0.25, ())).picture == 12.5


@pytest.mark.parametrize(
    ("values", "named"),
    [({"seed": -1}, "seed is -1"), ({"other": 2**40}, "other seed"), ({"truncation": 1.5}, "truncation is 1.5")],
)
def test_bad_wish_is_one_sentence(values: dict[str, float], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Wish(**values)  # type: ignore[arg-type]


def test_saved_file_has_the_pixels_and_says_that_a_model_made_them(sampler: StyleSampler) -> None:
    picture = make_person(sampler, Wish(1, 2, 0.7, 0.5)).picture
    opened = Image.open(io.BytesIO(made_png(picture, "SynReID, seed 1")))
    assert (np.asarray(opened) == picture).all()
    assert str(source_type(opened.info["XML:com.adobe.xmp"].encode())).endswith("/trainedAlgorithmicMedia")
    assert file_name(Wish(1, 2, 0.7, 0.5, ("coarse",))) == "person-1-psi-0.7-0.5-of-2-coarse.png"


def test_generator_of_real_persons_is_not_looked_at_unasked(tiny_gan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = StyleSampler.load(tiny_gan)
    loaded.network.cond = "pid"
    monkeypatch.setattr(StyleSampler, "load", lambda *_: loaded)
    with pytest.raises(UserError, match="real persons that it was trained by"):
        open_maker(tiny_gan, show_persons=False)
    assert open_maker(tiny_gan, show_persons=True) is loaded
