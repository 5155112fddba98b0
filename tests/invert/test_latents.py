"""Real pictures become styles in a folder: better than the encoder's alone, in the pictures' order, resumed exactly."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from synreid.data.pixels import pixels
from synreid.data.table import TABLE, column, concat, pick, read_table, rows, rows_by_person, write_table
from synreid.generate.network import load_generator
from synreid.generate.place import generator_fingerprint
from synreid.invert import latents as module
from synreid.invert.encoder import ENCODER, load_encoder, new_encoder, save_encoder
from synreid.invert.latents import LATENTS, Inversion, invert_pictures, load_latents, show
from synreid.invert.options import EncoderOptions, RefineOptions
from synreid.stage.errors import UserError
from synreid.stage.tensors import write_tensors

ENCODER_OPTIONS = EncoderOptions(channels=4, passes=2, lpips=0.0, precision="fp32", device="cpu")
OPTIONS = RefineOptions(steps=8, tune_steps=3, batch=4, locality_pictures=2, precision="fp32")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory, tiny_gan: Path) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(
        folder / ENCODER, new_encoder(load_generator(tiny_gan), ENCODER_OPTIONS), generator_fingerprint(tiny_gan)
    )
    return folder


@pytest.fixture(scope="module")
def pictures(train_table: pa.Table) -> pa.Table:
    """Three pictures of each of three persons."""
    persons = rows_by_person(train_table)
    return rows(train_table, np.concatenate([persons[pid][:3] for pid in sorted(persons)[:3]]))


@pytest.fixture(scope="module")
def inverted(tmp_path_factory: pytest.TempPathFactory, pictures: pa.Table, tiny_gan: Path, encoder: Path) -> Path:
    return invert_pictures(pictures, tiny_gan, encoder, tmp_path_factory.mktemp("latents") / "out", OPTIONS)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared difference of each pair of pictures, in values -1 to 1."""
    return np.square((a.astype(np.float64) - b) / 127.5).mean(axis=(1, 2, 3))


def test_refined_styles_show_the_pictures_better(inverted: Path, tiny_gan: Path, pictures: pa.Table) -> None:
    table, latents = read_table(inverted / TABLE), load_latents(inverted, tiny_gan)
    assert latents.w.shape == (9, latents.w.shape[1], 8)
    assert (column(table, "l2") < column(table, "l2_encoder")).all()
    made, real = show(load_generator(tiny_gan), latents.w), pixels(pictures, 16, 8)
    np.testing.assert_allclose(distance(made, real), column(table, "l2"), rtol=0.02, atol=1e-3)


def test_the_table_keeps_the_pictures_and_their_order(inverted: Path, tiny_gan: Path, pictures: pa.Table) -> None:
    table = read_table(inverted / TABLE)
    for name in ("path", "sha256", "pid", "camera", "split"):
        assert list(column(table, name)) == list(column(pictures, name))
    assert set(table.column_names) - set(pictures.column_names) == {"l2", "w_norm", "l2_encoder", "w_norm_encoder"}
    assert load_latents(inverted, tiny_gan).table.equals(table)


def test_other_rows_beside_it_and_another_order_do_not_change_a_picture(
    tmp_path: Path, inverted: Path, pictures: pa.Table, tiny_gan: Path, encoder: Path
) -> None:
    whole = load_latents(inverted, tiny_gan).w
    order = np.array([7, 2, 5])
    plain = dataclasses.replace(OPTIONS, tune_steps=0)
    out = invert_pictures(rows(pictures, order), tiny_gan, encoder, tmp_path / "out", plain)
    torch.testing.assert_close(load_latents(out, tiny_gan).w, whole[order], rtol=0, atol=1e-4)


