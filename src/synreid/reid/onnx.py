"""Export of a re-ID model as an ONNX file that takes pixels and gives features, compared with the model at once."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from synreid import __version__
from synreid.reid.backbone import ReidNetwork
from synreid.reid.batches import normalise
from synreid.reid.embed import ReidModel, embed, load_model
from synreid.reid.train import CLASSES, STAGE
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path, read_json
from synreid.stage.folder import read_run

OPSET = 17  # of 2022: new enough for attention, old enough for runtimes on devices
INPUT, OUTPUT = "pictures", "features"
LIMIT = 1e-4  # largest difference, in units of the features' root mean square


class FromPixels(nn.Module):
    """The network with its preprocessing before it and, with `flip`, the sum over the mirror image behind it."""

    def __init__(self, network: ReidNetwork, flip: bool) -> None:
        super().__init__()
        self.network, self.flip = network, flip

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return raw features, float32 [N, D], of uint8 RGB pictures [N, H, W, 3] of the network's size."""
        batch = normalise(pictures)
        if not self.flip:
            return self.network.embed(batch)
        both = self.network.embed(torch.cat([batch, batch.flip(3)]))
        return both.reshape(2, -1, both.shape[1]).sum(0)


def export_onnx(model: Path, out: Path) -> float:
    """Write a finished `reid train` folder as an ONNX file and return how far the two differ.

    The graph takes uint8 RGB [N, H, W, 3] of the network's size, any N, normalises, and gives raw features, float32
    [N, D], summed over the mirror image where the model's options say so, always in float32. A resolution that
    pictures pass through first (option `through`) is left out: ONNX resizes in floats where we round to whole grey
    levels, which changes features by more than LIMIT. The metadata name it, and say what input and output are.

    The difference is the largest one between features of ONNX Runtime and of the model in float32, in units of the
    features' root mean square. Raises UserError where it is not below 1e-4, where the network cannot be exported,
    and where the package onnx is not installed.
    """
    onnx = _load_onnx()
    model, out = Path(model), Path(out)
    if out.suffix.lower() != ".onnx":
        raise UserError(f"{out} does not end in .onnx; name the file so.")
    loaded = dataclasses.replace(load_model(model, "cpu"), precision="fp32")
    with atomic_path(out) as temporary:
        _write_graph(loaded, temporary)
        graph = onnx.load(str(temporary))
        graph.producer_name, graph.producer_version = "synreid", __version__
        onnx.helper.set_model_props(graph, metadata(model, loaded))
        onnx.save(graph, str(temporary))
        found = difference(loaded, temporary)
        if not found < LIMIT:
            raise UserError(
                f"{model} as ONNX gives features that differ by {found:.1e} of their scale, but {LIMIT} is the most; "
                "nothing was written. Check the model, or use it by `synreid reid`."
            )
    return found


def metadata(folder: Path, model: ReidModel) -> dict[str, str]:
    """Return what the file says of itself."""
    run, options = read_run(folder, STAGE), model.options
    height, width = options.size
    features = model.network.embedding
    size = f"resize to {height}x{width} (bicubic, antialiased)"
    if options.through:
        size = f"resize to {options.through} (bicubic, antialiased), then to {height}x{width} (bilinear)"
    mirror = "summed over the picture and its mirror image" if options.flip_test else "of the picture alone"
    start = "random weights"
    if options.pretrained is not None:
        start = f"the pretrained weights {Path(options.pretrained).name} of {options.backbone}, whose licence holds too"
    return {
        "input": f"{INPUT}: uint8 RGB [N, {height}, {width}, 3], whole persons, upright; {size}",
        "output": f"{OUTPUT}: float32 [N, {features}], {mirror}; raw: divide by the length, compare by cosine",
        "through": options.through or "",
        "classes": str(len(read_json(folder / CLASSES))),
        "backbone": options.backbone,
        "trained_on": f"{run['pictures_real']} real and {run['pictures_made']} made pictures",
        "licence": (
            "The weights were learned from the pictures that the model was trained on, whose licence binds their use; "
            f"they started from {start}."
        ),
        "fingerprint": model.fingerprint,
    }


def difference(model: ReidModel, path: Path) -> float:
    """Return the largest difference of the file's features and the model's, over the root mean square of the latter.

    On nine pictures of noise, fine to coarse, black and white among them, as one batch and one by one.
    """
    pictures = _test_pictures(*model.options.size)
    expected = embed(model, pictures)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    together = session.run(None, {INPUT: pictures})[0]
    alone = np.concatenate([session.run(None, {INPUT: picture[None]})[0] for picture in pictures])
    scale = float(np.sqrt(np.square(expected).mean()))
    return max(float(np.abs(found - expected).max()) for found in (together, alone)) / scale


def _test_pictures(height: int, width: int) -> np.ndarray:
    draw = np.random.default_rng(0)
    pictures = [np.full((height, width, 3), grey, dtype=np.uint8) for grey in (0, 255)]
    for cell in (1, 1, 2, 4, 8, 16, 32):
        coarse = draw.integers(0, 256, (-(-height // cell), -(-width // cell), 3), dtype=np.uint8)
        pictures.append(coarse.repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width])
    return np.stack(pictures)


def _write_graph(model: ReidModel, path: Path) -> None:
    network = FromPixels(model.network, model.options.flip_test).eval()
    example = torch.from_numpy(_test_pictures(*model.options.size)[:2])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this exporter is the older one: the newer wants onnxscript as well
            torch.onnx.export(
                network,
                (example,),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "N"}, OUTPUT: {0: "N"}},
            )
    except Exception as error:  # an operation that ONNX lacks shows itself as any of several kinds
        raise UserError(
            f"backbone {model.options.backbone} cannot be exported as ONNX ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason given'}); train one of plain convolutions."
        ) from error


def _load_onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise UserError(
            "export needs the package onnx, which is not installed: pip install 'synreid[onnx]'."
        ) from error
    return onnx
