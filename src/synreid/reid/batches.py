"""Training pictures in memory, and batches of them augmented in one go on the device that the network runs on."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch.nn import functional

from synreid.reid.options import ReidOptions
from synreid.reid.sampler import Sampler, ShuffledPasses
from synreid.reid.seeds import AUGMENT, JITTER, generator

# of ImageNet, in units of 0 to 255, as every pretrained backbone expects
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
GREY = (0.299, 0.587, 0.114)


class PixelBatches:
    """All training pictures as one uint8 tensor [N, H, W, 3], cut into augmented batches.

    What a batch holds depends on (seed, step) alone, so that resuming needs no state of a random generator. `sampler`
    chooses its pictures; left out, they come in shuffled passes.
    """

    def __init__(
        self, pictures: torch.Tensor, options: ReidOptions, device: torch.device, sampler: Sampler | None = None
    ) -> None:
        self.pictures, self.options = pictures.to(device), options
        self.sampler = sampler or ShuffledPasses(options, len(pictures))

    def __len__(self) -> int:
        return len(self.pictures)

    def rows(self, step: int) -> torch.Tensor:
        """Return which pictures step `step` sees, int64 [B]."""
        return self.sampler.rows(step)

    def batch(self, rows: torch.Tensor, step: int) -> torch.Tensor:
        """Return pictures `rows` augmented and normalised, float32 [B, 3, H, W], channels last in memory."""
        device = self.pictures.device
        chosen = self.pictures[rows.to(device)]
        if self.options.colour_jitter:
            chosen = jitter(chosen, generator(self.options.seed, JITTER, step), self.options.colour_jitter)
        chosen = normalise(chosen)
        draw = generator(self.options.seed, AUGMENT, step)
        if self.options.flip or self.options.crop_pad:
            chosen = flip_and_crop(chosen, draw, self.options)
        if self.options.random_erasing:
            chosen = erase(chosen, draw, self.options.random_erasing)
        return chosen.contiguous(memory_format=torch.channels_last)


def normalise(pictures: torch.Tensor) -> torch.Tensor:
    """Turn [B, H, W, 3] in 0 to 255 into [B, 3, H, W] of ImageNet's mean and deviation, channels last in memory."""
    mean, scale = _statistics(pictures.device)
    return ((pictures.to(torch.float32) - mean) * scale).permute(0, 3, 1, 2)


@cache
def _statistics(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(MEAN, device=device), 1 / torch.tensor(STD, device=device)


def flip_and_crop(pictures: torch.Tensor, draw: np.random.Generator, options: ReidOptions) -> torch.Tensor:
    """Mirror each picture [B, 3, H, W] at random and move it by up to `crop_pad` whole pixels each way.

    Moving by d is what padding and cropping back at random does. Both are one nearest-neighbour look-up for the whole
    batch, and exact: targets of whole pixels hit the middle of source pixels.
    """
    count, _, height, width = pictures.shape
    pad = options.crop_pad
    mirror = np.where(draw.random(count) < 0.5, -1.0, 1.0) if options.flip else np.ones(count)
    move = draw.integers(-pad, pad + 1, size=(count, 2))
    matrix = np.zeros((count, 2, 3), dtype=np.float32)
    matrix[:, 0, 0], matrix[:, 1, 1] = mirror, 1.0
    matrix[:, :, 2] = 2 * move / (width, height)
    affine = torch.from_numpy(matrix).to(pictures.device)
    grid = functional.affine_grid(affine, [count, 3, height, width], align_corners=False)
    if options.pad_with == "edge":
        return functional.grid_sample(pictures, grid, mode="nearest", padding_mode="border", align_corners=False)
    # zeros outside mean black, not the mean colour: look up the distance to black
    black = normalise(torch.zeros(1, 1, 1, 3, dtype=torch.uint8, device=pictures.device))
    return functional.grid_sample(pictures - black, grid, mode="nearest", align_corners=False) + black


def jitter(pictures: torch.Tensor, draw: np.random.Generator, strength: float) -> torch.Tensor:
    """Change brightness, contrast and saturation of each picture, uint8 [B, H, W, 3]; return float32 in 0 to 255.

    Each is a factor in 1 - strength to 1 + strength, applied in this order: to the values, to their distance from the
    picture's mean grey level, and to their distance from their own grey level (weights of ITU-R BT.601).
    """
    factors = draw.uniform(1 - strength, 1 + strength, size=(3, len(pictures), 1, 1, 1)).astype(np.float32)
    brightness, contrast, saturation = torch.from_numpy(factors).to(pictures.device)
    weights = torch.tensor(GREY, device=pictures.device)
    out = (pictures.to(torch.float32) * brightness).clamp(0, 255)
    mean = (out @ weights).mean(dim=(1, 2))[:, None, None, None]
    out = mean.lerp(out, contrast).clamp(0, 255)
    return (out @ weights)[..., None].lerp(out, saturation).clamp(0, 255)


def erase(pictures: torch.Tensor, draw: np.random.Generator, probability: float) -> torch.Tensor:
    """Replace one rectangle in each picture [B, 3, H, W] by the mean colour, with `probability`.

    Area 2 to 40 % of the picture and aspect 0.3 to 3.3 as in arXiv 1708.04896; of ten drawn rectangles the first that
    fits is taken, and a picture for which none fits is left as it is.
    """
    count, _, height, width = pictures.shape
    area = draw.uniform(0.02, 0.4, size=(10, count)) * height * width
    aspect = draw.uniform(0.3, 1 / 0.3, size=(10, count))
    tall, wide = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (tall < height) & (wide < width)
    first = fits.argmax(axis=0), np.arange(count)
    chosen = fits.any(axis=0) & (draw.random(count) < probability)
    tall, wide = tall[first], wide[first]
    top, left = (np.floor(draw.random(count) * (room + 1)) for room in (height - tall, width - wide))
    inside_y = _between(top, np.where(chosen, tall, 0), height, pictures.device)
    inside_x = _between(left, wide, width, pictures.device)
    return pictures.masked_fill((inside_y[:, :, None] & inside_x[:, None, :])[:, None], 0.0)


def _between(start: np.ndarray, length: np.ndarray, size: int, device: torch.device) -> torch.Tensor:
    place = np.arange(size)[None]
    return torch.from_numpy((place >= start[:, None]) & (place < (start + length)[:, None])).to(device)
