from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from synreid.data.pixels import picture_sha256, read_picture
from synreid.data.table import column, paths, read_table
from synreid.generate.options import PersonOptions
from synreid.generate.persons import Recipe, layer_group, make, make_persons, plan
from synreid.generate.sample import StyleSampler
from synreid.stage.errors import UserError

OPTIONS = PersonOptions(persons=5, images=9)


@pytest.fixture(scope="session")
def persons(tmp_path_factory: pytest.TempPathFactory, tiny_gan: Path) -> Path:
    return make_persons(tiny_gan, tmp_path_factory.mktemp("persons") / "persons", OPTIONS)


def test_twice_gives_the_same_bytes(persons: Path, tiny_gan: Path, tmp_path: Path) -> None:
    again = make_persons(tiny_gan, tmp_path / "again", OPTIONS)
    files = sorted(path.relative_to(persons) for path in persons.rglob("*.png"))
    assert len(files) == 46  # 45 pictures and the sheet
    assert all((persons / name).read_bytes() == (again / name).read_bytes() for name in files)


def test_picture_has_the_same_bytes_whatever_was_asked_beside_it(persons: Path, tiny_gan: Path, tmp_path: Path) -> None:
    fewer = make_persons(tiny_gan, tmp_path / "fewer", dataclasses.replace(OPTIONS, persons=2, images=3, first_seed=3))
    name = "pictures/000004/000004_0002.png"
    assert (fewer / name).read_bytes() == (persons / name).read_bytes()


def test_table_makes_every_picture_again(persons: Path, tiny_gan: Path) -> None:
    table = read_table(persons / "table.parquet")
    recipes = [Recipe.from_json(text) for text in column(table, "maker")]
    made = make(StyleSampler.load(tiny_gan), recipes[::-1])[::-1]
    for picture, path, digest in zip(made, paths(table), column(table, "sha256"), strict=True):
        assert np.array_equal(picture, read_picture(path))
        assert picture_sha256(picture) == digest


def test_rows_say_what_they_are(persons: Path) -> None:
    table = read_table(persons / "table.parquet")
    assert sorted(set(column(table, "pid"))) == [f"made/{k:06d}" for k in range(5)]
    assert set(column(table, "origin")) == {"artificial"}
    assert set(column(table, "claim")) == {"new"}
    assert all(len(parents) == 0 for parents in column(table, "parents"))
    assert len(set(column(table, "sha256"))) == 45


def test_mixing_no_layer_is_the_identity_and_all_layers_another_person(tiny_gan: Path) -> None:
    sampler = StyleSampler.load(tiny_gan)
    own = Recipe(sampler.fingerprint, "style mixing", 3, 8, (), 1.0, 1.0)
    every = dataclasses.replace(own, layers=tuple(range(sampler.num_ws)))
    mixed = make(sampler, [own, every])
    styles = sampler.latents([3, 8])
    assert np.array_equal(mixed, sampler.synthesize(styles, [8, 8]))


def test_mixing_replaces_exactly_the_named_layers(tiny_gan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = StyleSampler.load(tiny_gan)
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(sampler, "synthesize", lambda w, seeds: seen.append(w))
    make(sampler, [Recipe(sampler.fingerprint, "style mixing", 3, 8, (0, 2), 1.0, 1.0)])
    own, other = sampler.latents([3, 8])
    for layer in range(sampler.num_ws):
        assert torch.equal(seen[0][0, layer], (other if layer in (0, 2) else own)[layer])


def test_interpolation_goes_part_of_the_way(tiny_gan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = StyleSampler.load(tiny_gan)
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(sampler, "synthesize", lambda w, seeds: seen.append(w))
    recipe = plan(sampler, dataclasses.replace(OPTIONS, vary="interpolate", strength=0.25, layers="0-1"))[1]
    make(sampler, [recipe])
    own, other = sampler.latents([recipe.seed, recipe.other_seed or 0])
    torch.testing.assert_close(seen[0][0, 1], 0.75 * own[1] + 0.25 * other[1])
    assert torch.equal(seen[0][0, 2], own[2])


def test_layer_groups_follow_the_thesis_at_sixteen_styles() -> None:
    assert layer_group("coarse", 16) == tuple(range(6))
    assert layer_group("medium", 16) == tuple(range(6, 12))
    assert layer_group("fine", 16) == tuple(range(12, 16))
    assert layer_group("2-4", 10) == (2, 3, 4)
    assert layer_group("7", 10) == (7,)
    for wrong in ("3-10", "x", "5-2", "", "1" * 5000, "0-" + "1" * 5000):
        with pytest.raises(UserError, match="layers"):
            layer_group(wrong, 10)


def test_person_without_pictures_is_refused(tiny_gan: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="images is 0"):
        make_persons(tiny_gan, tmp_path / "x", dataclasses.replace(OPTIONS, images=0))
    assert not (tmp_path / "x").exists()


def test_recipe_of_another_generator_is_refused(tiny_gan: Path) -> None:
    with pytest.raises(UserError, match="was made by generator ffff"):
        make(StyleSampler.load(tiny_gan), [Recipe("ffff", "sample", 0, None, (), 0.0, 1.0)])
