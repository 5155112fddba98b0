from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import pairwise

import pytest

from synreid.reid import options as module
from synreid.reid.options import PRESETS, ReidOptions, made_in_batch, parse_size
from synreid.stage.errors import UserError


def test_the_thesis_preset_is_layumis_baseline_at_batch_16():
    options = ReidOptions(**PRESETS["thesis"])
    assert (options.backbone, options.size, options.embedding) == ("resnet50.tv_in1k", (256, 128), 512)
    assert (options.lr, options.lr * options.backbone_lr_factor) == (0.05, 0.05 * 0.1)
    assert (options.epochs, options.epochs * options.step_at, options.batch) == (60, 40, 16)


def test_the_strong_preset_is_the_bag_of_tricks():
    options = ReidOptions(**PRESETS["strong"])
    assert (options.backbone, options.size) == ("resnet50.tv_in1k", (256, 128))
    assert (options.last_stride, options.neck) == (1, "bnneck")
    assert [options.epochs * part for part in (options.warm_up, *options.steps_at)] == pytest.approx([10, 40, 70])
    assert (options.batch // options.pictures_each, options.pictures_each) == (16, 4)
    assert (options.optimiser, options.lr, options.backbone_lr_factor) == ("adam", 3.5e-4, 1.0)


def test_the_agw_preset_is_the_bag_of_tricks_and_its_three_parts():
    strong, agw = (ReidOptions(**PRESETS[name]) for name in ("strong", "agw"))
    assert (agw.non_local, agw.pooling, agw.triplet_kind) == (True, "gem", "weighted")
    assert replace(agw, non_local=False, pooling="average", triplet_kind="hard") == strong


def test_steps_are_one_or_several_and_json_keeps_them():
    assert ReidOptions(step_at=0.5).steps_at == (0.5,)
    options = ReidOptions(step_at=(0.3, 0.6))
    assert ReidOptions(**json.loads(json.dumps(asdict(options)))) == options and options.steps_at == (0.3, 0.6)


def test_options_of_a_version_2_training_name_it_as_before():
    """What run.json of a training of before the later options came holds, so that it is found again."""
    named = (
        "backbone pretrained height width through embedding dropout epochs steps batch lr backbone_lr_factor step_at "
    )
    named += (
        "momentum weight_decay flip crop_pad pad_with random_erasing colour_jitter made_weight made_start made_ratio "
    )
    named += "flip_test precision seed"
    assert set(asdict(ReidOptions())) - set(ReidOptions().unnamed) == set(named.split())
    assert "margin" in ReidOptions().unnamed and "margin" not in ReidOptions(margin=0.5).unnamed


@pytest.mark.parametrize(
    "bad",
    [
        {"height": 0},
        {"batch": 1},
        {"lr": float("inf")},
        {"epochs": float("inf")},
        {"weight_decay": float("nan")},
        {"backbone_lr_factor": float("inf")},
        {"steps": 0},
        {"dropout": 1.5},
        {"precision": "fp8"},
        {"through": "64*32"},
        {"momentum": 0.0},
        {"lr": float("nan")},
        {"made_weight": -0.1},
        {"made_weight": float("inf")},
        {"made_start": 1.1},
        {"made_ratio": 0.0},
        {"made_ratio": 100.0},
        {"made_ratio": 0.01},
        {"step_at": 1.5},
        {"step_at": (0.3, -0.1)},
        {"warm_up": 2.0},
        {"label_smoothing": 1.0},
        {"held_out": 0.95},
        {"last_stride": 2},
        {"pooling": "max"},
        {"neck": "none"},
        {"optimiser": "adamw"},
        {"triplet_kind": "soft"},
        {"triplet": 1.0},
        {"triplet": -1.0, "pictures_each": 4},
        {"centre": float("inf")},
        {"margin": 0.0},
        {"pictures_each": 1},
        {"pictures_each": 5},
        {"pictures_each": 32},
        {"made_ratio": 0.05, "pictures_each": 8},
    ],
)
def test_a_value_that_cannot_be_trained_with_is_named(bad):
    with pytest.raises(UserError, match=next(iter(bad)) if "through" not in bad else "64"):
        ReidOptions(**bad)


def test_sizes_are_height_by_width():
    assert parse_size("64x32") == (64, 32)
    assert ReidOptions(through="64x32").through_size == (64, 32)
    assert ReidOptions().through_size == (96, 48)


def test_a_ratio_is_of_made_to_real_pictures():
    assert [made_in_batch(16, ratio) for ratio in (1.0, 3.0, 1 / 3, 0.5)] == [8, 12, 4, 5]
    with pytest.raises(UserError, match="a batch of 2 must hold made and real pictures"):
        ReidOptions(batch=2, made_ratio=5.0)


def test_every_option_has_help():
    body = next(node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)).body
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(text, ast.Expr) and isinstance(text.value.value, str), ast.unparse(field)


def test_options_are_light_to_import():
    code = (
        "import sys, synreid.reid.options; print([m for m in ('torch', 'numpy', 'cv2', 'pyarrow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
