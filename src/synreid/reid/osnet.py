"""OSNet: omni-scale feature learning, a small backbone made for re-ID, and its weights out of an ONNX file.

Zhou et al. 2019, "Omni-Scale Feature Learning for Person Re-Identification" (arXiv 1905.00953), written from the
paper. Parameters have the names of the authors' program (torchreid), so that its published weights fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from synreid.stage.errors import UserError

WIDTHS = {"osnet_x1_0": 1.0, "osnet_x0_75": 0.75, "osnet_x0_5": 0.5, "osnet_x0_25": 0.25}
"""Width multipliers by the backbones' names (table 1 and section 4.2)."""
CHANNELS = (64, 256, 384, 512)  # of the stem and of the three stages at width 1
FEATURES = 512
STREAMS = 4  # of a block: T in equation 2, receptive fields of 3, 5, 7 and 9
GATE_REDUCTION = 16
EPS = 1e-5  # of batch norms


class OSNet(nn.Module):
    """Stem, three stages of two omni-scale blocks each, pooling, and a linear layer with batch norm to 512 features."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        stem, *stages = (int(channels * width) for channels in CHANNELS)
        self.conv1 = conv_norm(3, stem, 7, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Sequential(*_blocks(stem, stages[0]), _halve(stages[0]))
        self.conv3 = nn.Sequential(*_blocks(stages[0], stages[1]), _halve(stages[1]))
        self.conv4 = nn.Sequential(*_blocks(stages[1], stages[2]))
        self.conv5 = conv_norm(stages[2], stages[2], 1)
        self.global_pool: nn.Module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Sequential(nn.Linear(stages[2], FEATURES), nn.BatchNorm1d(FEATURES), nn.ReLU())
        self.folded = False
        """Whether batch norms do nothing, since the weights came with them folded into the convolutions."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return features [N, 512] of normalised pictures [N, 3, H, W]."""
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.conv4(self.conv3(self.conv2(x))))
        features: Tensor = self.fc(self.global_pool(x))
        return features


class OmniScaleBlock(nn.Module):
    """Bottleneck with streams of growing receptive field, added under one gate (equations 2 and 3, figure 4b)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // 4
        self.conv1 = conv_norm(inputs, middle, 1)
        self.conv2a = LiteConv(middle)
        self.conv2b, self.conv2c, self.conv2d = (
            nn.Sequential(*(LiteConv(middle) for _ in range(depth))) for depth in range(2, STREAMS + 1)
        )
        self.gate = Gate(middle)
        self.conv3 = conv_norm(middle, outputs, 1, relu=False)
        self.downsample = conv_norm(inputs, outputs, 1, relu=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return maps [N, C', H, W] of maps [N, C, H, W]."""
        small = self.conv1(x)
        streams = [self.gate(stream(small)) for stream in (self.conv2a, self.conv2b, self.conv2c, self.conv2d)]
        return torch.relu(self.conv3(sum(streams)) + self.downsample(x))


class LiteConv(nn.Module):
    """Factorised 3x3 convolution: pointwise, then depthwise, batch norm and ReLU (section 3.1, figure 3b)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the same shape, [N, C, H, W]."""
        return torch.relu(self.bn(self.conv2(self.conv1(x))))


class Gate(nn.Module):
    """Unified aggregation gate: weights in 0 to 1 for each channel, shared by the streams (section 3.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // GATE_REDUCTION)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps [N, C, H, W] times their gates."""
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Return convolution without bias, batch norm and, by default, ReLU."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv"] = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    layers["bn"] = nn.BatchNorm2d(outputs, eps=EPS)
    if relu:
        layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)


def _blocks(inputs: int, outputs: int) -> tuple[OmniScaleBlock, OmniScaleBlock]:
    return OmniScaleBlock(inputs, outputs), OmniScaleBlock(outputs, outputs)


def _halve(channels: int) -> nn.Sequential:
    return nn.Sequential(conv_norm(channels, channels, 1), nn.AvgPool2d(2, stride=2))


@torch.no_grad()
def load_onnx(network: OSNet, path: Path) -> None:
    """Load the weights of an OSNet that torchreid exported to ONNX, which folds most batch norms into convolutions.

    Those become a scale of 1 and the folded bias: the network answers as the file does in evaluation, and `unfold`
    makes it trainable. Raises UserError where the file holds another network, or without the package onnx.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError(f"{path} is read by the package onnx, which is not installed: pip install onnx.") from error
    try:
        graph = onnx.load(path).graph
        held = {entry.name: torch.tensor(onnx.numpy_helper.to_array(entry)) for entry in graph.initializer}
        state = network.state_dict()
        found = {name: value for name, value in held.items() if name in state}
        folded = _folded(network)
        for node in graph.node:
            if node.op_type == "Conv" and node.input[1] not in state:
                conv, norm = next(folded)
                found[f"{conv}.weight"], found[f"{norm}.bias"] = (held[name] for name in node.input[1:3])
                found |= _identity(norm, len(held[node.input[2]]))
        missing = {name for name in state if not name.endswith("num_batches_tracked")} - set(found)
        if missing or next(folded, None) is not None:
            raise ValueError(f"{len(missing)} weights are missing")
        network.load_state_dict(found, strict=False)
    except Exception as error:  # protobuf, a short iterator and torch's shapes raise kinds of their own
        raise UserError(
            f"{path} does not hold the weights of this OSNet ({type(error).__name__}); choose the width that the file "
            "was exported from, and a file that torchreid's network was exported to."
        ) from error
    network.folded = True


def _folded(network: OSNet) -> Iterator[tuple[str, str]]:
    """Yield the names of each convolution that a batch norm follows and of the norm, in the order they are run."""
    names = dict(network.named_modules())
    for name in names:
        if name.endswith("bn"):
            stem = name.removesuffix("bn")
            yield (f"{stem}conv" if f"{stem}conv" in names else f"{stem}conv2"), name


def _identity(norm: str, channels: int) -> dict[str, Tensor]:
    return {
        f"{norm}.weight": torch.ones(channels),
        f"{norm}.running_mean": torch.zeros(channels),
        f"{norm}.running_var": torch.full((channels,), 1 - EPS),
    }


@torch.no_grad()
def unfold(network: OSNet, pictures: Tensor) -> None:
    """Give folded batch norms the mean and variance of `pictures` [N, 3, H, W], without changing what they answer.

    In training a batch norm takes out mean and variance, which a folded one does not put back. So scale and bias become
    the deviation and the mean that its input has on these pictures.
    """

    def settle(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3), correction=0)
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)

    hooks = [
        module.register_forward_pre_hook(settle) for module in network.modules() if isinstance(module, nn.BatchNorm2d)
    ]
    was_training = network.training
    network.eval()(pictures)
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    network.folded = False
