"""What can be asked of a generator's training and of making persons with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from synreid.stage.errors import UserError

MOST_IMAGES = 10_000  # a person's further pictures take seeds from a block of their own, this long


@dataclass(frozen=True)
class GanOptions:
    """Options of adversarial training, in the units that the StyleGAN papers use."""

    network: Literal["stylegan2", "stylegan3-t", "stylegan3-r"] = "stylegan2"
    """Generator: StyleGAN2, or StyleGAN3 in configuration T (translation) or R (rotation, too)."""
    height: int = 64
    """Height of the made pictures, in pixels."""
    width: int = 32
    """Width of the made pictures, in pixels."""
    kimg: float = 200.0
    """How long to train: thousands of real pictures shown to the discriminator."""
    batch: int = 32
    """Pictures a step."""
    gamma: float = 2.0
    """Weight of the R1 penalty; larger pictures want more (tried: 2 at 64x32, 0.1 at 16x8 and 32x16)."""
    lr_g: float = 2.5e-3
    """Learning rate of the generator (Adam, betas 0 and 0.99)."""
    lr_d: float = 2.5e-3
    """Learning rate of the discriminator (Adam, betas 0 and 0.99)."""
    vision_aid: float = 0.5
    """Weight of the vision-aided discriminator in the generator's loss: it judges by EfficientNet-Lite0's features, and
    begins anew with every training, also from `start`. 0 leaves it out; a step is then quicker."""
    lr_vision_aid: float = 5e-4
    """Learning rate of the vision-aided discriminator (Adam, betas 0 and 0.99)."""
    r1_every: int = 16
    """Steps between two R1 penalties (lazy regularisation)."""
    mixing: float = 0.9
    """Probability that a training picture mixes two styles (style-mixing regularisation)."""
    ema_kimg: float = 4.0
    """Half-life of the generator's moving average, in thousands of pictures."""
    ema_rampup: float = 0.2
    """The half-life is at most this share of the pictures shown so far; not where training goes on from `start`."""
    ada_target: float = 0.6
    """Share of real pictures that the discriminator should score above zero; 0 leaves augmentation fixed at `ada_p`."""
    ada_p: float = 0.0
    """Augmentation probability to start with (0 to 1)."""
    ada_kimg: float = 50.0
    """Thousands of pictures that the augmentation probability takes to go from 0 to 1."""
    mirror: bool = True
    """Show every real picture mirrored half of the time."""
    w_dim: int = 128
    """Size of z and of a style."""
    mapping_layers: int = 4
    """Fully connected layers between z and style."""
    channels: int = 128
    """Channels of the coarsest layers."""
    channels_base: int = 1024
    """A layer has at most this many channels times pixels of height: `min(channels, 2 * channels_base / height)`."""
    noise: bool = False
    """Add noise in every layer, as the paper does. Short trainings are better without: the last layer's noise grows
    within the first 300 steps to grain that hides the persons."""
    start: str | None = None
    """Generator to go on from: `street` (shipped, made from no real person) or the folder of another run, of this size
    or a half, a quarter ... of it."""
    grow: tuple[float, ...] = ()
    """Progressive growing: thousands of pictures to train at ... a quarter and a half of the size first, for example
    `[100, 80]`; coarse sizes are quick and settle outlines and variety. There `gamma` shrinks with the pixels, and
    neither `vision_aid` nor `measure` applies. Not done when `start` is given."""
    snap: float = 20.0
    """Thousands of pictures between two snapshots: a grid of samples and a measurement."""
    measure: int = 1000
    """Made pictures to measure each snapshot with; 0 measures nothing."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Number format of convolutions; auto takes bfloat16 where the device computes in it."""
    device: str = "auto"
    """Device such as `cpu` or `cuda`; auto takes a GPU if there is one."""
    seed: int = 0
    """Seed of weights, order, latents and augmentation."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that cannot be trained with."""
        for name in (
            "kimg",
            "batch",
            "r1_every",
            "ada_kimg",
            "snap",
            "lr_g",
            "lr_d",
            "lr_vision_aid",
            "w_dim",
            "mapping_layers",
        ):
            if not getattr(self, name) > 0:
                raise UserError(f"generator option {name} is {getattr(self, name)}, but must be above 0; correct it.")
        for name, high in (("ada_p", 1.0), ("mixing", 1.0), ("ada_target", 1.0)):
            if not 0 <= getattr(self, name) <= high:
                raise UserError(f"generator option {name} is {getattr(self, name)}, but must lie in 0 to {high:g}.")
        if min(self.seed, self.gamma, self.measure, self.vision_aid) < 0:
            raise UserError("generator options seed, gamma, measure and vision_aid must not be negative; correct them.")


@dataclass(frozen=True)
class PersonOptions:
    """How many artificial persons to make, and how their pictures differ."""

    persons: int = 100
    """Number of persons who do not exist."""
    images: int = 10
    """Pictures of each, the first (person k from seed k) included."""
    vary: Literal["mix", "interpolate"] = "mix"
    """Further pictures by style mixing (layers `layers` come from another seed) or by interpolation in those layers."""
    layers: str = "coarse"
    """Layers that change: `coarse`, `medium`, `fine`, or a range such as `0-3`."""
    strength: float = 0.5
    """With `interpolate`: how far towards the other seed's styles, 0 to 1."""
    truncation: float = 1.0
    """Truncation psi: 1 is the whole variety, less is closer to the mean person."""
    first_seed: int = 0
    """Seed of the first person."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that nothing can be made with."""
        for name, low, high in (("persons", 1, 99_999), ("images", 1, MOST_IMAGES), ("first_seed", 0, 99_999)):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} is {getattr(self, name)}, but must lie in {low} to {high}; correct it.")
        if not 0 <= self.strength <= 1:
            raise UserError(f"strength is {self.strength}, but must lie in 0 to 1; correct it.")


PERSON_PRESETS: dict[str, dict[str, Any]] = {
    "thesis": {"persons": 401, "images": 51, "vary": "mix", "layers": "coarse"},
}
