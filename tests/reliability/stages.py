"""Kinds of input that one stage leaves and a later command reads back: tables, numbers, latents, caches."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import damage
import numpy as np
import torch
from outcome import Kind, main_of, run

from synreid.app.choice import open_choice
from synreid.app.folder import Material
from synreid.data.scan import open_data
from synreid.data.table import TABLE, column, read_table
from synreid.features.embedders import PixelEmbedder
from synreid.generate.measure import was_aided
from synreid.generate.network import load_generator
from synreid.generate.place import generator_fingerprint
from synreid.generate.quality import FILE as QUALITY
from synreid.generate.quality import Measurement
from synreid.invert.encoder import ENCODER, new_encoder, save_encoder
from synreid.invert.latents import LATENTS, PARTS, TUNED, load_latents
from synreid.invert.layer_options import LayerOptions
from synreid.invert.layer_stage import NUMBERS as LAYERS
from synreid.invert.layer_stage import read_layers, show_layers
from synreid.invert.measure import MEASURED, measured_as_text
from synreid.invert.options import EncoderOptions
from synreid.quality.cached import cached_features
from synreid.quality.metrics import parse_metrics
from synreid.reid.evaluate import PER_QUERY, RANKED
from synreid.reid.evaluate import SUMMARY as EVALUATION
from synreid.reid.index import FEATURES
from synreid.reid.protocols import BREAKDOWN, INTERVALS
from synreid.report.audit import audits_of
from synreid.report.facts import configurations, subset_words
from synreid.report.figures import learning
from synreid.report.folder import learning_curves, read_study
from synreid.select.calibration import NUMBERS as CALIBRATION
from synreid.select.calibration import calibrate, calibration_as_text
from synreid.select.calibration_options import CalibrationOptions
from synreid.select.run import SELECTION, SUMMARY
from synreid.stage.files import read_json, write_json
from synreid.stage.folder import RUN
from synreid.stage.tensors import write_tensors
from synreid.study.answer import findings_of
from synreid.study.arms import Arm
from synreid.study.privacy import NUMBERS as AUDIT_NUMBERS
from synreid.study.privacy import PICTURES as AUDITED

MEASURES = ("rank1", "rank5", "rank10", "map", "map_trapezoid", "minp")
PART = "features-000000000.npy"
TRAINED = "trainings/real/0"
SCORED = ("--intervals", "100", "--breakdown", "true")
REFINED = ("--steps", "0", "--precision", "fp32", "--subset", "0.3")
AUDIT = {
    "verdict": "No clear sign of copying.",
    "limits": ["It cannot show that nobody is recognisable."],
    "spaces": {"pixels": {"auc": 0.5, "auc_low": 0.4, "auc_high": 0.6, "near": 3, "quantiles_made": {"1%": 0.7}}},
}
DOSE = {
    **{"metric": "map", "of": "artificial persons", "arms": ["real+40"], "against": ["real-steps"], "amounts": [40]},
    **{"per": 100, "slope": 0.01, "low": 0.004, "high": 0.02, "p": 0.01, "trend": "rising", "trend_p": 0.001},
}
REFERENCE = {
    **{"source": "us", "note": "One training a row.", "unit": "persons"},
    "rows": [{"amount": 0, "rank1": 0.89}, {"amount": 40, "arm": "real+40", "rank1": 0.9, "note": "A remark."}],
}
SCORES = {
    **{"score": "identity", "should_pass": "same person", "against": "different persons", "threshold": 0.5},
    **{"good": 0.9, "passes": 0.2, "auc": 0.8, "low": 0.7, "high": 0.9},
}


def _report(study: Path, _: Path, out: Path) -> None:
    run("report", study, "--out", out / "report.html")


def _say_how(study: Path, *_: Path) -> None:
    found = read_study(study)
    configurations(found)
    subset_words(found)


def _draw_learning(study: Path, *_: Path) -> None:
    found = read_study(study)
    learning(learning_curves(found, "loss"), [arm.name for arm in found.arms], "training loss")


def _say_audits(study: Path, *_: Path) -> None:
    for audit in audits_of(read_study(study)):
        str((audit.verdicts, audit.text("verdict"), audit.texts("limits"), audit.number("made"), audit.table.csv))


def _evaluate(scores: Path, _: Path, out: Path) -> None:
    home = scores.parents[1]
    shutil.copytree(scores, out)
    run("reid", "evaluate", home / "model", "--data", home / "street", "--out", out, *SCORED)


def _find(trainings: Path, *_: Path) -> None:
    arms = [Arm("real", "Real"), Arm("made", "Made", persons=2, against=("real",), steps_of="real")]
    results = [
        {"arm": arm.name, "seed": seed, **dict.fromkeys(MEASURES, 0.1 * seed)} for arm in arms for seed in range(2)
    ]
    findings_of(arms, results, trainings)


def _snapshot(gan: Path, _: Path, out: Path) -> None:
    shutil.copytree(gan, out)
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 3, 16, 8), dtype=np.uint8))
    Measurement(out, pictures, parse_metrics("fd8"), seed=0).take(load_generator(gan.parents[1] / "gan"), 2.0)


def _invert(encoder: Path, _: Path, out: Path) -> None:
    _invert_by(encoder, encoder.parents[1], out)


def _invert_on(cut: Path, _: Path, out: Path) -> None:
    home = cut.parents[1]
    shutil.copytree(cut, out)
    _invert_by(home / "encoder", home, out)


def _invert_by(encoder: Path, home: Path, out: Path) -> None:
    data = ("--data", home / "street", "--out", out)
    run("encoder", "invert", encoder, "--gan", home / "gan", *data, *REFINED)


def _vary(latents: Path, _: Path, out: Path) -> None:
    ways = ("--images", 2, "--layers", "0-1", "--ways", "[between,camera,pca]")
    run("persons", "vary", latents.parents[1] / "gan", latents, "--out", out, *ways)


def _look(selection: Path, _: Path, out: Path) -> None:
    open_choice("selection", selection, Material(selection.parent))
    run("select", "report", selection)


def _select(audit: Path, _: Path, out: Path) -> None:
    run("select", "run", audit.parents[1] / "persons", "--preset", "none", "--privacy", audit, "--out", out)


def _index_on(cut: Path, _: Path, out: Path) -> None:
    home = cut.parents[1]
    shutil.copytree(cut, out)
    run("reid", "index", home / "model", home / "few", "--plain", "--out", out, "--exact_limit", 100)


def _audit(audit: Path, *_: Path) -> None:
    home = audit.parents[1]
    run("privacy", home / "persons", "--data", home / "street", "--reid", home / "model", "--out", audit)


def _embed(cache: Path, file: Path, out: Path) -> None:
    (known,) = (cache / "features").iterdir()  # its name is a fingerprint
    (out / "features").mkdir(parents=True)
    shutil.copy(file, out / "features" / known.name)
    _embed_in(out)


def _embed_in(cache: Path) -> None:
    with _cache(cache):
        cached_features(np.random.default_rng(0).integers(0, 256, (4, 16, 8, 3), dtype=np.uint8), PixelEmbedder())


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    before = os.environ["SYNREID_CACHE"]
    os.environ["SYNREID_CACHE"] = str(folder)
    try:
        yield
    finally:
        os.environ["SYNREID_CACHE"] = before


def _scan(cache: Path, file: Path, out: Path) -> None:
    (known,) = (cache / "scans").iterdir()
    (out / "scans").mkdir(parents=True)
    shutil.copy(file, out / "scans" / known.name)
    with _cache(out):
        run("data", "check", cache.parents[1] / "street")


STAGES = (
    Kind("study.json", "study/study.json", damage.damaged_json, _report),
    Kind("a study's recipe", "study/recipe.yaml", damage.damaged_yaml, _say_how),
    Kind("curves", "study/reid/real/0/metrics.jsonl", damage.damaged_lines, _draw_learning),
    Kind("ranked lists", f"study/reid/real/0/{RANKED}", damage.damaged_json, _report),
    Kind("a study's audit", "study/privacy/privacy.json", damage.damaged_json, _say_audits),
    Kind("scores by query", f"scores/{PER_QUERY}", damage.damaged_table, _evaluate),
    Kind("scores", f"scores/{EVALUATION}", damage.damaged_json, _evaluate),
    Kind("intervals", f"scores/{INTERVALS}", damage.damaged_json, _evaluate),
    Kind("breakdown", f"scores/{BREAKDOWN}", damage.damaged_json, _evaluate),
    Kind("a training's queries", f"{TRAINED}/{PER_QUERY}", damage.damaged_table, _find),
    Kind("a training's scores", f"{TRAINED}/{EVALUATION}", damage.damaged_json, _find),
    Kind("a generator's curve", f"measured/{QUALITY}", damage.damaged_json, _snapshot),
    Kind("a generator's options", "gan/config.yaml", damage.damaged_yaml, lambda home, _, out: was_aided(home)),
    Kind("layers", f"layers/{LAYERS}", damage.damaged_json, lambda home, _, out: read_layers(home)),
    Kind("encoder", f"encoder/{ENCODER}", damage.damaged_safetensors, _invert),
    Kind("latents", f"latents/{LATENTS}", damage.damaged_safetensors, _vary),
    Kind("latents: table", f"latents/{TABLE}", damage.damaged_table, _vary),
    Kind("latents: run.json", f"latents/{RUN}", damage.damaged_json, _vary),
    Kind("a tuned generator", f"latents/{TUNED}/00000.safetensors", damage.damaged_safetensors, _vary),
    Kind("a block of latents", f"cut/{PARTS}/0000000.safetensors", damage.damaged_safetensors, _invert_on),
    Kind("an inversion's measure", f"judged/{MEASURED}", damage.damaged_json, lambda home, *_: measured_as_text(home)),
    Kind("a selection's summary", f"selection/{SUMMARY}", damage.damaged_json, _look),
    Kind("scores of selection", f"selection/{SELECTION}", damage.damaged_table, _look),
    Kind("calibration", f"calibration/{CALIBRATION}", damage.damaged_json, lambda home, *_: calibration_as_text(home)),
    Kind("an audit's numbers", f"audit/{AUDIT_NUMBERS}", damage.damaged_json, _audit),
    Kind("an audit's pictures", f"audit/{AUDITED}", damage.damaged_table, _select),
    Kind("a part of an index", f"parts/{PART}", damage.damaged_npy, _index_on),
    Kind("cached features", "cache/cached.npy", damage.damaged_npy, _embed),
    Kind("cached scan", "cache/scanned.parquet", damage.damaged_table, _scan),
)  # fmt: skip


def make_stages(home: Path) -> None:
    """Write every file that STAGES damages, whole, beside the data, generator, persons, selection and model there."""
    _make_study(home / "study")
    _make_scores(home)
    _make_inversions(home)
    gan, street, model = home / "gan", home / "street", home / "model"
    line = {"kimg": 1.0, "frechet": 3.0, "kid": 0.1, "kid_sd": 0.01, "made": 8, "real": 8, "features": "pixels"}
    write_json(home / "measured" / QUALITY, [line | {"kimg": kimg} for kimg in (0.0, 1.0, 2.0)])
    show_layers(gan, home / "layers", LayerOptions(persons=2), model)
    draw = CalibrationOptions(pairs=10, pictures=10)
    calibrate(open_data(street), home / "calibration", draw, PixelEmbedder(), detectors=(), realism=False)
    main_of("privacy", home / "persons", "--data", street, "--reid", model, "--out", home / "audit")
    shutil.copytree(home / "index", home / "parts")
    (home / "parts" / FEATURES).rename(home / "parts" / PART)
    _unfinish(home / "parts")
    _embed_in(home / "cache")
    with _cache(home / "cache"):
        main_of("data", "check", street)
    for folder, name in (("features", "cached.npy"), ("scans", "scanned.parquet")):
        shutil.copy(next((home / "cache" / folder).iterdir()), home / "cache" / name)


def _make_study(folder: Path) -> None:
    path = Path(__file__).parents[1] / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("report_conftest", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build_study(folder, 2, dose=[DOSE], reference=REFERENCE, calibration=[SCORES])
    write_json(folder / "privacy" / "privacy.json", AUDIT)
    study = json.loads((folder / "study.json").read_text())
    few = {"real", "real-steps", "real+40"}
    for key, name in (("arms", "name"), ("results", "arm"), ("differences", "arm")):
        study[key] = [entry for entry in study[key] if entry[name] in few]
    write_json(folder / "study.json", study)


def _make_scores(home: Path) -> None:
    main_of("reid", "evaluate", home / "model", "--data", home / "street", "--out", home / "scores", *SCORED)
    for arm in ("real", "made"):
        for seed in range(2):
            shutil.copytree(home / "scores", home / "trainings" / arm / str(seed))


def _make_inversions(home: Path) -> None:
    gan, street = home / "gan", home / "street"
    options = EncoderOptions(channels=4, passes=1, lpips=0.0, precision="fp32", device="cpu")
    encoder = new_encoder(load_generator(gan), options)
    save_encoder(home / "encoder" / ENCODER, encoder, generator_fingerprint(gan))
    tuned = ("--tune_steps", "1", "--locality_pictures", "2")
    asked = ("encoder", "invert", home / "encoder", "--gan", gan, "--data", street, *REFINED)
    main_of(*asked, *tuned, "--out", home / "latents")
    main_of(*asked, "--out", home / "cut")
    _cut_off(home / "cut", gan)
    judged = ("--reid", home / "model", "--out", home / "judged", "--queries", "4", "--outside", "pixels")
    main_of("encoder", "measure", home / "encoder", "--gan", gan, "--data", street, *judged, *REFINED[:4])


def _cut_off(folder: Path, gan: Path) -> None:
    """Put an inversion back to where its only block was worked out."""
    table, w = read_table(folder / TABLE), load_latents(folder, gan).w
    losses = {
        name: column(table, name) for name in table.column_names if name.removesuffix("_encoder") in ("l2", "w_norm")
    }
    write_tensors(folder / PARTS / "0000000.safetensors", {"w": w, **{n: torch.tensor(v) for n, v in losses.items()}})
    _unfinish(folder)
    for name in (LATENTS, TABLE):
        (folder / name).unlink()


def _unfinish(folder: Path) -> None:
    write_json(folder / RUN, read_json(folder / RUN) | {"finished": None})
