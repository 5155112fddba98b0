"""The Inception network that FID is defined on, from the optional package torch-fidelity."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
import torch

from synreid.features import registry
from synreid.stage.device import choose_device
from synreid.stage.errors import UserError

INCEPTION = "Inception-v3 of FID"
PACKAGE = "torch_fidelity"
BATCH = 64


class InceptionEmbedder:
    """Inception-v3 of 2015 (Szegedy et al. 2016), TensorFlow's weights: 2048 features that FID is computed on.

    torch-fidelity's network stretches a picture of any size to 299x299 as TensorFlow 1 did, without antialiasing:
    FID depends on it. Raises UserError where the package or the weights are missing.
    """

    name = INCEPTION
    fingerprint = registry.REGISTRY["inception"].sha256[:16]

    def __init__(self, device: str = "auto") -> None:
        self._device = choose_device(device)
        self._network = inception().to(self._device)

    @torch.inference_mode()
    def embed(self, pictures: np.ndarray) -> np.ndarray:
        """Features `[N, 2048]` of uint8 pictures `[N, H, W, 3]`."""
        parts = [np.zeros((0, 2048), dtype=np.float32)]
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for start in range(0, len(pictures), BATCH):
                block = torch.from_numpy(np.array(pictures[start : start + BATCH])).to(self._device)
                parts.append(self._network(block.permute(0, 3, 1, 2))[0].cpu().numpy())
        return np.concatenate(parts)


def missing() -> str | None:
    """What keeps this machine from computing FID without a download, as a clause; None if nothing does."""
    if importlib.util.find_spec(PACKAGE) is None:
        return "the package torch-fidelity, which holds FID's Inception, is not installed (pip install 'synreid[fid]')"
    if not registry.have("inception"):
        entry = registry.REGISTRY["inception"]
        return (
            f"the weights file {entry.file} of FID's Inception is not on this machine: it comes from {entry.source}, "
            f"put it into a folder and set {registry.VARIABLE} to that folder"
        )
    return None


def inception() -> torch.nn.Module:
    """torch-fidelity's network with its weights, from uint8 `[N, 3, H, W]` to a tuple of features `[N, 2048]`."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise UserError(f"FID cannot be computed ({error}): pip install 'synreid[fid]'.") from error
    path = registry.locate("inception")
    try:
        # torch-fidelity would unpickle whatever the file holds: it is handed the tensors alone
        tensors = io.BytesIO()
        torch.save(torch.load(path, map_location="cpu", weights_only=True), tensors)
        tensors.seek(0)
        return FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=tensors).eval()
    except Exception as error:  # torch and torch-fidelity raise kinds of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} does not hold the weights of FID's Inception ({reason}); replace it.") from error
