"""The encoder: from a picture and its current estimate to a change of the generator's styles.

Richardson et al. 2021, "Encoding in Style: a StyleGAN Encoder for Image-to-Image Translation" (pSp), section 3: a
feature pyramid, and a small network for each style. Alaluf et al. 2021, "ReStyle", section 3: it starts at the mean
latent and corrects its own estimate pass after pass.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from synreid.generate.generator import Generator
from synreid.generate.persons import layer_group
from synreid.generate.place import generator_fingerprint
from synreid.invert.options import EncoderOptions
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import file_digest
from synreid.stage.tensors import DAMAGED, read_header, write_tensors

ENCODER = "encoder.safetensors"
HEADER = "encoder"  # key of the file's metadata
LEVELS = ("coarse", "medium", "fine")
SEEN_HEIGHT = 64  # taller pictures are halved before the pyramid, until they are about this high
SLOPE = 0.2  # of leaky ReLU
FIRST_STD = 1e-3  # of the last layers' weights before training, so that the first estimate is nearly the mean latent


class Encoder(nn.Module):
    """Finds styles for pictures of `height` x `width` pixels, one of size `w_dim` for each of `num_ws` layers.

    Coarse layers read the pyramid's coarse map, medium and fine ones the finer maps, split as `layers` of style mixing
    are. Normalisation looks at one picture only, so that a batch of two trains as a large one does.
    """

    def __init__(self, height: int, width: int, num_ws: int, w_dim: int, options: EncoderOptions) -> None:
        super().__init__()
        self.height, self.width, self.num_ws, self.w_dim = height, width, num_ws, w_dim
        self.options = options
        channels = [options.channels, 2 * options.channels, 4 * options.channels]  # of the fine, middle and coarse map
        self.stem, size = _stem(height, width, options.channels)
        self.stages = nn.ModuleList()
        self.joins = nn.ModuleList()
        sizes = []
        for before, after in zip([channels[0], *channels[:-1]], channels, strict=True):
            self.stages.append(nn.Sequential(_Residual(before, after, 2), _Residual(after, after, 1)))
            self.joins.append(_Conv(after, channels[1], 1))
            size = _halved(size)
            sizes.append(size)
        self.levels = [_level(layer, num_ws) for layer in range(num_ws)]
        self.heads = nn.ModuleList(_head(sizes[level], channels[1], w_dim) for level in self.levels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the change of the styles, float32 [N, num_ws, w_dim].

        `x` [N, 6, H, W] holds the picture and its current estimate, -1 to 1.
        """
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        maps: list[Tensor] = []
        for stage, join in zip(self.stages, self.joins, strict=True):
            x = stage(x)
            maps.append(join(x))
        for level in (1, 0):  # coarse maps flow into the finer ones
            above = F.interpolate(maps[level + 1], size=maps[level].shape[2:], mode="bilinear", align_corners=False)
            maps[level] = maps[level] + above
        return torch.stack([head(maps[i]) for head, i in zip(self.heads, self.levels, strict=True)], dim=1)

    @staticmethod
    @torch.no_grad()
    def start(generator: Generator, count: int) -> tuple[Tensor, Tensor]:
        """Return pass 0 for `count` pictures: the mean latent [N, num_ws, w_dim] and its picture [N, 3, H, W]."""
        w = mean_latent(generator)[None]
        made = generator.synthesize(w)
        return w.expand(count, -1, -1), made.expand(count, -1, -1, -1)

    def improve(self, generator: Generator, pictures: Tensor, w: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
        """Return better styles and their pictures, after one more pass on top of `w` and `made`.

        `pictures` and `made` are [N, 3, H, W], -1 to 1. Gradients reach the encoder by way of this pass only.
        """
        w = w.detach() + self(torch.cat([pictures, made.detach()], dim=1))
        return w, generator.synthesize(w)

    @torch.no_grad()
    def invert(self, generator: Generator, pictures: Tensor, passes: int) -> tuple[Tensor, Tensor]:
        """Return styles w [N, num_ws, w_dim] for `pictures` [N, 3, H, W] in -1 to 1, and what they make [N, 3, H, W].

        It begins at the mean latent and adds the encoder's change `passes` times. Raises ValueError for pictures of
        another size.
        """
        if pictures.shape[1:] != (3, self.height, self.width):
            raise ValueError(f"pictures are {tuple(pictures.shape[1:])}, but must be {(3, self.height, self.width)}")
        w, made = self.start(generator, len(pictures))
        for _ in range(passes):
            w, made = self.improve(generator, pictures, w, made)
        return w, made


def new_encoder(generator: Generator, options: EncoderOptions) -> Encoder:
    """Return an encoder for `generator` with random weights; raises UserError where the generator has no styles."""
    check_styles(generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return Encoder(generator.height, generator.width, generator.num_ws, generator.w_dim, options)


def check_styles(generator: Generator) -> None:
    """Raise UserError for a generator that takes one latent and has no layers of style, such as DCGAN's."""
    if generator.num_ws == 1:
        raise UserError(
            "this generator has no style layers (num_ws 1), which an encoder looks for; "
            "use one of cfg stylegan2, stylegan3-t or stylegan3-r."
        )


def mean_latent(generator: Generator) -> Tensor:
    """Return the mean latent, one style a layer, [num_ws, w_dim]."""
    mean: Tensor = generator.mapping.mean  # type: ignore[assignment]
    return mean[None].expand(generator.num_ws, -1)


def save_encoder(path: Path, encoder: Encoder, generator: str) -> None:
    """Write the encoder's weights, with its options and the fingerprint of its generator in the file's header."""
    sizes = {name: getattr(encoder, name) for name in ("height", "width", "num_ws", "w_dim")}
    wanted = {**sizes, "options": dataclasses.asdict(encoder.options), "generator": generator}
    write_tensors(path, encoder.state_dict(), HEADER, wanted)


def load_encoder(folder: Path, gan: Path) -> Encoder:
    """Return the encoder in `folder` in float32, for evaluation beside the generator in `gan`.

    `folder` may be the encoder's file, `gan` a snapshot's. Raises UserError for a missing or damaged file, and for
    another generator than the encoder was trained with.
    """
    path = _file(folder)
    try:
        found = read_header(path, HEADER)
        trained_with = found["generator"]
        sizes = {name: int(found[name]) for name in ("height", "width", "num_ws", "w_dim")}
        encoder = Encoder(**sizes, options=EncoderOptions(**found["options"]))
        encoder.load_state_dict(load_file(path))
    except DAMAGED as error:
        raise UserError(f"{path} is damaged or not an encoder of ours ({error}); train it again.") from error
    given = generator_fingerprint(gan)
    if trained_with != given:
        raise UserError(
            f"{path} was trained with generator {trained_with}, but {gan} is generator {given}; "
            "name its own generator, or train an encoder for this one."
        )
    return encoder.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def encoder_fingerprint(folder: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the encoder in `folder`, which may also be its file."""
    return file_digest(_file(folder))[:16]


def _file(folder: Path) -> Path:
    path = folder if folder.suffix == ".safetensors" else folder / ENCODER
    if not path.exists():
        raise UserError(f"{path} does not exist; name the folder of a finished encoder train run.")
    return path


class _Conv(nn.Conv2d):
    """A convolution, padded so that stride 1 keeps the size and stride 2 halves it, rounded up.

    Where a map is one pixel high or wide it computes in float32: in bfloat16 oneDNN's results on CPUs are then not the
    same twice, now and then not even numbers.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2)
        nn.init.kaiming_normal_(self.weight, a=SLOPE)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[2:]) > self.stride[0]:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class _Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, "Identity Mappings in Deep Residual Networks")."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(1, inputs), nn.GroupNorm(1, outputs)
        self.conv1, self.conv2 = _Conv(inputs, outputs, 3, stride), _Conv(outputs, outputs, 3)
        changes = inputs != outputs or stride > 1
        self.shortcut = _Conv(inputs, outputs, 1, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.leaky_relu(self.norm1(x), SLOPE))
        return self.shortcut(x) + self.conv2(F.leaky_relu(self.norm2(y), SLOPE))


