"""A study's folder as the study room writes it, with invented numbers and small drawn pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ARMS = (  # name, title, persons, control, matched, resolution
    ("real-full", "Real, full resolution", 0, True, False, "full"),
    ("real", "Real", 0, True, False, "64x32"),
    ("real-steps", "Real, as many steps as with 160 persons", 0, True, True, "64x32"),
    ("real+40", "Real + 40 persons", 40, False, False, "64x32"),
    ("real+160", "Real + 160 persons", 160, False, False, "64x32"),
)
GAINS = {"real-full": 0.035, "real": 0.0, "real-steps": 0.004, "real+40": 0.006, "real+160": 0.021}


VOID = {"meta", "img", "br", "hr", "link", "input", "col"}


class Page(HTMLParser):
    """Collects what the tests ask of a page; an end tag must close the last one that is open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert len(found) == len(attrs), f"an attribute stands twice in <{tag}>"
        self.tags.append((tag, found))
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "srcset")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += data


def draw_person(rng: np.random.Generator, path: Path, height: int = 64) -> None:
    """Draw a body of two garments before a plain wall, [height, height / 2, 3]."""
    picture = np.full((height, height // 2, 3), rng.integers(90, 200, 3), np.uint8)
    head, waist, side = height // 5, height // 2, height // 8
    picture[height // 12 : head, height // 5 : height // 3] = (224, 180, 150)
    picture[head:waist, side:-side] = rng.integers(0, 255, 3)
    picture[waist : -height // 16, side + 2 : -side - 2] = rng.integers(0, 160, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def _draw_sheet(rng: np.random.Generator, path: Path, rows: int = 4, columns: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 255, (rows * 64, columns * 32, 3), np.uint8)).save(path)


def _interval(pairs: np.ndarray) -> tuple[float | None, float | None]:
    if len(pairs) < 2:
        return None, None
    half = 2.776 * pairs.std(ddof=1) / len(pairs) ** 0.5
    return pairs.mean() - half, pairs.mean() + half


def _measures(rng: np.random.Generator, seeds: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    luck = rng.normal(0, 0.006, seeds)
    maps = {name: 0.138 + gain + luck + rng.normal(0, 0.004, seeds) for name, gain in GAINS.items()}
    ranks = {name: values * 1.9 + rng.normal(0, 0.004, seeds) for name, values in maps.items()}
    results = [
        {"arm": name, "seed": seed, "rank1": ranks[name][seed], "rank5": ranks[name][seed] + 0.15}
        | {"rank10": ranks[name][seed] + 0.22, "map": maps[name][seed], "map_trapezoid": maps[name][seed] - 0.006}
        | {"minp": maps[name][seed] / 5, "seconds": 280.0 + 20 * seed}
        for name in GAINS
        for seed in range(seeds)
    ]
    differences = []
    for metric, values in (("map", maps), ("rank1", ranks)):
        for arm, against in (("real+40", "real-steps"), ("real+160", "real-steps"), ("real-steps", "real")):
            pairs = values[arm] - values[against]
            low, high = _interval(pairs)
            differences.append({"arm": arm, "against": against, "metric": metric, "mean": pairs.mean(), "low": low})
            differences[-1] |= {"high": high, "n": seeds, "per_seed": pairs.tolist()}
    return results, differences


def _study(rng: np.random.Generator, seeds: int) -> dict[str, Any]:
    results, differences = _measures(rng, seeds)
    heads = ("name", "title", "persons", "control", "matched", "resolution")
    arms: list[dict[str, Any]] = [dict(zip(heads, arm, strict=True)) for arm in ARMS]
    for arm in arms:
        arm |= {"pictures_real": 1290, "pictures_made": arm["persons"] * 10}
        arm["steps"] = 1600 if arm["name"] in ("real", "real-full") else 3600
    keys = ("kimg", "frechet", "kid", "precision", "recall", "density", "coverage")
    quality = [
        dict(zip(keys, (k, 12 + 60 * np.exp(-k / 90), 0.01, 0.5, 0.6 - 36 / (60 + k), 0.4, k / 500), strict=True))
        | {"features": "osnet_x1_0 (MSMT17)", "real": 1290, "made": 1290}
        for k in range(20, 321, 60)
    ]
    stages = [{"name": "detector", "in": 4010, "discarded": 912}, {"name": "identity", "in": 3098, "discarded": 401}]
    return {
        "recipe": "market-cpu",
        "question": "Do artificial persons help a ResNet-18 trained on a tenth of Market-1501?",
        "answer": "With 160 made persons mAP rises by 1.7 points over real pictures with as many steps.",
        "arms": arms,
        "seeds": list(range(seeds)),
        "results": results,
        "summary": [],
        "differences": differences,
        "generator": {"fingerprint": "89abcdef01234567", "kimg": 320, "quality": quality},
        "selection": {"stages": stages, "kept": 2697, "made": 4010}
        | {"notes": ["The identity threshold is calibrated on 25 training persons."]},
        "origin": {
            "auc": 0.83,
            "low": 0.79,
            "high": 0.87,
            "accuracy": 0.76,
            "test_real": 320,
            "test_made": 320,
            "resolution": "64x32",
        },
        "data": {"name": "market1501", "train_identities": 75, "train_pictures": 1290}
        | {"query": 3368, "gallery": 15913, "cameras": 6},
        "notes": ["One generator for all seeds.", "The detector is OpenCV's HOG, since no weights were found."],
        "machine": {"cpu": "AMD EPYC 7B13", "cores": 2, "memory_gib": 15.6, "gpu": None, "python": "3.11.2"}
        | {"versions": {"synreid": "0.1.0", "torch": "2.11.0"}, "commit": "0123456789ab"},
        "times": {"gan": 2711.4, "persons": 41.2, "select": 130.0, "reid": 6843.0},
        "config": {"recipe": "market-cpu", "data": "Market-1501", "out": "runs/market", "gan": None},
        "started": "2026-05-02T20:11:09+00:00",
        "finished": "2026-05-02T22:54:31+00:00",
    }


def build_study(folder: Path, seeds: int = 5, **changes: Any) -> Path:
    """Write a study's folder; `changes` replace entries of study.json, and None removes one."""
    rng = np.random.default_rng(7)
    study = _study(rng, seeds) | changes
    folder.mkdir(parents=True, exist_ok=True)
    study = {key: value for key, value in study.items() if value is not None}
    (folder / "study.json").write_text(json.dumps(study), encoding="utf-8")
    (folder / "recipe.yaml").write_text("name: market-cpu\nseeds: [0, 1, 2, 3, 4]\n", encoding="utf-8")
    for name in ("gan/samples-0000.0.png", "gan/samples-0100.0.png", "gan/samples-0320.5.png", "gan/real.png"):
        _draw_sheet(rng, folder / name)
    for name in ("persons/sheet.png", "select/kept.png", "select/discarded.png"):
        _draw_sheet(rng, folder / name, 3, 20)
    paths = [f"pictures/{index:02d}.png" for index in range(16)]
    for path in paths:
        draw_person(rng, folder / path)
    for name, _, persons, *_ in ARMS:
        for seed in range(seeds):
            _write_training(rng, folder / "reid" / name / str(seed), paths, 1600 + 10 * persons)
    return folder


def _write_training(rng: np.random.Generator, folder: Path, paths: list[str], steps: int) -> None:
    folder.mkdir(parents=True)
    curve = [(step, 4.6 * np.exp(-step / 900) + rng.normal(0, 0.1) + 0.4) for step in range(20, steps + 1, 20)]
    lines = [json.dumps({"step": step, "loss": loss, "classification_error": abs(loss) / 6}) for step, loss in curve]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 1']), encoding="utf-8")
    hits = [
        {"path": str(path), "pid": f"market1501/{index:04d}", "camera": "market1501/c2", "distance": 0.1 * index}
        | {"right": bool(rng.random() < 0.4)}
        for index, path in enumerate(rng.permutation(paths)[:10])
    ]
    ranked = [{"query": path, "pid": f"market1501/{index:04d}", "hits": hits} for index, path in enumerate(paths[:8])]
    (folder / "ranked.json").write_text(json.dumps(ranked), encoding="utf-8")


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that builds a study's folder below the test's own folder."""
    return lambda name="study", **options: build_study(tmp_path / name, **options)