@pytest.mark.parametrize("cut", ["refine", "tune"])
def test_a_run_that_was_cut_off_ends_with_the_same_bytes(
    cut: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pictures: pa.Table,
    tiny_gan: Path,
    encoder: Path,
) -> None:
    monkeypatch.setattr(module, "BLOCK", 4)  # three blocks
    whole = invert_pictures(pictures, tiny_gan, encoder, tmp_path / "whole", OPTIONS)
    work, calls = getattr(Inversion, cut), []

    def stops(self: Inversion, *args: object) -> object:
        calls.append(cut)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return work(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Inversion, cut, stops)
        with pytest.raises(KeyboardInterrupt):
            invert_pictures(pictures, tiny_gan, encoder, tmp_path / "cut", OPTIONS)
        assert not (tmp_path / "cut" / LATENTS).exists()
        invert_pictures(pictures, tiny_gan, encoder, tmp_path / "cut", OPTIONS)
    assert len(calls) == 4  # three blocks or persons, one of them twice
    names = [LATENTS, TABLE, "inverted.png", *(f"tuned/{k:05d}.safetensors" for k in range(3))]
    for name in names:
        assert (tmp_path / "cut" / name).read_bytes() == (whole / name).read_bytes()
    assert not (tmp_path / "cut" / "parts").exists()


def test_tuned_persons_show_their_own_pictures_better(
    inverted: Path, pictures: pa.Table, tiny_gan: Path, encoder: Path
) -> None:
    generator, latents, real = load_generator(tiny_gan), load_latents(inverted, tiny_gan), pixels(pictures, 16, 8)
    inversion = Inversion(generator, load_encoder(encoder, tiny_gan), OPTIONS)
    assert len(list((inverted / "tuned").iterdir())) == 3
    for pid, members in rows_by_person(pictures).items():
        tuned = latents.tuned(generator, pid)
        before, after = (
            distance(show(network, latents.w[members]), real[members]).mean() for network in (generator, tuned)
        )
        assert after < before
        expected = inversion.tune(real[members], latents.w[members]).apply_to(generator).state_dict()
        for name, weight in tuned.state_dict().items():
            torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-5)


def test_without_tuning_the_generator_is_its_own(
    tmp_path: Path, pictures: pa.Table, tiny_gan: Path, encoder: Path
) -> None:
    plain = dataclasses.replace(OPTIONS, steps=0, tune_steps=0)
    out = invert_pictures(pictures, tiny_gan, encoder, tmp_path / "out", plain)
    generator, latents = load_generator(tiny_gan), load_latents(out, tiny_gan)
    assert latents.tuned(generator, str(column(pictures, "pid")[0])) is generator
    expected = Inversion(generator, load_encoder(encoder, tiny_gan), plain).encode(pixels(pictures, 16, 8))
    assert torch.equal(latents.w, expected)
    assert (column(latents.table, "l2") == column(latents.table, "l2_encoder")).all()


def test_pictures_without_an_identity_are_inverted_and_not_tuned(
    tmp_path: Path, pictures: pa.Table, tiny_gan: Path, encoder: Path
) -> None:
    nobody = rows(pictures, [0])
    nobody = nobody.set_column(
        nobody.column_names.index("pid"), nobody.schema.field("pid"), pa.array([None], pa.string())
    )
    table = concat([nobody, rows(pictures, [3, 4])])
    out = invert_pictures(table, tiny_gan, encoder, tmp_path / "out", OPTIONS)
    assert len(load_latents(out, tiny_gan).w) == 3
    assert [path.name for path in (out / "tuned").iterdir()] == ["00000.safetensors"]