def _stem(height: int, width: int, channels: int) -> tuple[nn.Sequential, tuple[int, int]]:
    """Return the first convolutions, and the size of what they give."""
    layers: list[nn.Module] = [_Conv(6, channels, 3)]
    size = (height, width)
    for _ in range(max(0, round(math.log2(height / SEEN_HEIGHT)))):
        layers += [nn.LeakyReLU(SLOPE), _Conv(channels, channels, 3, 2)]
        size = _halved(size)
    return nn.Sequential(*layers), size


def _level(layer: int, num_ws: int) -> int:
    """Return which map a layer's style is read from: 0 the fine one, 1 the middle one, 2 the coarse one."""
    return next(2 - i for i, level in enumerate(LEVELS) if layer in layer_group(level, num_ws))


def _head(size: tuple[int, int], channels: int, w_dim: int) -> nn.Sequential:
    """Return pSp's map2style: strided convolutions down to one pixel, then a linear layer."""
    layers: list[nn.Module] = []
    while size != (1, 1):
        layers += [_Conv(channels, channels, 3, 2), nn.LeakyReLU(SLOPE)]
        size = _halved(size)
    return nn.Sequential(*layers, nn.Flatten(), _Last(channels, w_dim))


class _Last(nn.Linear):
    """The layer that gives a style, in float32, since passes add up small changes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        nn.init.normal_(self.weight, std=FIRST_STD)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + 1) // 2, (size[1] + 1) // 2
