"""Kinds of input that a user may hand over damaged: the good file, how it is damaged, and the command that reads it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import signal
import time
import traceback
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import damage
import numpy as np
import torch
import yaml
from PIL import Image

from synreid.cli.main import main
from synreid.data.decode import read_picture
from synreid.data.scan import open_data
from synreid.data.table import pick
from synreid.generate.place import GENERATOR, PICTURES, learned_pictures
from synreid.reid.backbone import build
from synreid.reid.options import ReidOptions
from synreid.reid.osnet import OSNet, load_onnx
from synreid.reid.train import train
from synreid.reid.weights import load_backbone_weights
from synreid.stage.errors import UserError
from synreid.study.recipe import load_recipe

SECONDS = 20  # longer is a hang
TINY = ReidOptions(
    backbone="test_resnet", height=32, width=16, embedding=16, batch=8, steps=1, crop_pad=2, precision="fp32"
)
OUT = "out"  # what a case may write, beside its input


@dataclass(frozen=True)
class Kind:
    """One kind of input. `use` is called with the folder that holds it, the damaged file in it, and where to write."""

    name: str
    file: str
    """The file that is damaged, in its folder: of the shared ones that `make_good` makes."""
    damaged: Callable[[bytes], damage.Damaged]
    use: Callable[[Path, Path, Path], object]


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged file: a good result, a clear sentence, or what is wrong."""

    verdict: str
    words: str = ""
    seconds: float = 0.0


def _index(model: Path, out: Path) -> None:
    main(["reid", "index", str(model), str(model.parents[1] / "few"), "--plain", "--out", str(out)])


def _search(index: Path, out: Path) -> None:
    picture, shown = index.parents[1] / "few" / "0.png", out.with_suffix(".png")
    main(["reid", "search", str(index), str(picture), "--top", "2", "--out", str(shown)])


def _evaluate(config: Path, out: Path) -> None:
    main(["reid", "evaluate", "--config", str(config), "--out", str(out)])


def _make(gan: Path, out: Path) -> None:
    main(["persons", "make", str(gan), "--persons", "1", "--images", "2", "--out", str(out)])


def _export(made: Path, out: Path) -> None:
    main(["export", "--add", str(made), "--layout", "imagefolder", "--out", str(out)])


def _import(csv: Path, out: Path) -> None:
    main(["persons", "import", str(csv), "--made-by", "something", "--out", str(out)])


def _check(path: Path) -> None:
    main(["data", "check", str(path)])


def _gan_import(file: Path, out: Path) -> None:
    main(["gan", "import", str(file), "--out", str(out)])


def _backbone(file: Path) -> None:
    load_backbone_weights(build(TINY, 2, weights=False).backbone, file)


KINDS = (
    Kind("PNG picture", "few/0.png", damage.damaged_png, lambda _, file, out: read_picture(file)),
    Kind("JPEG picture", "jpeg/0.jpg", damage.damaged_jpeg, lambda _, file, out: read_picture(file)),
    Kind("CSV data set", "persons/real.csv", damage.damaged_csv, lambda _, file, out: _check(file)),
    Kind("CSV of persons to import", "persons/made.csv", damage.damaged_csv, lambda _, file, out: _import(file, out)),
    Kind("picture table", "persons/table.parquet", damage.damaged_table, lambda home, _, out: _export(home, out)),
    Kind("selection", "selection/selection.parquet", damage.damaged_table, lambda home, _, out: _export(home, out)),
    Kind("selection's options", "selection/config.yaml", damage.damaged_yaml, lambda home, _, out: _export(home, out)),
    Kind("recipe", "recipe/recipe.yaml", damage.damaged_yaml, lambda _, file, out: load_recipe(str(file))),
    Kind("--config", "recipe/config.yaml", damage.damaged_yaml, lambda _, file, out: _evaluate(file, out)),
    Kind("generator", f"gan/{GENERATOR}", damage.damaged_safetensors, lambda _, file, out: _make(file, out)),
    Kind("learned pictures", f"gan/{PICTURES}", damage.damaged_bytes, lambda home, _, out: learned_pictures(home)),
    Kind("run.json of a generator", "gan/run.json", damage.damaged_json, lambda home, _, out: _make(home, out)),
    Kind("re-ID model", "model/model.safetensors", damage.damaged_safetensors, lambda home, _, out: _index(home, out)),
    Kind("run.json of a model", "model/run.json", damage.damaged_json, lambda home, _, out: _index(home, out)),
    Kind("classes.json", "model/classes.json", damage.damaged_json, lambda home, _, out: _index(home, out)),
    Kind("index: features", "index/features.npy", damage.damaged_npy, lambda home, _, out: _search(home, out)),
    Kind("index: clusters", "clusters/clusters.faiss", damage.damaged_bytes, lambda home, _, out: _search(home, out)),
    Kind("index: table", "index/table.parquet", damage.damaged_table, lambda home, _, out: _search(home, out)),
    Kind("index: run.json", "index/run.json", damage.damaged_json, lambda home, _, out: _search(home, out)),
    Kind("ONNX weights", "weights/osnet.onnx", damage.damaged_bytes, lambda _, file, out: load_onnx(OSNet(0.25), file)),
    Kind("PyTorch weights", "weights/backbone.pth", damage.damaged_bytes, lambda _, file, out: _backbone(file)),
    Kind("official pickle", "weights/official.pkl", damage.damaged_bytes, lambda _, file, out: _gan_import(file, out)),
)  # fmt: skip


