"""The re-ID network: a timm backbone, a bottleneck whose output is the feature, and a classifier for training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import nn

from synreid.reid.options import ReidOptions
from synreid.reid.seeds import HEAD, WEIGHTS, seed_torch
from synreid.stage.errors import UserError
from synreid.stage.log import warn


class ReidNetwork(nn.Module):
    """Backbone, Linear and batch norm to the feature, dropout and Linear to the classes.

    The head is layumi's (Person_reID_baseline_pytorch, `ClassBlock`), which the thesis uses.
    """

    def __init__(self, backbone: nn.Module, width: int, embedding: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        linear, norm = nn.Linear(width, embedding), nn.BatchNorm1d(embedding)
        nn.init.kaiming_normal_(linear.weight, mode="fan_out")
        nn.init.zeros_(linear.bias)
        nn.init.normal_(norm.weight, 1.0, 0.02)
        self.bottleneck = nn.Sequential(linear, norm)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(embedding, classes)  # last, since how much it draws depends on the classes
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)

    def embed(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return features [B, D] of normalised pictures [B, 3, H, W]; raw, not of unit length."""
        features: torch.Tensor = self.bottleneck(self.backbone(pictures))
        return features

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits [B, C] of normalised pictures [B, 3, H, W]."""
        logits: torch.Tensor = self.classifier(self.dropout(self.embed(pictures)))
        return logits


def build(options: ReidOptions, classes: int, weights: bool = True) -> ReidNetwork:
    """Return the network for `classes` classes, initialised from `options.seed`.

    Backbone and bottleneck are drawn before the classifier, so arms with more classes start from the same ones.
    `weights=False` leaves pretrained weights out, for a network whose weights are about to be loaded.
    Raises UserError for an unknown backbone, a size it cannot take, or weights that cannot be had.
    """
    with torch.random.fork_rng(devices=[]):
        seed_torch(options.seed, WEIGHTS)
        wanted = options.pretrained if weights else None
        backbone = _timm_backbone(options, download=wanted == "timm")
        if wanted not in (None, "timm"):
            load_backbone_weights(backbone, Path(wanted))
        width = _output_width(backbone, options)
        _thin_maps_in_float32(backbone, options)
        seed_torch(options.seed, HEAD)  # its own, so that it is the same whether the backbone drew or loaded weights
        return ReidNetwork(backbone, width, options.embedding, classes, options.dropout)


def _timm_backbone(options: ReidOptions, download: bool) -> Any:
    if not timm.is_model(options.backbone):
        close = timm.list_models(f"*{options.backbone.rstrip('0123456789')}*")[:5] or ["resnet18", "resnet50"]
        raise UserError(f"backbone '{options.backbone}' is not a timm network; similar names: {', '.join(close)}.")
    create = {"pretrained": download, "num_classes": 0}
    try:
        try:  # transformers are built for a size; convolutional networks do not know the argument
            return timm.create_model(options.backbone, img_size=options.size, **create)
        except TypeError:
            seed_torch(options.seed, WEIGHTS)
            return timm.create_model(options.backbone, **create)
    except Exception as error:  # the download's library raises OSError, RuntimeError and its own kinds
        if not download:
            raise
        raise UserError(
            f"the pretrained weights of {options.backbone} could not be downloaded ({type(error).__name__}); connect "
            "to the network, or download them elsewhere and give the file as 'pretrained', or start from random ones."
        ) from error


@torch.no_grad()
def _output_width(backbone: nn.Module, options: ReidOptions) -> int:
    was_training = backbone.training
    try:
        output = backbone.eval()(torch.zeros(1, 3, *options.size))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UserError(
            f"backbone {options.backbone} cannot take pictures of {options.height}x{options.width} ({error}); "
            "choose another size or network."
        ) from error
    backbone.train(was_training)
    return int(output.shape[1])


@torch.no_grad()
def _thin_maps_in_float32(backbone: nn.Module, options: ReidOptions) -> None:
    """Keep convolutions out of bfloat16 whose maps are one pixel high or wide, such as ResNet's last ones at 64x32.

    On CPUs oneDNN reads memory there that nobody wrote, so that outputs and gradients are now and then not numbers.
    """
    thin = []

    def look(conv: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if 1 in (*inputs[0].shape[2:], *output.shape[2:]):
            thin.append(conv)

    hooks = [module.register_forward_hook(look) for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    was_training = backbone.training
    backbone.eval()(torch.zeros(1, 3, *options.size))
    backbone.train(was_training)
    for hook in hooks:
        hook.remove()
    for conv in thin:
        conv.forward = partial(_in_float32, conv.forward)  # type: ignore[method-assign]


def _in_float32(forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())


def load_backbone_weights(backbone: nn.Module, path: Path) -> None:
    """Load a state dictionary from a .safetensors or PyTorch file into `backbone`.

    Prefixes of common trainers (`module.`, `backbone.`, `model.`) are taken off; a classifier's own weights are left
    out. Raises UserError when the file is missing, unsafe to read, or holds another network.
    """
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{path}, the backbone's pretrained weights, does not exist; check the name.") from error
    except Exception as error:  # the two formats raise kinds of their own; all mean the same to the user
        raise UserError(
            f"{path} is not a readable file of weights ({type(error).__name__}); give a state dictionary."
        ) from error
    state = state.get("state_dict", state)
    wanted = backbone.state_dict()
    found = {}
    for key, value in state.items():
        name = key
        for prefix in ("module.", "model.", "backbone."):
            name = name.removeprefix(prefix)
        if name in wanted and wanted[name].shape == getattr(value, "shape", None):
            found[name] = value
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    if missing:
        raise UserError(
            f"{path} does not hold the weights of this backbone: {len(missing)} of {len(wanted)} are missing or of "
            f"another shape (the first is {missing[0]}); choose the backbone that the file was saved from."
        )
    backbone.load_state_dict(found, strict=False)
    if left := len(state) - len(found):
        warn(f"{left} entries of {path.name} are not part of the backbone and were left out (a classifier, usually).")
