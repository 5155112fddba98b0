"""What can be asked of an encoder's training, of refinement, and of variations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from synreid.generate.options import check_seed
from synreid.stage.errors import UserError


@dataclass(frozen=True)
class EncoderOptions:
    """Options of the training of an encoder, in the names of pSp (Richardson et al. 2021) and ReStyle (Alaluf 2021)."""

    steps: int = 1500
    """Optimisation steps."""
    batch: int = 16
    """Pictures that are worked through at a time."""
    accumulate: int = 1
    """Batches whose gradients are summed up for one step. No norm looks at more than one picture, so a batch of 8 gives
    the step that 4 batches of 2 give, in a quarter of the calls: 1 is best unless the device's memory holds no more."""
    passes: int = 3
    """Passes of a picture and its current estimate through the encoder, each of which corrects the styles."""
    lr: float = 1e-3
    """Learning rate (Adam, betas 0.9 and 0.999)."""
    l2: float = 1.0
    """Weight of the mean squared difference of pixels (values -1 to 1)."""
    lpips: float = 0.8
    """Weight of the perceptual distance, on EfficientNet-Lite0's features; 0 leaves it out, and a step is quicker."""
    identity: float = 0.1
    """Weight of the identity loss, 1 - cosine of a re-ID model's features; 0 where no such model is given."""
    w_norm: float = 0.005
    """Weight of the mean squared distance of the styles from the mean latent."""
    channels: int = 32
    """Channels of the encoder's fine map; the middle one has twice, the coarse one four times as many."""
    validate: int = 256
    """Held-out pictures that a snapshot measures, at most, spread evenly over the held-out persons."""
    snap: int = 250
    """Steps between two snapshots: losses on held-out persons, a sheet and a checkpoint."""
    mirror: bool = True
    """Show every training picture mirrored half of the time."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Number format of convolutions; auto takes bfloat16 where the device computes in it."""
    device: str = "auto"
    """Device such as `cpu` or `cuda`; auto takes a GPU if there is one."""
    seed: int = 0
    """Seed of weights, held-out persons, order and mirroring."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that cannot be trained with."""
        for name in ("steps", "batch", "accumulate", "passes", "lr", "channels", "validate", "snap"):
            if not getattr(self, name) > 0:
                raise UserError(f"encoder option {name} is {getattr(self, name)}, but must be above 0; correct it.")
        for name in ("l2", "lpips", "identity", "w_norm"):
            if not getattr(self, name) >= 0:
                raise UserError(
                    f"encoder option {name} is {getattr(self, name)}, but must not be negative; correct it."
                )
        check_seed("encoder option seed", self.seed)


@dataclass(frozen=True)
class RefineOptions:
    """How far styles, then weights, go to show real pictures."""

    steps: int = 100
    """Steps that each picture's styles are optimised for; 0 leaves them as the encoder found them."""
    lr: float = 0.1
    """Learning rate of the styles (Adam, betas 0.9 and 0.999), at the ramp's top."""
    w_keep: float = 0.01
    """Weight of the mean squared distance of a picture's styles from where they began: more keeps them editable, less
    shows the picture better."""
    tune_steps: int = 0
    """Steps that the generator's weights are then optimised for, for each person by itself (pivotal tuning); every step
    sees all pictures of the person. 0 leaves the generator as it is."""
    tune_lr: float = 1e-3
    """Learning rate of the weights (Adam, betas 0.9 and 0.999), at the ramp's top; the paper has 3e-4 and 350 steps."""
    locality: float = 0.1
    """Weight of the loss by which pictures near a person's own must look as before; 0 leaves it out."""
    locality_share: float = 0.5
    """How far those lie from a pivot on the way to a random style, 0 to 1. (The paper goes a fixed length, which
    depends on the scale of a generator's styles.)"""
    locality_pictures: int = 4
    """How many of those are drawn for a step (the paper: 1)."""
    batch: int = 16
    """Pictures that are worked through at a time. Where styles are refined the last batch is filled up to this size,
    since rounding depends on it: for a single picture 1 is quicker."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Number format of convolutions; auto takes bfloat16 where the device computes in it."""
    seed: int = 0
    """Seed of the styles that locality looks at."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that nothing can be refined with."""
        for name in ("lr", "tune_lr", "locality_pictures", "batch"):
            if not getattr(self, name) > 0:
                raise UserError(f"refinement option {name} is {getattr(self, name)}, but must be above 0; correct it.")
        for name in ("steps", "tune_steps", "w_keep", "locality"):
            if not getattr(self, name) >= 0:
                raise UserError(
                    f"refinement option {name} is {getattr(self, name)}, but must not be negative; correct it."
                )
        if not 0 <= self.locality_share <= 1:
            raise UserError(
                f"refinement option locality_share is {self.locality_share}, but must lie in 0 to 1; correct it."
            )
        check_seed("refinement option seed", self.seed)


ENCODER_PRESETS: dict[str, dict[str, Any]] = {
    # what the thesis leaves open is as the defaults are
    "thesis": {
        **{"batch": 2, "accumulate": 4, "passes": 3, "lr": 1e-4},
        **{"l2": 1.0, "lpips": 0.8, "identity": 0.1},
    },
}


Way = Literal["inversion", "mix", "between", "camera", "transfer", "sefa", "pca"]


@dataclass(frozen=True)
class VaryOptions:
    """How many variations of each real person to make, and how they differ from the person's own pictures."""

    images: int = 20
    """Variations of each person."""
    allow_fewer: bool = False
    """Whether a person whose pictures do not give so many that differ may have fewer; else that is an error."""
    ways: tuple[Way, ...] = ("mix", "between", "camera", "transfer", "sefa", "pca")
    """What is done with a picture's styles, in turn. `mix`: `layers` come from another person's picture. `between`: a
    point between two pictures of the person. `camera`: the mean difference between its camera and another is added.
    `transfer`: the difference between two pictures of another person is added. `sefa`, `pca`: a step along a direction
    found in the generator's weights, or in its styles. `inversion`: nothing, as a control."""
    layers: str = "coarse"
    """Layers that `mix`, `sefa` and `pca` change: `coarse`, `medium`, `fine`, or a range such as `0-3`; `gan layers`
    measures which ones hold what."""
    strength: float = 0.5
    """Factor of the difference that `transfer` adds."""
    step: float = 4.0
    """Largest step of `sefa` and `pca`, in standard deviations of the styles along the direction; half of it is the
    least."""
    detail: float = 0.0
    """Share of what inversion lost of the real picture (that picture less the generator's for its styles) that is added
    to the variation: 1 gives `inversion` the real picture back. It stays where it was, so where a way moves limbs or
    changes clothes the old ones shine through; `camera` moves least."""
    components: int = 8
    """Directions that `sefa` and `pca` draw from, the strongest ones."""
    seed: int = 0
    """Seed of all that is drawn."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that nothing can be varied with."""
        for name, low, high in (
            ("images", 1, 9_999),
            ("components", 1, 512),
            ("strength", 0.0, 10.0),
            ("detail", 0.0, 1.0),
            ("step", 0.0, 100.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} is {getattr(self, name)}, but must lie in {low} to {high}; correct it.")
        if not self.ways or len(set(self.ways)) < len(self.ways):
            raise UserError(f"ways {list(self.ways)} must be different ways to vary, at least one.")
        check_seed("seed", self.seed)
