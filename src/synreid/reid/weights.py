"""Loads the weights that a backbone starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from synreid.reid.batches import MEAN, STD
from synreid.reid.options import ReidOptions
from synreid.reid.osnet import OSNet, load_onnx
from synreid.reid.pretrained import weights_file
from synreid.stage.errors import UserError
from synreid.stage.log import warn


def load_pretrained(backbone: nn.Module, options: ReidOptions) -> None:
    """Load the weights that `options.pretrained` names or is the file of; UserError where they cannot be had."""
    path = weights_file(options)
    if options.pretrained == "imagenet":
        _load_efficientnet(backbone)
    elif path.suffix == ".onnx":
        if not isinstance(backbone, OSNet):
            raise UserError(
                f"{path} is an ONNX file, which OSNet alone can start from; give a .safetensors or .pth file."
            )
        load_onnx(backbone, path)
    else:
        load_backbone_weights(backbone, path)


@torch.no_grad()
def _load_efficientnet(backbone: nn.Module) -> None:
    """Load ImageNet's weights of EfficientNet-Lite0, for pictures that are normalised as this room does it.

    The network was trained on (value - 127) / 128; scale and shift go into its first convolution and batch norm.
    """
    from synreid.features.embedders import efficientnet_lite0

    backbone.load_state_dict(efficientnet_lite0().state_dict())
    weight, norm = backbone.get_parameter("conv_stem.weight"), backbone.get_submodule("bn1")
    mean, deviation = torch.tensor(MEAN), torch.tensor(STD)
    norm.get_buffer("running_mean").sub_(torch.einsum("ochw,c->o", weight, (mean - 127) / 128))
    weight.mul_((deviation / 128)[:, None, None])


def load_backbone_weights(backbone: nn.Module, path: Path) -> None:
    """Load a state dictionary from a .safetensors or PyTorch file into `backbone`.

    Prefixes of common trainers (`module.`, `backbone.`, `model.`) are taken off; a classifier's own weights are left
    out. Raises UserError when the file is unsafe to read or holds another network.
    """
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the two formats raise kinds of their own; all mean the same to the user
        raise UserError(
            f"{path} is not a readable file of weights ({type(error).__name__}); give a state dictionary."
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__} in place of weights by name; give a state dictionary.")
    wanted = backbone.state_dict()
    found = {}
    for key, value in state.items():
        name = str(key)
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
