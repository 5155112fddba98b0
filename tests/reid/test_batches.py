from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import adjust_brightness, adjust_contrast, adjust_saturation

from synreid.reid.batches import MEAN, STD, PixelBatches, erase, flip_and_crop, jitter, normalise
from synreid.reid.options import ReidOptions
from synreid.reid.seeds import AUGMENT, JITTER, generator

OPTIONS = ReidOptions(height=12, width=8, crop_pad=3, batch=16)


def pictures(count=16, height=12, width=8):
    shape = (count, height, width, 3)
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("pad_with", ["zero", "edge"])
def test_flip_and_crop_is_pad_crop_and_flip_by_loops(pad_with):
    options = replace(OPTIONS, pad_with=pad_with)
    source = pictures()
    out = flip_and_crop(normalise(source), np.random.default_rng(5), options)
    draw = np.random.default_rng(5)
    mirrored, move = draw.random(16) < 0.5, draw.integers(-3, 4, size=(16, 2))
    assert mirrored.any() and not mirrored.all() and len(np.unique(move, axis=0)) > 5
    for k, picture in enumerate(source.numpy()):
        padded = np.pad(picture, ((3, 3), (3, 3), (0, 0)), mode="edge" if pad_with == "edge" else "constant")
        right, down = move[k]
        if mirrored[k]:  # the look-up mirrors about the middle first, then moves within the source
            padded = padded[:, ::-1]
            right = -right
        cut = padded[3 + down : 15 + down, 3 + right : 11 + right]
        expected = normalise(torch.from_numpy(cut.copy())[None])[0]
        torch.testing.assert_close(out[k], expected, atol=1e-5, rtol=0)


def test_normalise_is_imagenets():
    source = pictures(2)
    expected = (source.numpy() - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(normalise(source).permute(0, 2, 3, 1), expected, atol=1e-5)
    assert MEAN[0] / 255 == pytest.approx(0.485) and STD[2] / 255 == pytest.approx(0.225)


def test_a_batch_depends_on_seed_and_step_alone():
    options = replace(OPTIONS, random_erasing=0.5)
    first, second = (PixelBatches(pictures(), options, torch.device("cpu")) for _ in range(2))
    rows = first.rows(3)
    first.batch(rows, 1)  # what came before leaves no trace
    torch.testing.assert_close(first.batch(rows, 3), second.batch(rows, 3), rtol=0, atol=0)
    assert not torch.equal(first.batch(rows, 3), first.batch(rows, 4))
    assert first.batch(rows, 3).is_contiguous(memory_format=torch.channels_last)


def test_without_augmentation_the_batch_is_the_pictures():
    options = replace(OPTIONS, flip=False, crop_pad=0)
    batches = PixelBatches(pictures(), options, torch.device("cpu"))
    rows = torch.tensor([3, 1])
    torch.testing.assert_close(batches.batch(rows, 0), normalise(pictures()[rows]))


def test_jitter_is_torchvisions_picture_by_picture():
    source = pictures()
    factors = generator(4, JITTER, 2).uniform(0.7, 1.3, size=(3, 16))
    assert np.ptp(factors, axis=1).min() > 0.3
    out = jitter(source, generator(4, JITTER, 2), 0.3)
    for k, picture in enumerate(source.permute(0, 3, 1, 2) / 255):
        for change, factor in zip((adjust_brightness, adjust_contrast, adjust_saturation), factors[:, k], strict=True):
            picture = change(picture, factor)
        torch.testing.assert_close(out[k].permute(2, 0, 1) / 255, picture, rtol=0, atol=1e-3)


def test_jitter_is_drawn_apart_from_the_other_augmentation():
    options = replace(OPTIONS, random_erasing=0.5)
    plain, changed = (
        PixelBatches(pictures(), replace(options, colour_jitter=strength), torch.device("cpu"))
        for strength in (0.0, 1e-6)
    )
    rows = plain.rows(3)
    torch.testing.assert_close(plain.batch(rows, 3), changed.batch(rows, 3), rtol=0, atol=1e-3)
    strong = PixelBatches(pictures(), replace(options, colour_jitter=0.3), torch.device("cpu"))
    assert not torch.allclose(plain.batch(rows, 3), strong.batch(rows, 3), atol=0.1)


def test_erase_takes_one_rectangle_of_fair_size_and_leaves_the_rest():
    source = torch.rand(400, 3, 24, 12) + 1
    out = erase(source, generator(0, AUGMENT, 0), 0.5)
    shares = []
    for before, after in zip(source, out, strict=True):
        gone = (after == 0).all(dim=0)
        assert torch.equal(after[:, ~gone], before[:, ~gone])
        if gone.any():
            ys, xs = np.nonzero(gone.numpy())
            assert gone.sum() == (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
            shares.append(float(gone.float().mean()))
    assert 150 < len(shares) < 250
    assert min(shares) > 0.005 and max(shares) < 0.45