def make_good(home: Path, street: Path, gan: Path) -> None:
    """Write into `home` every file that KINDS damages, whole, from a data set and a finished generator, all tiny."""
    draw = np.random.default_rng(0)
    for folder, suffix in (("few", "png"), ("jpeg", "jpg")):
        (home / folder).mkdir()
        for number in range(12):
            rgb = draw.integers(0, 256, (24, 12, 3), dtype=np.uint8)
            Image.fromarray(rgb).save(home / folder / f"{number}.{suffix}")
    shutil.copytree(gan, home / "gan")
    main_of("persons", "make", gan, "--persons", 3, "--images", 2, "--out", home / "persons")
    pictures = sorted(path.relative_to(home / "persons").as_posix() for path in home.glob("persons/pictures/*/*"))
    for name, columns in (("real", "path,pid,camera,split"), ("made", "path,pid,parent")):
        rows = [f"{path},p{number // 2}{',' * (columns.count(',') - 1)}" for number, path in enumerate(pictures)]
        (home / "persons" / f"{name}.csv").write_text("\n".join([columns, *rows]))
    main_of("select", "run", home / "persons", "--preset", "none", "--out", home / "selection")
    train(pick(open_data(street), split="train"), None, home / "model", TINY)
    for name, limit in (("index", 100), ("clusters", 1)):
        gallery = ("reid", "index", home / "model", home / "few", "--plain")
        main_of(*gallery, "--out", home / name, "--exact_limit", limit)
    _write_texts(home, street)
    _write_weights(home / "weights")


def main_of(*words: object) -> None:
    """Run a command that must succeed."""
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"{words} ended with {end.code}") from end


def _write_texts(home: Path, street: Path) -> None:
    (home / "recipe").mkdir()
    recipe = {
        **{"name": "tiny", "gan": {"kimg": 1.0, "height": 16}, "persons": {"persons": 6}, "amounts": [2, 4]},
        **{"reid": {"epochs": 1.0, "preset": "strong"}, "selections": {"none": {"detector": "none"}}, "seeds": [0, 1]},
        **{"arms": [{"persons": 4, "labels": "lsro"}], "baselines": {"small": {"backbone": "test_resnet"}}},
        "reference": {"source": "us", "unit": "persons", "rows": [{"amount": 2, "rank1": 0.5, "map_trapezoid": 0.4}]},
    }
    (home / "recipe" / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    config = {"model": str(home / "model"), "data": str(street), "rerank": False, "k1": 20, "lambda_value": 0.3}
    (home / "recipe" / "config.yaml").write_text(yaml.safe_dump(config | {"intervals": 0, "camera_pattern": None}))


def _write_weights(folder: Path) -> None:
    folder.mkdir()
    torch.save(build(TINY, 2, weights=False).backbone.state_dict(), folder / "backbone.pth")
    content = {"G_ema": OrderedDict(w=np.arange(6.0).reshape(2, 3)), "sizes": (1, 2), "labels": {"a", "b"}}
    (folder / "official.pkl").write_bytes(pickle.dumps(content, protocol=4))
    network, example = OSNet(0.25).eval(), torch.zeros(1, 3, 64, 32)
    for tensor in network.state_dict().values():  # else equal ones would be stored once, as torchreid's never are
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (example,), str(folder / "osnet.onnx"), dynamo=False)


class _LateError(BaseException):
    """Not an Exception, so that nothing takes it for damage of the file."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise _LateError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(kind: Kind, data: bytes, home: Path) -> Outcome:
    """Use a copy of the kind's folder in which its file holds `data`, and return what became of it.

    Nothing may be written but below `home`/try/out: neither beside it, nor into the folder that was read.
    """
    place = home / "try"
    folder = place / Path(kind.file).parent
    shutil.copytree(home / folder.name, folder)
    file = folder / Path(kind.file).name
    file.write_bytes(data)
    before = _files(home)
    said, began = io.StringIO(), time.monotonic()
    try:
        with contextlib.chdir(place), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            verdict, words = _used(kind, folder, file, place / OUT)
        seconds = time.monotonic() - began
        if not wrong(verdict):
            written = {path for path in _files(home) ^ before if not path[0].startswith(f"try/{OUT}")}
            strays = [*sorted(written), *home.parent.glob("*escape*")]
            if strays:
                verdict, words = "wrote elsewhere", str(strays[0])
            elif verdict == SENTENCE and (half := _half_written(place)):
                verdict, words = "half a result", half
        return Outcome(verdict, words or said.getvalue()[-300:], seconds)
    finally:
        shutil.rmtree(place)


GOOD, SENTENCE = "good result", "clear sentence"


def wrong(verdict: str) -> bool:
    """Tell whether an outcome's verdict is neither of those that may be."""
    return verdict not in (GOOD, SENTENCE)


def _used(kind: Kind, folder: Path, file: Path, out: Path) -> tuple[str, str]:
    try:
        with _limited(SECONDS):
            kind.use(folder, file, out)
    except UserError as error:
        return SENTENCE, str(error)
    except SystemExit as end:
        return {0: GOOD, 2: SENTENCE}.get(end.code, f"exit status {end.code}"), ""  # type: ignore[arg-type]
    except _LateError as error:
        return "hang", str(error) + traceback.format_exc()
    except BaseException:
        return "traceback", traceback.format_exc()
    return GOOD, ""


def _files(home: Path) -> set[tuple[str, int, int]]:
    """Return path, size and time of all files below `home`, without those of locks."""
    found = ((Path(top) / name) for top, _, names in os.walk(home) for name in names if name != ".lock")
    return {(path.relative_to(home).as_posix(), (s := path.stat()).st_size, s.st_mtime_ns) for path in found}


def _half_written(place: Path) -> str:
    """Return what a refusal left behind that a later run could take for a whole result."""
    for run in place.glob(f"{OUT}/**/run.json"):
        if json.loads(run.read_text())["finished"]:
            return f"{run} says finished"
    left = [path for path in place.rglob("*") if ".part" in path.name]
    return str(left[0]) if left else ""
