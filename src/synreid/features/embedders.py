"""Embedders: networks (or plain pixels) that turn pictures into features."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import onnxruntime
import timm
import torch

from synreid.data.decode import resize
from synreid.features import registry
from synreid.features.framing import resized
from synreid.features.inception import InceptionEmbedder
from synreid.stage.device import choose_device
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import file_digest
from synreid.stage.fingerprint import fingerprint as fingerprint_of

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32) * 255.0
IMAGENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32) * 255.0
BATCH = 64


@runtime_checkable
class Embedder(Protocol):
    """Anything that turns pictures into raw features; who ranks by them normalises."""

    name: str
    """Stands beside every number computed from the features."""
    fingerprint: str
    """Changes when the same pictures would give other features."""

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        """Features `[N, D]` float32 of uint8 RGB pictures `[N, H, W, 3]`; row k depends on picture k only."""
        ...


class PixelEmbedder:
    """The picture itself at 16x8, RGB in [0, 1], 384 numbers: no weights, always there, knows nothing of persons."""

    name = "pixels-16x8"
    fingerprint = "1"

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        """Features `[N, 384]` of uint8 pictures `[N, H, W, 3]`."""
        return resized(pictures, 16, 8).reshape(len(pictures), -1).astype(np.float32) / 255.0


class OsnetEmbedder:
    """OSNet x0.25 (Zhou et al. 2019) trained on MSMT17 by torchreid: 512 features that tell persons apart."""

    name = "osnet-x0.25-msmt17"
    fingerprint = fingerprint_of(1, registry.REGISTRY[name].sha256)

    def __init__(self) -> None:
        self._session = onnx_session("osnet-x0.25-msmt17")

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        """Features `[N, 512]` of uint8 pictures `[N, H, W, 3]`, each stretched to 256x128."""
        parts = [np.zeros((0, 512), dtype=np.float32)]
        for start in range(0, len(pictures), BATCH):
            block = _imagenet_values(resized(pictures[start : start + BATCH], 256, 128))
            parts.append(self._session.run(None, {"images": block})[0])
        return np.concatenate(parts)


class OnnxEmbedder:
    """A user's own network: an ONNX file with one input, float32 `[N, 3, H, W]` or uint8 `[N, H, W, 3]`.

    H and W are fixed. Floats are RGB in 0 to 1 less ImageNet's mean over ImageNet's standard deviation; a network that
    wants other values must begin by making them of these. Whole numbers are RGB as it is, which is what `reid onnx`
    writes; pictures pass through the resolution that the file's metadata name as `through` first. The first output,
    flattened, is the features. Raises UserError for another file.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path} does not exist; name an ONNX file.")
        try:
            self._session = _session(path)
        except Exception as error:  # ONNX Runtime raises kinds of its own
            raise UserError(f"{path} cannot be read as an ONNX network ({error}); export it again.") from error
        inputs = self._session.get_inputs()
        kind = inputs[0].type if len(inputs) == 1 else None
        self._whole = kind == "tensor(uint8)"
        shape = inputs[0].shape if kind in ("tensor(uint8)", "tensor(float)") else []
        channels, sides = (shape[3:], shape[1:3]) if self._whole else (shape[1:2], shape[2:])
        if len(shape) != 4 or channels != [3] or not all(isinstance(side, int) for side in sides):
            found = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
            raise UserError(
                f"{path} takes {found}, but must take one float32 input [N, 3, H, W], or uint8 [N, H, W, 3], with "
                "fixed H and W; export it so."
            )
        self.height, self.width = sides
        self._through = _through(self._session) or (self.height, self.width)
        self._input = inputs[0].name
        self._batch = shape[0] if isinstance(shape[0], int) else None
        digest = file_digest(path)
        self.name, self.fingerprint = f"{path.stem} ({digest[:8]})", fingerprint_of(1, digest)

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        """Features `[N, D]` of uint8 pictures `[N, H, W, 3]`, each stretched to the network's own size."""
        if not len(pictures):
            return self.embed(np.zeros((1, self.height, self.width, 3), dtype=np.uint8))[:0]
        parts = []
        size = self._batch or BATCH
        for start in range(0, len(pictures), size):
            block = self._fed(pictures[start : start + size])
            count = len(block)
            if self._batch:  # a network of a fixed batch is fed whole ones
                block = np.concatenate([block, np.zeros((size - count, *block.shape[1:]), dtype=block.dtype)])
            features = self._session.run(None, {self._input: block})[0]
            parts.append(features.reshape(len(block), -1)[:count].astype(np.float32, copy=False))
        return np.concatenate(parts)

    def _fed(self, pictures: np.ndarray) -> np.ndarray:
        if not self._whole:
            return _imagenet_values(resized(pictures, self.height, self.width))
        first = np.stack([resize(np.asarray(picture), *self._through) for picture in pictures])
        return resized(first, self.height, self.width)


