"""Kinds of input that a user may hand over damaged: the good file, how it is damaged, and the command that reads it."""

from __future__ import annotations

import pickle
import shutil
import warnings
from collections import OrderedDict
from pathlib import Path

import damage
import numpy as np
import torch
import yaml
from outcome import Kind, main_of
from PIL import Image
from stages import STAGES, make_stages

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
from synreid.study.recipe import load_recipe

TINY = ReidOptions(
    backbone="test_resnet", height=32, width=16, embedding=16, batch=8, steps=1, crop_pad=2, precision="fp32"
)


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


HANDED = (
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
KINDS = (*HANDED, *STAGES)


def make_good(home: Path, street: Path, gan: Path) -> None:
    """Write into `home` every file that KINDS damages, whole, from a data set and a finished generator, all tiny."""
    draw = np.random.default_rng(0)
    for folder, suffix in (("few", "png"), ("jpeg", "jpg")):
        (home / folder).mkdir()
        for number in range(12):
            rgb = draw.integers(0, 256, (24, 12, 3), dtype=np.uint8)
            Image.fromarray(rgb).save(home / folder / f"{number}.{suffix}")
    shutil.copytree(gan, home / "gan")
    shutil.copytree(street, home / "street")
    main_of("persons", "make", gan, "--persons", 3, "--images", 2, "--out", home / "persons")
    pictures = sorted(path.relative_to(home / "persons").as_posix() for path in home.glob("persons/pictures/*/*"))
    for name, columns in (("real", "path,pid,camera,split"), ("made", "path,pid,parent")):
        rows = [f"{path},p{number // 2}{',' * (columns.count(',') - 1)}" for number, path in enumerate(pictures)]
        (home / "persons" / f"{name}.csv").write_text("\n".join([columns, *rows]))
    main_of("select", "run", home / "persons", "--preset", "none", "--duplicates", 0.1, "--out", home / "selection")
    train(pick(open_data(street), split="train"), None, home / "model", TINY)
    for name, limit in (("index", 100), ("clusters", 1)):
        gallery = ("reid", "index", home / "model", home / "few", "--plain")
        main_of(*gallery, "--out", home / name, "--exact_limit", limit)
    _write_texts(home)
    _write_weights(home / "weights")
    make_stages(home)


def _write_texts(home: Path) -> None:
    (home / "recipe").mkdir()
    recipe = {
        **{"name": "tiny", "gan": {"kimg": 1.0, "height": 16}, "persons": {"persons": 6}, "amounts": [2, 4]},
        **{"reid": {"epochs": 1.0, "preset": "strong"}, "selections": {"none": {"detector": "none"}}, "seeds": [0, 1]},
        **{"arms": [{"persons": 4, "labels": "lsro"}], "baselines": {"small": {"backbone": "test_resnet"}}},
        "reference": {"source": "us", "unit": "persons", "rows": [{"amount": 2, "rank1": 0.5, "map_trapezoid": 0.4}]},
    }
    (home / "recipe" / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    config = {
        "model": str(home / "model"),
        "data": str(home / "street"),
        "rerank": False,
        "k1": 20,
        "lambda_value": 0.3,
    }
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
