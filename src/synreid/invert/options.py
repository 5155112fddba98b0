"""What can be asked of an encoder's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from synreid.stage.errors import UserError


@dataclass(frozen=True)
class EncoderOptions:
    """Options of the training of an encoder, in the names of pSp (Richardson et al. 2021) and ReStyle (Alaluf 2021)."""

    steps: int = 1500
    """Optimisation steps."""
    batch: int = 16
    """Pictures that are worked through at a time."""
    accumulate: int = 1
    """Batches whose gradients are summed up for one step."""
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
        for name in ("l2", "lpips", "identity", "w_norm", "seed"):
            if not getattr(self, name) >= 0:
                raise UserError(
                    f"encoder option {name} is {getattr(self, name)}, but must not be negative; correct it."
                )


ENCODER_PRESETS: dict[str, dict[str, Any]] = {
    # what the thesis leaves open is as the defaults are
    "thesis": {
        **{"batch": 2, "accumulate": 4, "passes": 3, "lr": 1e-4},
        **{"l2": 1.0, "lpips": 0.8, "identity": 0.1},
    },
}