class EfficientNetLite0:
    """EfficientNet-Lite0 (Tan and Le 2019) trained on ImageNet: 1280 pooled features of what a picture shows.

    Pictures go in at 128x64 whatever their own size, so that features of a 64x32 and of a 128x64 set lie at one
    scale: a sixth of the pixels, and so of the time, of the 224x224 that it was trained at.
    """

    name = "EfficientNet-Lite0"
    height, width = 128, 64
    fingerprint = fingerprint_of(1, registry.REGISTRY["efficientnet-lite0"].sha256, height, width)

    def __init__(self, device: str = "auto") -> None:
        self._device = choose_device(device)
        self._network = efficientnet_lite0().to(self._device)

    @torch.inference_mode()
    def embed(self, pictures: np.ndarray) -> np.ndarray:
        """Features `[N, 1280]` of uint8 pictures `[N, H, W, 3]`, each stretched to 128x64."""
        parts = [np.zeros((0, 1280), dtype=np.float32)]
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for start in range(0, len(pictures), BATCH):
                block = torch.from_numpy(resized(pictures[start : start + BATCH], self.height, self.width))
                block = block.to(self._device).permute(0, 3, 1, 2)  # channels last already
                parts.append(self._network(block.float().sub_(127.0).div_(128.0)).cpu().numpy())
        return np.concatenate(parts)


EMBEDDERS: dict[str, Callable[[], Embedder]] = {
    "efficientnet-lite0": EfficientNetLite0,
    "inception": InceptionEmbedder,
    "osnet": OsnetEmbedder,
    "pixels": PixelEmbedder,
}


def embedder_by_name(name: str) -> Embedder:
    """The embedder of that name in EMBEDDERS, or the network in an ONNX file; raises UserError for anything else."""
    if name in EMBEDDERS:
        return EMBEDDERS[name]()
    if name.lower().endswith(".onnx"):
        return OnnxEmbedder(Path(name))
    raise UserError(f"features {name!r} are not known; choose {', '.join(EMBEDDERS)}, or name an .onnx file.")


def default_quality_embedder(measured: str = "Quality is measured") -> tuple[Embedder, str]:
    """The best embedder for what pictures show that this machine has, and a sentence that says which.

    `measured` opens the sentence: what is judged on its features.
    """
    if registry.have("efficientnet-lite0"):
        return EfficientNetLite0(), f"{measured} on EfficientNet-Lite0 features (ImageNet, pictures at 128x64)."
    entry = registry.REGISTRY["efficientnet-lite0"]
    return PixelEmbedder(), (
        f"{measured} on plain pixels at 16x8, since the weights of EfficientNet-Lite0 are not on this machine: "
        f"they come from {entry.source}, or from a folder named by {registry.VARIABLE}."
    )


def default_identity_embedder() -> tuple[Embedder, str]:
    """The best outside embedder for telling persons apart that this machine has, and a sentence that says which."""
    if registry.have("osnet-x0.25-msmt17"):
        return OsnetEmbedder(), (
            "Identity is judged by OSNet x0.25, which was trained on other persons' pictures (MSMT17)."
        )
    return PixelEmbedder(), (
        "Identity is judged by plain pixels at 16x8, a weak judge: no re-ID model was given and OSNet's weights are "
        f"not on this machine ({registry.VARIABLE} names a folder that holds them)."
    )


def _imagenet_values(pictures: np.ndarray) -> np.ndarray:
    """Pictures, uint8 `[N, H, W, 3]`, as float32 `[N, 3, H, W]` of ImageNet's mean 0 and deviation 1."""
    block = (pictures.astype(np.float32) - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(block.transpose(0, 3, 1, 2))


def onnx_session(name: str) -> Any:
    """An ONNX Runtime session on the CPU for a network of the registry, with as many threads as torch may use."""
    return _session(registry.locate(name))


def _through(session: Any) -> tuple[int, int] | None:
    """The resolution, as (height, width), that the metadata of `reid onnx` name; None without one."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", session.get_modelmeta().custom_metadata_map.get("through", ""))
    return (int(found[1]), int(found[2])) if found else None


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    # spinning threads make each other wait many times as long where the cores are shared with other work
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])


def efficientnet_lite0(classes: int = 0) -> torch.nn.Module:
    """timm's `tf_efficientnet_lite0` with the ImageNet weights, in eval mode; `classes` 1000 keeps the classifier."""
    state = torch.load(registry.locate("efficientnet-lite0"), map_location="cpu", weights_only=True)
    network: torch.nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=classes)
    state = {_timm_key(key): value for key, value in state.items() if classes or not key.startswith("_fc.")}
    network.load_state_dict(state, strict=True)
    return network.eval().to(memory_format=torch.channels_last)


_REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks in each of EfficientNet-Lite0's stages
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _timm_key(key: str) -> str:
    """timm's name of a parameter of efficientnet_lite_pytorch: `_blocks.3._bn1.bias` is `blocks.2.0.bn2.bias`."""
    inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if inside is None:
        layer, _, parameter = key.partition(".")
        return f"{_OUTSIDE[layer]}.{parameter}"
    number, layer, parameter = int(inside[1]), inside[2], inside[3]
    stage = 0
    while number >= _REPEATS[stage]:
        number -= _REPEATS[stage]
        stage += 1
    return f"blocks.{stage}.{number}.{(_BLOCK if stage else _FIRST_BLOCK)[layer]}.{parameter}"
