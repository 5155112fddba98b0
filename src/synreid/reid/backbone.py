"""The re-ID network: a backbone, a neck whose output is the feature, and a classifier for training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
from torch import nn

from synreid.reid.nonlocal_blocks import insert_non_local_blocks
from synreid.reid.options import ReidOptions
from synreid.reid.osnet import WIDTHS, OSNet
from synreid.reid.seeds import HEAD, WEIGHTS, seed_torch
from synreid.reid.weights import load_pretrained
from synreid.stage.errors import UserError


class ReidNetwork(nn.Module):
    """Backbone, neck to the feature, dropout and Linear to the classes.

    The neck ends in a batch norm. It is called `bottleneck`, as the weights of earlier models have it.
    """

    def __init__(self, backbone: nn.Module, neck: nn.Sequential, classes: int, dropout: float, bias: bool) -> None:
        super().__init__()
        self.backbone, self.bottleneck = backbone, neck
        self.dropout = nn.Dropout(dropout)
        # last, since how much it draws depends on the classes
        self.classifier = nn.Linear(self.embedding, classes, bias=bias)
        nn.init.normal_(self.classifier.weight, std=0.001)
        if bias:
            nn.init.zeros_(self.classifier.bias)

    @property
    def embedding(self) -> int:
        """Size of the feature."""
        norm = self.bottleneck[-1]
        assert isinstance(norm, nn.BatchNorm1d)
        return norm.num_features

    def embed(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return features [B, D] of normalised pictures [B, 3, H, W]; raw, not of unit length."""
        features: torch.Tensor = self.bottleneck(self.backbone(pictures))
        return features

    def answers(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what training learns from: features before the neck's batch norm [B, D], and logits [B, C]."""
        before = self.bottleneck[:-1](self.backbone(pictures))
        return before, self.classifier(self.dropout(self.bottleneck[-1](before)))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits [B, C] of normalised pictures [B, 3, H, W]."""
        return self.answers(pictures)[1]


class GeneralisedMean(nn.Module):
    """Pooling by (mean of x^p)^(1/p), p learned from 3 on (Radenovic et al. 2018, equation 3, arXiv 1711.02512)."""

    def __init__(self, power: float = 3.0, least: float = 1e-6) -> None:
        super().__init__()
        self.power, self.least = nn.Parameter(torch.tensor([power])), least

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [N, C] of maps [N, C, H, W], whose values below `least` count as that."""
        return x.float().clamp(min=self.least).pow(self.power).mean((2, 3)).pow(1 / self.power)


def bottleneck(width: int, embedding: int) -> nn.Sequential:
    """Return Linear and batch norm: the head of layumi (Person_reID_baseline_pytorch, `ClassBlock`) and the thesis."""
    linear, norm = nn.Linear(width, embedding), nn.BatchNorm1d(embedding)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out")
    nn.init.zeros_(linear.bias)
    nn.init.normal_(norm.weight, 1.0, 0.02)
    return nn.Sequential(linear, norm)


def bnneck(width: int) -> nn.Sequential:
    """Return batch norm whose bias stays 0 (Luo et al. 2019, section 3.5, arXiv 1903.07071)."""
    norm = nn.BatchNorm1d(width)
    norm.bias.requires_grad_(False)
    return nn.Sequential(norm)


def build(options: ReidOptions, classes: int, weights: bool = True) -> ReidNetwork:
    """Return the network for `classes` classes, initialised from `options.seed`.

    Backbone and neck are drawn before the classifier, so arms with more classes start from the same ones.
    `weights=False` leaves pretrained weights out, for a network whose weights are about to be loaded.
    Raises UserError for an unknown backbone, one that has no such stride, blocks or pooling, a size it cannot take, or
    weights that cannot be had.
    """
    with torch.random.fork_rng(devices=[]):
        seed_torch(options.seed, WEIGHTS)
        wanted = options.pretrained if weights else None
        backbone = _backbone(options, download=wanted == "timm")
        if wanted not in (None, "timm"):
            load_pretrained(backbone, options)
        if options.last_stride == 1:
            _keep_last_maps(backbone, options)
        if options.non_local:
            insert_non_local_blocks(backbone, options)
        if options.pooling == "gem":
            _pool_by_generalised_mean(backbone, options)
        width = _output_width(backbone, options)
        _thin_maps_in_float32(backbone, options)
        seed_torch(options.seed, HEAD)  # its own, so that it is the same whether the backbone drew or loaded weights
        plain = options.neck == "bottleneck"
        neck = bottleneck(width, options.embedding) if plain else bnneck(width)
        return ReidNetwork(backbone, neck, classes, options.dropout, bias=plain)


def _backbone(options: ReidOptions, download: bool) -> Any:
    if options.backbone not in WIDTHS:
        return _timm_backbone(options, download)
    if download:
        raise UserError(
            f"pretrained is 'timm', but timm has no {options.backbone}; give a file of torchreid's weights, or "
            "'msmt17' with osnet_x0_25."
        )
    return OSNet(WIDTHS[options.backbone])


def _keep_last_maps(backbone: nn.Module, options: ReidOptions) -> None:
    """Take the halving out of a ResNet's last stage (Luo et al. 2019, section 3.4); OSNet's has none."""
    if isinstance(backbone, OSNet):
        return
    stage = getattr(backbone, "layer4", None)
    leaves = [part for part in stage.modules() if not list(part.children())] if stage is not None else []
    halving = [part for part in leaves if getattr(part, "stride", 1) in (2, (2, 2))]
    if not halving or not all(isinstance(part, nn.Conv2d) for part in halving):
        raise UserError(
            f"re-ID option last_stride is 1, but {options.backbone} is not a plain ResNet, whose last stage halves its "
            "maps by convolutions; leave it out (null), or choose such a backbone."
        )
    for conv in halving:
        conv.stride = (1, 1)


def _pool_by_generalised_mean(backbone: nn.Module, options: ReidOptions) -> None:
    if not isinstance(getattr(backbone, "global_pool", None), nn.Module):
        raise UserError(
            f"re-ID option pooling is 'gem', but {options.backbone} does not pool its last maps; choose average, or a "
            "convolutional backbone such as a ResNet."
        )
    backbone.global_pool = GeneralisedMean()


def _timm_backbone(options: ReidOptions, download: bool) -> Any:
    if not timm.is_model(options.backbone):
        close = timm.list_models(f"*{options.backbone.rstrip('0123456789')}*")[:5] or ["resnet18", *WIDTHS]
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
            raise UserError(
                f"backbone {options.backbone} cannot be built at {options.height}x{options.width} ({error}); choose "
                "another name or size."
            ) from error
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
            f"backbone {options.backbone} cannot take pictures of {options.height}x{options.width}, pooling "
            f"{options.pooling} ({error}); "
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