def test_the_sheet_has_a_column_for_each_step(
    tmp_path: Path, inverted: Path, pictures: pa.Table, tiny_gan: Path, encoder: Path
) -> None:
    plain = dataclasses.replace(OPTIONS, steps=0, tune_steps=0)
    out = invert_pictures(pictures, tiny_gan, encoder, tmp_path / "out", plain)
    full, short = (np.asarray(Image.open(folder / "inverted.png").convert("RGB")) for folder in (inverted, out))
    cell = 8 * 8  # eight pixels wide, enlarged eight times
    assert full.shape[0] == short.shape[0] > 3 * 16 * 8
    assert full.shape[1] - short.shape[1] == pytest.approx(3 * 2 * cell, abs=120)  # refined and tuned, three times
    real = np.repeat(np.repeat(pixels(pictures, 16, 8)[0], 8, axis=0), 8, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(full[:160, :80], (128, 64, 3))[:, :, 0]
    assert (windows == real).all(axis=(2, 3, 4)).any()


def test_what_belongs_to_another_generator_is_refused(
    tmp_path: Path, inverted: Path, pictures: pa.Table, tiny_gan: Path, encoder: Path
) -> None:
    other = tiny_gan / "generator-00000.0.safetensors"
    with pytest.raises(UserError, match=r"was trained with generator \w+, but .* is generator \w+; name its own"):
        invert_pictures(pictures, other, encoder, tmp_path / "out", OPTIONS)
    with pytest.raises(UserError, match=r"holds styles of generator \w+, but .* is generator \w+; name their own"):
        load_latents(inverted, other)
    assert not (tmp_path / "out").exists()


def test_no_pictures_and_damaged_latents_are_said(
    tmp_path: Path, pictures: pa.Table, tiny_gan: Path, encoder: Path
) -> None:
    with pytest.raises(UserError, match="no pictures to invert"):
        invert_pictures(pick(pictures, split="query"), tiny_gan, encoder, tmp_path / "none", OPTIONS)
    plain = dataclasses.replace(OPTIONS, steps=0, tune_steps=0)
    out = invert_pictures(pictures, tiny_gan, encoder, tmp_path / "out", plain)
    whole = (out / LATENTS).read_bytes()
    (out / LATENTS).write_bytes(whole[:-8])
    with pytest.raises(UserError, match=r"latents\.safetensors is missing or damaged"):
        load_latents(out, tiny_gan)
    (out / LATENTS).write_bytes(whole)
    write_table(rows(pictures, [0, 1]), out / TABLE)
    with pytest.raises(UserError, match=r"float32 \(9, .*, but must hold float32 styles of the 2 pictures"):
        load_latents(out, tiny_gan)
    with pytest.raises(UserError, match="not the folder of a latents run"):
        load_latents(tmp_path, tiny_gan)


def test_a_folder_of_other_pictures_is_refused_and_a_finished_one_is_kept(
    inverted: Path, pictures: pa.Table, tiny_gan: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inversion, "encode", lambda *args: pytest.fail("it is finished"))
    assert invert_pictures(pictures, tiny_gan, encoder, inverted, OPTIONS) == inverted
    with pytest.raises(UserError, match="data was"):
        invert_pictures(rows(pictures, [0, 1]), tiny_gan, encoder, inverted, OPTIONS)


def test_styles_come_back_from_the_file_as_they_went_in(inverted: Path, tiny_gan: Path) -> None:
    assert torch.equal(load_file(inverted / LATENTS)["w"], load_latents(inverted, tiny_gan).w)
    assert load_latents(inverted, tiny_gan).generator == generator_fingerprint(tiny_gan)


@pytest.mark.parametrize("missing", ["w", "l2", None])
def test_a_damaged_block_is_named(missing: str | None, tmp_path: Path) -> None:
    path, whole = tmp_path / "0000000.safetensors", {"w": torch.zeros(3, 2, 4), "l2": torch.zeros(3)}
    shapes = {name: tuple(tensor.shape) for name, tensor in whole.items()}
    write_tensors(path, whole)
    assert module.read_block(path, shapes).keys() == whole.keys()
    write_tensors(path, {name: tensor for name, tensor in whole.items() if name != missing})
    if missing is None:
        path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"0000000\.safetensors is damaged .*; remove it and run the same"):
        module.read_block(path, shapes)


@pytest.mark.parametrize("other", [torch.zeros(2, 2, 4), torch.zeros(3, 2, 4, dtype=torch.float64)])
def test_a_block_of_other_pictures_or_numbers_is_named(other: torch.Tensor, tmp_path: Path) -> None:
    write_tensors(tmp_path / "0000000.safetensors", {"w": other})
    with pytest.raises(UserError, match="is damaged"):
        module.read_block(tmp_path / "0000000.safetensors", {"w": (3, 2, 4)})
