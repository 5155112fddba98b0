"""Sheets show what they say: each cell is recomputed by hand from styles and seeds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image, ImageSequence

from synreid.data.table import rows
from synreid.features.embedders import PixelEmbedder
from synreid.generate.network import new_generator, save_network
from synreid.generate.options import GanOptions, ShowOptions
from synreid.generate.persons import layer_group
from synreid.generate.sample import StyleSampler
from synreid.generate.show import animation, layer_grid, mixing_grid, sheets, show_gan, truncation_grid, walk
from synreid.stage.errors import UserError

OPTIONS = ShowOptions(rows=2, columns=3, persons=2, frames=2, searched=5, pairs=3, neighbours=2)
SIZE = {"height": 16, "width": 8, "w_dim": 8, "cmax": 8, "cbase": 128, "map_depth": 2}
STYLE_SHEETS = {"layers.png", *(f"style-mixing-{group}.png" for group in ("coarse", "medium", "fine"))}


def gan_folder(folder: Path, options: GanOptions) -> Path:
    """A generator whose random weights make pictures that differ, with noise in every layer where it has any."""
    torch.manual_seed(0)
    network = new_generator(options)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
        network.mapping.mean.normal_()  # type: ignore[union-attr, operator]
    folder.mkdir()
    save_network(folder / "generator.safetensors", network, options)
    return folder


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A StyleGAN2 with noise, so that a sheet that mixes up noise is found out."""
    return gan_folder(tmp_path_factory.mktemp("show") / "gan", GanOptions(**SIZE, noise=True))


@pytest.fixture(scope="module")
def dcgan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gan_folder(tmp_path_factory.mktemp("show") / "dcgan", GanOptions(cfg="dcgan", vision_aid=0, **SIZE))


@pytest.fixture
def sampler(gan: Path) -> StyleSampler:
    return StyleSampler.load(gan)


