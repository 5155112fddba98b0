"""Options of re-ID training; light to import, since the command line reads them for `--help`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Any, Literal

from synreid.stage.errors import UserError


@dataclass(frozen=True)
class ReidOptions:
    """How a re-ID model is trained. Together with the pictures and the label strategy it decides the result."""

    backbone: str = "resnet18"
    """Name of a timm network, or osnet_x1_0, osnet_x0_75, osnet_x0_5 or osnet_x0_25 (arXiv 1905.00953); its pooled
    output feeds the neck."""

    pretrained: str | None = None
    """Weights that the backbone starts from: a .safetensors or .pth file (for OSNet also torchreid's, or an .onnx
    file), 'timm' for its download, 'imagenet' for the installed ones of tf_efficientnet_lite0, 'msmt17' for those of
    osnet_x0_25, null for random."""

    last_stride: Literal[1] | None = None
    """1 takes the last halving out of a ResNet, whose last maps are then twice as high and wide; null for none."""

    non_local: bool = False
    """Non-local attention blocks in a ResNet (arXiv 1711.07971), as AGW has them: one behind each of the last two
    residual blocks of the second stage, and of the last three of the third."""

    pooling: Literal["average", "gem"] = "average"
    """How maps become one feature: their average, or their generalised mean, whose power is learned (gem, arXiv
    1711.02512)."""

    neck: Literal["bottleneck", "bnneck"] = "bottleneck"
    """What stands between pooled maps and classifier: a linear layer and batch norm (bottleneck), or batch norm without
    bias alone (bnneck, arXiv 1903.07071). Ranking takes the feature behind it, losses on pairs the one before the
    batch norm."""

    height: int = 96
    """Height in pixels of the pictures that the network sees."""

    width: int = 48
    """Width in pixels of the pictures that the network sees."""

    through: str | None = None
    """Resolution HxW, such as 64x32, that every picture passes through first, in training and test; null for none."""

    embedding: int = 512
    """Size of the bottleneck, which is the feature that ranking uses; a bnneck's is the backbone's own."""

    dropout: float = 0.5
    """Share of the neck's outputs that is dropped before the classifier."""

    epochs: float = 40
    """Passes over all training pictures, real and made."""

    steps: int | None = None
    """Exact number of optimisation steps instead of epochs; the learning-rate schedule stretches alike."""

    batch: int = 32
    """Pictures in a batch."""

    pictures_each: int | None = None
    """Pictures of each person in a batch, of whom there are batch / pictures_each, each as often as the others in the
    long run; null for batches of shuffled pictures."""

    optimiser: Literal["sgd", "adam"] = "sgd"
    """SGD with Nesterov momentum, or Adam (betas 0.9 and 0.999)."""

    lr: float = 0.05
    """Learning rate of the neck and the classifier."""

    backbone_lr_factor: float | None = None
    """Learning rate of the backbone as a factor of lr; null for 0.1 with pretrained weights and 1 without."""

    warm_up: float = 0.0
    """Part of the training over which every learning rate grows linearly, from a hundredth to its own; 0 for none."""

    step_at: float | tuple[float, ...] = 2 / 3
    """Part of the training after which every learning rate is multiplied by 0.1; several, such as [0.3, 0.6], each
    multiply once more."""

    momentum: float = 0.9
    """Nesterov momentum of SGD."""

    weight_decay: float = 5e-4
    """Weight decay of SGD, or Adam's penalty on squared weights."""

    label_smoothing: float = 0.0
    """Share of every target, real or made, that is spread evenly over all classes (arXiv 1512.00567)."""

    triplet: float = 0.0
    """Weight of the triplet loss, which wants pictures_each; like the centre loss it sees pictures of one certain
    person alone, not those that labels spread over several or join to one class of made pictures. 0 for none."""

    triplet_kind: Literal["hard", "weighted"] = "hard"
    """Triplets of each picture's farthest positive and nearest negative in the batch (hard, arXiv 1703.07737), or of
    all of them weighted by distance, without a margin (weighted, arXiv 2001.04193)."""

    margin: float | None = 0.3
    """Margin of hard triplets, in distances of raw features; null for the soft margin log(1 + exp(x))."""

    centre: float = 0.0
    """Weight of the centre loss: squared distances to the mean of one's person, which is learned along; 0 for none."""

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
    """Weight of a made picture in the loss, whose mean goes over the whole batch; a real one's is 1. In the triplet
    loss it is that of triplets whose anchor is made; at 0 made pictures are in none. Without real pictures it does
    nothing, nor does made_start."""

    made_start: float | None = None
    """Part of the training before which made pictures have weight 0 (they are still in the batches); null for 0, and
    for 0.4 with labels mprl-dynamic-2."""

    made_ratio: float | None = None
    """Made pictures for each real one in every batch, such as 0.5 for one to two; null for batches as chance has them.
    The number of steps stays the same. Without made or without real pictures it does nothing. With pictures_each it
    holds for groups of that many pictures, each of one person's real or one person's made ones."""

    held_out: float = 0.0
    """Share of the real training pictures, at most one a person, that is not trained on: the curves then hold their
    loss and error, too. 0 for none."""

    flip_test: bool = True
    """Sum the features of a test picture and of its mirror image."""

    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the network; auto takes bf16 where the processor computes in it and fp32 elsewhere."""

    seed: int = 0
    """Sets the initial weights, the order of the pictures, their augmentation, dropout, and shuffled labels, and the
    clusters of labels slsr."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that cannot be trained with."""
        if isinstance(self.step_at, list):  # as JSON and YAML have it
            object.__setattr__(self, "step_at", tuple(self.step_at))
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"re-ID option {name} is {value}, but must be a number and finite; correct it.")
        for name in ("height", "width", "embedding", "epochs", "lr"):
            if not getattr(self, name) > 0:
                raise UserError(f"re-ID option {name} is {getattr(self, name)}, but must be above 0; correct it.")
        if self.batch < 2:
            raise UserError(
                f"re-ID option batch is {self.batch}, but batch norm takes two pictures or more; correct it."
            )
        if self.steps is not None and self.steps < 1:
            raise UserError(f"re-ID option steps is {self.steps}, but must be at least 1; correct it or leave it out.")
        for name in ("crop_pad", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"re-ID option {name} is {getattr(self, name)}, but must not be negative; correct it.")
        if self.backbone_lr_factor is not None and self.backbone_lr_factor < 0:
            raise UserError(
                f"re-ID option backbone_lr_factor is {self.backbone_lr_factor}, but must not be negative; correct it."
            )
        for name, high in (
            ("dropout", 0.99),
            ("momentum", 0.9999),
            ("random_erasing", 1.0),
            ("colour_jitter", 1.0),
            ("warm_up", 1.0),
            ("label_smoothing", 0.99),
            ("held_out", 0.9),
        ):
            if not 0 <= getattr(self, name) <= high:
                raise UserError(
                    f"re-ID option {name} is {getattr(self, name)}, but must lie in 0 to {high}; correct it."
                )
        if not all(0 <= place <= 1 for place in self.steps_at):
            raise UserError(f"re-ID option step_at is {self.step_at}, but must lie in 0 to 1; correct it.")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                shown = ", ".join("null" if value is None else str(value) for value in known)
                raise UserError(f"re-ID option {name} is '{getattr(self, name)}', but must be one of: {shown}.")
        self._check_metric()
        self._check_made()
        if self.momentum == 0:
            raise UserError("re-ID option momentum is 0, but Nesterov momentum must be above 0; the thesis has 0.9.")
        if self.through is not None:
            parse_size(self.through)

    def _check_metric(self) -> None:
        for name in ("triplet", "centre"):
            if getattr(self, name) < 0:
                raise UserError(f"re-ID option {name} is {getattr(self, name)}, but must be 0 or above; correct it.")
        if self.margin is not None and not self.margin > 0:
            raise UserError(f"re-ID option margin is {self.margin}, but must be above 0; null is the soft margin.")
        if self.triplet and self.pictures_each is None:
            raise UserError(
                f"re-ID option triplet is {self.triplet}, but shuffled batches hold hardly two pictures of one person; "
                "give pictures_each, such as 4."
            )
        if self.pictures_each is None:
            return
        if self.pictures_each < 2 or self.batch % self.pictures_each or self.batch < 2 * self.pictures_each:
            raise UserError(
                f"re-ID option pictures_each is {self.pictures_each}, but must be at least 2 and go into the batch of "
                f"{self.batch} twice or more without a rest; correct one of them."
            )

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
        groups = self.batch // (self.pictures_each or 1)
        if not 0 < made_in_batch(groups, self.made_ratio) < groups:
            unit = f"batch of {self.batch}" + (f" in groups of {self.pictures_each}" if self.pictures_each else "")
            raise UserError(
                f"re-ID option made_ratio is {self.made_ratio}, but a {unit} must hold made and real "
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

    @property
    def steps_at(self) -> tuple[float, ...]:
        """The parts of the training of `step_at`, be it one or several."""
        return self.step_at if isinstance(self.step_at, tuple) else (self.step_at,)

    @property
    def unnamed(self) -> tuple[str, ...]:
        """Options that came later than the stage's version and have their default, in `LATER`'s order.

        They do not name a training, so that a finished one of before they came is found again. A default of these may
        change with the stage's version only.
        """
        defaults = {field.name: field.default for field in fields(self)}
        return tuple(name for name in LATER if getattr(self, name) == defaults[name])


CHOICES: dict[str, tuple[Any, ...]] = {
    "precision": ("auto", "bf16", "fp32"),
    "pad_with": ("zero", "edge"),
    "last_stride": (1, None),
    "pooling": ("average", "gem"),
    "neck": ("bottleneck", "bnneck"),
    "optimiser": ("sgd", "adam"),
    "triplet_kind": ("hard", "weighted"),
}
"""Values of the options that have few."""
LATER = (
    "last_stride",
    "non_local",
    "pooling",
    "neck",
    "pictures_each",
    "optimiser",
    "warm_up",
    "label_smoothing",
    "triplet",
    "triplet_kind",
    "margin",
    "centre",
    "held_out",
)
"""Options that came after version 2 of the stage."""


def made_in_batch(batch: int, ratio: float) -> int:
    """Return how many of the `batch` pictures are made where there are `ratio` of them for each real one."""
    return round(batch * ratio / (1 + ratio))


def parse_size(text: str) -> tuple[int, int]:
    """Read 'HxW' as (height, width); raises UserError for anything else."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise UserError(f"size '{text}' is not of the form HxW, such as 64x32; correct it.")
    return int(match[1]), int(match[2])


RESNET50 = "resnet50.tv_in1k"  # torchvision's weights, which both baselines start from; timm's plain name has others
_STRONG: dict[str, Any] = {
    "backbone": RESNET50,
    "pretrained": "timm",
    "last_stride": 1,
    "neck": "bnneck",
    "height": 256,
    "width": 128,
    "dropout": 0.0,
    "epochs": 120,
    "batch": 64,
    "pictures_each": 4,
    "optimiser": "adam",
    "lr": 3.5e-4,
    "backbone_lr_factor": 1.0,
    "warm_up": 10 / 120,
    "step_at": (40 / 120, 70 / 120),
    "weight_decay": 5e-4,
    "label_smoothing": 0.1,
    "triplet": 1.0,
    "margin": 0.3,
    "centre": 5e-4,
    "flip": True,
    "crop_pad": 10,
    "pad_with": "zero",
    "random_erasing": 0.5,
    "flip_test": False,
}
PRESETS: dict[str, dict[str, Any]] = {
    "thesis": {
        "backbone": RESNET50,
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
    "strong": _STRONG,
    "agw": _STRONG | {"non_local": True, "pooling": "gem", "triplet_kind": "weighted"},
}
"""Sets of options by name. `thesis`: the thesis's re-ID model, which is layumi's baseline at batch 16. `strong`: the
bag of tricks of Luo et al. 2019 (arXiv 1903.07071) with the numbers of its released code (reid-strong-baseline), whose
warm-up moves by the epoch where this one moves by the step. `agw`: that of Ye et al. 2021 (arXiv 2001.04193), whose
released code (ReID-Survey) has the same numbers besides."""
