from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from torch import Tensor

from synreid.data.table import column
from synreid.generate.network import load_generator, new_discriminator, new_generator, save_networks
from synreid.generate.options import GanOptions
from synreid.generate.place import LearnedPictures, learned_pictures, save_learned
from synreid.generate.train import train_gan
from synreid.generate.transfer import carry_over, table
from synreid.stage.errors import UserError

SMALL = GanOptions(height=64, width=64, cmax=8, cbase=128, w_dim=8)


def written(folder: Path, options: GanOptions) -> Path:
    torch.manual_seed(1)
    nothing = LearnedPictures(frozenset())
    save_networks(folder, options, new_generator(options), new_discriminator(options), nothing)
    return folder


@pytest.mark.parametrize("cfg", ["stylegan2", "stylegan3-t", "stylegan3-r"])
def test_the_same_size_is_carried_over_whole(cfg: str, tmp_path: Path) -> None:
    options = dataclasses.replace(SMALL, cfg=cfg)
    start = written(tmp_path / "start", options)
    torch.manual_seed(2)
    generator, discriminator = new_generator(options), new_discriminator(options)
    rows = carry_over(start, generator, discriminator, options)
    assert all(row.carried == row.tensors for row in rows)
    assert {row.network for row in rows} == {"generator", "discriminator"}
    old = load_generator(start).state_dict()
    assert all(torch.equal(value, old[name]) for name, value in generator.state_dict().items())


def layers_at(height: int, generator: torch.nn.Module) -> dict[str, Tensor]:
    number = [side for side, _ in generator.sizes].index(height)  # type: ignore[union-attr, arg-type, misc]
    return generator.blocks[number].state_dict()  # type: ignore[union-attr, index, operator, no-any-return]


def test_a_square_of_another_size_gives_its_layers_of_the_same_height(tmp_path: Path) -> None:
    start = written(tmp_path / "start", SMALL)
    options = dataclasses.replace(SMALL, height=32, width=16)
    torch.manual_seed(2)
    generator, discriminator = new_generator(options), new_discriminator(options)
    rows = carry_over(start, generator, discriminator, options)
    old = load_generator(start)
    for height in (4, 8, 16, 32):
        ours, theirs = layers_at(height, generator), layers_at(height, old)
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert torch.equal(generator.constant, old.constant[:, :, :, 1:3])  # type: ignore[union-attr, index]
    text = table(rows)
    assert "generator constant: 0 of 1 tensors, cut to 4x2 around its centre" in text
    assert "discriminator hidden: 1 of 2 tensors, shape [8, 128] there, [8, 64] here" in text
    assert "mapping" not in text  # carried over whole


def test_stylegan3_carries_layers_of_the_same_shape(tmp_path: Path) -> None:
    options = dataclasses.replace(SMALL, cfg="stylegan3-t", cmax=64, cbase=1024)
    start = written(tmp_path / "start", options)
    finer = dataclasses.replace(options, height=128, width=48)
    torch.manual_seed(2)
    generator, discriminator = new_generator(finer), new_discriminator(finer)
    rows = carry_over(start, generator, discriminator, finer)
    state, old = generator.state_dict(), load_generator(start).state_dict()
    whole = {row.layer for row in rows if row.network == "generator" and row.carried == row.tensors}
    assert {"input", "layers.0", "layers.1"} <= whole
    assert any("layers.13: " in line and "shape" in line for line in table(rows).splitlines())
    assert torch.equal(state["layers.1.weight"], old["layers.1.weight"])


def test_a_start_without_a_discriminator_leaves_it_random(tmp_path: Path) -> None:
    start = written(tmp_path / "start", SMALL)
    (start / "discriminator.safetensors").unlink()
    generator, discriminator = new_generator(SMALL), new_discriminator(SMALL)
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    rows = carry_over(start, generator, discriminator, SMALL)
    assert {row.network for row in rows} == {"generator"}
    assert all(torch.equal(value, before[name]) for name, value in discriminator.state_dict().items())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cfg": "stylegan3-t"}, "has cfg stylegan2, but stylegan3-t is asked for"),
        ({"w_dim": 16}, "has w_dim 8, but 16 is asked for"),
        ({"map_depth": 2}, "has map_depth 4, but 2 is asked for"),
    ],
)
def test_another_architecture_is_refused(change: dict[str, object], sentence: str, tmp_path: Path) -> None:
    start = written(tmp_path / "start", SMALL)
    options = dataclasses.replace(SMALL, **change)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=sentence):
        carry_over(start, new_generator(options), new_discriminator(options), options)


def test_other_classes_are_refused(tmp_path: Path) -> None:
    start = written(tmp_path / "start", SMALL)
    with pytest.raises(UserError, match="knows 0 classes, but this training asks for 2"):
        carry_over(start, new_generator(SMALL, ("a", "b")), new_discriminator(SMALL, ("a", "b")), SMALL)


def test_a_truncated_generator_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "start", SMALL) / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"generator\.safetensors is damaged"):
        load_generator(path.parent)


def test_a_start_whose_pictures_nobody_listed_stays_named(
    train_table: pa.Table, tmp_path: Path, tiny_options: GanOptions
) -> None:
    start = written(tmp_path / "start", tiny_options)
    save_learned(start, LearnedPictures(frozenset(), frozenset(["official.pkl"])))
    out = train_gan(train_table, tmp_path / "on", dataclasses.replace(tiny_options, start=str(start), kimg=0.016))
    learned = learned_pictures(out)
    assert learned.unlisted == {"official.pkl"}
    assert learned.digests == set(column(train_table, "sha256"))
    assert (out / "transfer.txt").read_text().startswith("carried over as they are: ")