@pytest.fixture(autouse=True)
def pixels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is loaded to compare features."""
    monkeypatch.setattr(
        "synreid.generate.show.default_quality_embedder", lambda measured: (PixelEmbedder(), "Quality is fast.")
    )


def test_mixing_cell_is_the_rows_person_with_the_columns_layers(sampler: StyleSampler) -> None:
    layers = layer_group("medium", sampler.num_ws)
    grid = mixing_grid(sampler, [3, 4], [7, 8, 9], layers, truncation=0.8)
    assert grid.shape == (3, 4, 16, 8, 3)
    for r, row in enumerate([3, 4]):
        for c, column in enumerate([7, 8, 9]):
            w = sampler.latents([row], 0.8).clone()
            for layer in layers:
                w[0, layer] = sampler.latents([column], 0.8)[0, layer]
            np.testing.assert_array_equal(grid[1 + r, 1 + c], sampler.synthesize(w, [3])[0])
            np.testing.assert_array_equal(grid[0, 1 + c], sampler.synthesize(sampler.latents([column], 0.8), [3])[0])
        np.testing.assert_array_equal(grid[1 + r, 0], sampler.synthesize(sampler.latents([row], 0.8), [3])[0])
    assert np.all(grid[0, 0] == 255)
    assert len(np.unique(grid.reshape(12, -1), axis=0)) == 12, "the generator's pictures differ, or nothing was tested"


def test_mixing_no_layer_repeats_the_row_and_all_layers_the_column(sampler: StyleSampler) -> None:
    none = mixing_grid(sampler, [0, 1], [5, 6], [])
    every = mixing_grid(sampler, [0, 1], [5, 6], range(sampler.num_ws))
    assert np.array_equal(none[1:, 1:], np.broadcast_to(none[1:, :1], none[1:, 1:].shape))
    assert np.array_equal(every[1:, 1:], np.broadcast_to(every[:1, 1:], every[1:, 1:].shape))


def test_truncation_goes_from_the_mean_person_to_the_sample(sampler: StyleSampler) -> None:
    grid = truncation_grid(sampler, [2, 5, 6], (0.0, 0.5, 1.0))
    assert np.array_equal(grid[0, 0], grid[1, 0])
    assert np.array_equal(grid[0, 0], grid[2, 0])
    mean = sampler.network.mapping.mean
    for row, seed in enumerate([2, 5, 6]):
        w = sampler.latents([seed])
        for column, psi in enumerate((0.0, 0.5, 1.0)):
            picture = sampler.synthesize(mean + psi * (w - mean), [2])[0].astype(int)
            assert np.abs(grid[row, column] - picture).max() <= 1  # rounding of the styles
    assert not np.array_equal(grid[0, 2], grid[1, 2])


def test_layer_sheet_changes_one_layer_at_a_time(sampler: StyleSampler) -> None:
    grid = layer_grid(sampler, [0, 1], [10, 11], truncation=0.7)
    assert grid.shape[:2] == (2, sampler.num_ws + 2)
    for row, (seed, other) in enumerate([(0, 10), (1, 11)]):
        own, its = sampler.latents([seed], 0.7), sampler.latents([other], 0.7)
        np.testing.assert_array_equal(grid[row, 0], sampler.synthesize(own, [0])[0])
        np.testing.assert_array_equal(grid[row, -1], sampler.synthesize(its, [0])[0])
        for layer in range(sampler.num_ws):
            w = own.clone()
            w[:, layer] = its[:, layer]
            np.testing.assert_array_equal(grid[row, 1 + layer], sampler.synthesize(w, [0])[0])


def test_interpolation_ends_are_the_samples_and_it_comes_back(sampler: StyleSampler) -> None:
    seeds = [4, 5, 9]
    grid = walk(sampler, seeds, [0.0, 0.25, 1.0], truncation=0.9)
    own = sampler.latents(seeds, 0.9)
    samples = sampler.synthesize(own, [4, 4, 4])
    np.testing.assert_array_equal(grid[:, 0], samples)
    np.testing.assert_array_equal(grid[:, -1], samples[[1, 2, 0]])
    between = sampler.synthesize(0.75 * own + 0.25 * own[[1, 2, 0]], [4, 4, 4]).astype(int)
    assert np.abs(grid[:, 1] - between).max() <= 1


def test_interpolation_ends_are_the_sample_sheets_pictures(tiny_gan: Path) -> None:
    sampler = StyleSampler.load(tiny_gan)  # without noise
    samples = sampler.synthesize(sampler.latents([0, 1]), [0, 1])
    np.testing.assert_array_equal(walk(sampler, [0, 1], [0.0, 1.0])[:, 0], samples)
    np.testing.assert_array_equal(truncation_grid(sampler, [0, 1])[:, -1], samples)


def test_folder_holds_every_sheet_and_twice_the_same_bytes(gan: Path, tmp_path: Path, train_table: pa.Table) -> None:
    few = rows(train_table, range(20))
    first, again = (show_gan(gan, tmp_path / name, OPTIONS, few) for name in ("a", "b"))
    names = {path.name for path in first.iterdir() if path.suffix in (".png", ".webp")}
    assert names == STYLE_SHEETS | {
        "samples.png",
        "truncation.png",
        "interpolation.png",
        "interpolation.webp",
        "nearest.png",
    }
    for name in names | {"nearest.json"}:
        assert (first / name).read_bytes() == (again / name).read_bytes()
        if name.endswith(".png"):
            assert min(Image.open(first / name).size) > 128, "16x8 pictures are enlarged to be seen"


def test_complete_folder_is_left_alone_and_another_asks_for_a_new_one(gan: Path, tmp_path: Path) -> None:
    out = show_gan(gan, tmp_path / "show", OPTIONS)
    (out / "samples.png").unlink()
    assert show_gan(gan, out, OPTIONS) == out
    assert not (out / "samples.png").exists()
    assert not (out / "nearest.png").exists(), "real pictures are shown on request only"
    with pytest.raises(UserError, match="seed was 0 and is now 1"):
        show_gan(gan, out, dataclasses.replace(OPTIONS, seed=1))


def test_animation_is_lossless_and_endless(gan: Path, sampler: StyleSampler, tmp_path: Path) -> None:
    out = show_gan(gan, tmp_path / "show", OPTIONS)
    pages = animation(sampler, OPTIONS)
    assert len(pages) == OPTIONS.persons * OPTIONS.frames
    with Image.open(out / "interpolation.webp") as image:
        assert image.info["loop"] == 0
        shown = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    assert len(shown) == len(pages)
    assert all(np.array_equal(a, b) for a, b in zip(pages, shown, strict=True))


def test_generator_without_styles_has_no_sheets_of_them(
    dcgan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = show_gan(dcgan, tmp_path / "show", OPTIONS)
    assert {path.name for path in out.glob("*.png")} == {"samples.png", "truncation.png", "interpolation.png"}
    assert (out / "interpolation.webp").exists()
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "single style" in shown


def test_copy_of_a_training_picture_heads_the_nearest(
    gan: Path, tmp_path: Path, train_table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = rows(train_table, range(20))
    real: list[np.ndarray] = []

    def copies(self: StyleSampler, w: torch.Tensor, seeds: list[int]) -> np.ndarray:
        made = np.full((len(seeds), 16, 8, 3), 255, np.uint8)
        for row, seed in enumerate(seeds):
            if seed in (2, 3) and real:
                made[row] = real[0][7] if seed == 2 else real[0][11][:, ::-1]
        return made

    def remember(table: pa.Table, height: int, width: int) -> np.ndarray:
        from synreid.data.pixels import pixels

        real.append(pixels(table, height, width))
        return real[0]

    remember(few, 16, 8)
    monkeypatch.setattr("synreid.generate.show.pixels", remember)
    monkeypatch.setattr(StyleSampler, "synthesize", copies)
    out = show_gan(gan, tmp_path / "show", OPTIONS, few)
    numbers = json.loads((out / "nearest.json").read_text())
    assert (numbers["samples"], numbers["training_pictures"], numbers["learned_from"]) == (5, 20, None)
    names = few.column("path").to_pylist()
    for measured, best in zip(numbers["nearest"], (1.0, 0.0), strict=True):
        for pair, seed, row in zip(measured["pairs"], (2, 3), (7, 11), strict=False):
            assert pair["seed"] == seed
            assert pair["files"][0].endswith(names[row])
            assert pair["mirrored"][0] == (seed == 3)
            assert pair["values"][0] == best


def test_what_the_generator_learned_from_is_counted(
    tiny_gan: Path, tmp_path: Path, train_table: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    few = rows(train_table, range(10))
    out = show_gan(tiny_gan, tmp_path / "show", OPTIONS, few)
    assert json.loads((out / "nearest.json").read_text())["learned_from"] == 10
    shown = capsys.readouterr().err
    assert "10 of the 10 training pictures are among those that this generator learned from" in shown
    assert "real persons" in shown


def test_snapshot_is_shown_like_its_folder(gan: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "generator-0010.0.safetensors"
    snapshot.write_bytes((gan / "generator.safetensors").read_bytes())
    first, again = (show_gan(place, tmp_path / place.stem, OPTIONS) for place in (gan, snapshot))
    assert (first / "samples.png").read_bytes() == (again / "samples.png").read_bytes()


def test_shipped_generator_is_known_by_name(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, rows=1, columns=2, frames=1)
    out = show_gan(Path("street"), tmp_path / "show", options)
    with Image.open(out / "samples.png") as image:
        assert image.height > 128


def test_groups_that_no_layer_belongs_to_are_named(
    sampler: StyleSampler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("synreid.generate.show.layer_group", lambda group, num_ws: (0,) if group == "coarse" else ())
    names = [name for name, _ in sheets(sampler, OPTIONS)]
    assert "style-mixing-coarse.png" in names
    assert "style-mixing-fine.png" not in names
    assert "no style-mixing-fine.png" in capsys.readouterr().err


def test_bad_input_is_one_sentence(gan: Path, tmp_path: Path, train_table: pa.Table) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    for place, out, table, said in (
        (gan, full, None, "full is not empty"),
        (tmp_path / "nowhere", tmp_path / "x", None, "nowhere is neither a shipped generator"),
        (full / "notes.txt", tmp_path / "x", None, "notes.txt is neither a shipped generator"),
        (gan, tmp_path / "x", rows(train_table, []), "no training picture"),
    ):
        with pytest.raises(UserError, match=said) as error:
            show_gan(place, out, OPTIONS, table)
        assert str(error.value).count(". ") == 0
        assert not (tmp_path / "x").exists()
    assert [path.name for path in full.iterdir() if path.name != ".lock"] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "value"), [("rows", 0), ("columns", 1), ("truncation", float("nan")), ("persons", 1), ("seed", -1)]
)
def test_values_that_cannot_be_shown_are_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{name} is {value}, but must lie in"):
        dataclasses.replace(OPTIONS, **{name: value})
