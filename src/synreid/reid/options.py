"""Options of re-ID training; light to import, since the command line reads them for `--help`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from synreid.stage.errors import UserError


@dataclass(frozen=True)
class ReidOptions:
    """How a re-ID model is trained. Together with the pictures and the label strategy it decides the result."""

    backbone: str = "resnet18"
    """Name of a timm network; its pooled output feeds the bottleneck."""

    pretrained: str | None = None
    """Weights that the backbone starts from: a .safetensors or .pth file, 'timm' for its download, null for random."""

    height: int = 96
    """Height in pixels of the pictures that the network sees."""

    width: int = 48
    """Width in pixels of the pictures that the network sees."""

    through: str | None = None
    """Resolution HxW, such as 64x32, that every picture passes through first, in training and test; null for none."""

    embedding: int = 512
    """Size of the bottleneck, which is the feature that ranking uses."""

    dropout: float = 0.5
    """Share of the bottleneck's outputs that is dropped before the classifier."""

    epochs: float = 40
    """Passes over all training pictures, real and made."""

    steps: int | None = None
    """Exact number of optimisation steps instead of epochs; the learning-rate schedule stretches alike."""

    batch: int = 32
    """Pictures in a batch."""

    lr: float = 0.05
    """Learning rate of the bottleneck and the classifier."""

    backbone_lr_factor: float | None = None
    """Learning rate of the backbone as a factor of lr; null for 0.1 with pretrained weights and 1 without."""

    step_at: float = 2 / 3
    """Part of the training after which every learning rate is multiplied by 0.1."""

    momentum: float = 0.9
    """Nesterov momentum of SGD."""

    weight_decay: float = 5e-4
    """Weight decay of SGD."""

    flip: bool = True
    """Mirror each training picture with probability one half."""

    crop_pad: int = 4
    """Pixels that a training picture is padded by on each side before it is cropped back at random; 0 for none."""

    pad_with: Literal["zero", "edge"] = "zero"
    """What the padding holds: black, or the picture's own edge pixels."""

    random_erasing: float = 0.0
    """Probability that a rectangle of a training picture is replaced by the mean colour (arXiv 1708.04896)."""

    colour_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation, each drawn for every training picture, such as
    0.3; 0 for none."""

    made_weight: float = 1.0
    """Weight of a made picture in the loss, whose mean goes over the whole batch; a real one's is 1. Without real
    pictures it does nothing, nor does made_start."""

    made_start: float | None = None
    """Part of the training before which made pictures have weight 0 (they are still in the batches); null for 0, and
    for 0.4 with labels mprl-dynamic-2."""

    made_ratio: float | None = None
    """Made pictures for each real one in every batch, such as 0.5 for one to two; null for batches as chance has them.
    The number of steps stays the same. Without made or without real pictures it does nothing."""

    flip_test: bool = True
    """Sum the features of a test picture and of its mirror image."""

    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the network; auto takes bf16 where the processor computes in it and fp32 elsewhere."""

    seed: int = 0
    """Sets the initial weights, the order of the pictures, their augmentation, dropout, and shuffled labels, and the
    clusters of labels slsr."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that cannot be trained with."""
        for name in ("height", "width", "embedding", "batch", "epochs", "lr"):
            if not getattr(self, name) > 0:
                raise UserError(f"re-ID option {name} is {getattr(self, name)}, but must be above 0; correct it.")
        if self.steps is not None and self.steps < 1:
            raise UserError(f"re-ID option steps is {self.steps}, but must be at least 1; correct it or leave it out.")
        for name in ("crop_pad", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"re-ID option {name} is {getattr(self, name)}, but must not be negative; correct it.")
        if self.backbone_lr_factor is not None and self.backbone_lr_factor < 0:
            raise UserError(
                f"re-ID option backbone_lr_factor is {self.backbone_lr_factor}, but must not be negative; correct it."
            )
        self._check_made()
        for name, high in (
            ("dropout", 0.99),
            ("momentum", 0.9999),
            ("random_erasing", 1.0),
            ("colour_jitter", 1.0),
            ("step_at", 1.0),
        ):
            if not 0 <= getattr(self, name) <= high:
                raise UserError(
                    f"re-ID option {name} is {getattr(self, name)}, but must lie in 0 to {high}; correct it."
                )
        for name, known in (("precision", ("auto", "bf16", "fp32")), ("pad_with", ("zero", "edge"))):
            if getattr(self, name) not in known:
                raise UserError(
                    f"re-ID option {name} is '{getattr(self, name)}', but must be one of: {', '.join(known)}."
                )
        if self.momentum == 0:
            raise UserError("re-ID option momentum is 0, but Nesterov momentum must be above 0; the thesis has 0.9.")
        if self.through is not None:
            parse_size(self.through)

    def _check_made(self) -> None:
        if not 0 <= self.made_weight < math.inf:
            raise UserError(f"re-ID option made_weight is {self.made_weight}, but must be 0 or above; correct it.")
        if self.made_start is not None and not 0 <= self.made_start <= 1:
            raise UserError(f"re-ID option made_start is {self.made_start}, but must lie in 0 to 1; correct it.")
        if self.made_ratio is None:
            return
        if not 0 < self.made_ratio < math.inf:
            raise UserError(
                f"re-ID option made_ratio is {self.made_ratio}, but must be above 0; correct it or leave it out."
            )
        if not 0 < made_in_batch(self.batch, self.made_ratio) < self.batch:
            raise UserError(
                f"re-ID option made_ratio is {self.made_ratio}, but a batch of {self.batch} must hold made and real "
                "pictures; choose a ratio nearer to 1, or a larger batch."
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that the network sees."""
        return self.height, self.width

    @property
    def through_size(self) -> tuple[int, int]:
        """Height and width that pictures are decoded to: that of `through`, or the network's own."""
        return parse_size(self.through) if self.through else self.size


def made_in_batch(batch: int, ratio: float) -> int:
    """Return how many of the `batch` pictures are made where there are `ratio` of them for each real one."""
    return round(batch * ratio / (1 + ratio))


def parse_size(text: str) -> tuple[int, int]:
    """Read 'HxW' as (height, width); raises UserError for anything else."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise UserError(f"size '{text}' is not of the form HxW, such as 64x32; correct it.")
    return int(match[1]), int(match[2])


PRESETS: dict[str, dict[str, Any]] = {
    "thesis": {
        "backbone": "resnet50",
        "pretrained": "timm",
        "height": 256,
        "width": 128,
        "embedding": 512,
        "dropout": 0.5,
        "epochs": 60,
        "batch": 16,
        "lr": 0.05,
        "backbone_lr_factor": 0.1,
        "step_at": 2 / 3,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "flip": True,
        "crop_pad": 10,
        "pad_with": "zero",
        "random_erasing": 0.0,
        "flip_test": True,
    },
}
"""Sets of options by name. `thesis`: the thesis's re-ID model, which is layumi's baseline at batch 16."""
