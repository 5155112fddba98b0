"""The commands from real pictures to variations and a model trained with them, one after the other, on `street`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from synreid.cli.main import main

QUICK = ["--batch", "4", "--precision", "fp32"]
REID = ["--backbone", "test_resnet", "--embedding", "16", "--height", "32", "--width", "16", "--epochs", "1"]


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_street: Path, tiny_gan: Path) -> Path:
    """Encoder, latents and a re-ID model."""
    out = tmp_path_factory.mktemp("variations")
    common = ["--gan", tiny_gan, "--data", tiny_street, *QUICK]
    losses = ["--lpips", "0", "--channels", "8", "--validate", "4"]
    assert run("encoder", "train", *common, *losses, "--steps", "2", "--out", out / "encoder") == 0
    assert run("encoder", "invert", out / "encoder", *common, "--steps", "3", "--out", out / "latents") == 0
    assert run("reid", "train", "--data", tiny_street, *REID, "--out", out / "model") == 0
    return out


def test_variations_go_through_selection_and_training(
    folder: Path, tiny_street: Path, tiny_gan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNREID_WEIGHTS", raising=False)  # OSNet knows nobody in pictures this small
    asked = ["--images", "4", "--ways", "[between,camera,transfer]", "--out", folder / "varied"]
    assert run("persons", "vary", tiny_gan, folder / "latents", *asked) == 0
    assert run("select", "run", folder / "varied", "--data", tiny_street, "--detector", "none") == 0
    kept = pq.read_table(folder / "varied-selection" / "selection.parquet")
    assert "identity" in kept.column_names and kept["kept"].to_pylist().count(True) > 0
    added = ["--add", folder / "varied-selection", "--labels", "teacher", "--teacher", folder / "model"]
    assert run("reid", "train", "--data", tiny_street, *REID, *added, "--out", folder / "taught") == 0
    run_facts = json.loads((folder / "taught" / "run.json").read_text())
    assert run_facts["pictures_made"] == kept["kept"].to_pylist().count(True)


def test_an_encoder_does_as_well_and_the_saved_configuration_runs_again(
    folder: Path, tiny_street: Path, tiny_gan: Path
) -> None:
    asked = ["--data", tiny_street, "--images", "2", "--ways", "[inversion,sefa]", "--steps", "2"]
    assert run("persons", "vary", tiny_gan, folder / "encoder", *asked, "--out", folder / "direct") == 0
    config = yaml.safe_load((folder / "direct" / "config.yaml").read_text())
    (folder / "again.yaml").write_text(yaml.safe_dump({**config, "out": str(folder / "again")}))
    assert run("persons", "vary", "--config", folder / "again.yaml") == 0
    first, second = (pq.read_table(folder / name / "table.parquet") for name in ("direct", "again"))
    assert first["sha256"] == second["sha256"]
    latents = yaml.safe_load((folder / "latents" / "config.yaml").read_text())
    (folder / "latents.yaml").write_text(yaml.safe_dump({**latents, "out": str(folder / "latents-again")}))
    assert run("encoder", "invert", "--config", folder / "latents.yaml") == 0
    saved = [(folder / name / "latents.safetensors").read_bytes() for name in ("latents", "latents-again")]
    assert saved[0] == saved[1]


def test_measure_and_layers_print_their_tables(
    folder: Path, tiny_street: Path, tiny_gan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--gan", tiny_gan, "--data", tiny_street, "--reid", folder / "model", *QUICK, "--steps", "2"]
    measured = ["--queries", "4", "--latents", "true", "--outside", "pixels", "--out", folder / "measure"]
    assert run("encoder", "measure", folder / "encoder", *asked, *measured) == 0
    printed = capsys.readouterr().out
    assert "Rank-1" in printed and "refined, 2 steps" in printed and "latents and features" in printed
    assert run("gan", "layers", tiny_gan, "--persons", "4", "--out", folder / "layers") == 0
    assert "Groups, and what each holds most of" in capsys.readouterr().out
    assert np.isfinite(json.loads((folder / "layers" / "layers.json").read_text())["whole"]["colour"]["mean"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["persons", "vary", "{gan}", "{folder}/encoder", "--out", "{folder}/x"], "name their folder with --data"),
        (
            ["persons", "vary", "{gan}", "{folder}/latents", "--data", "{data}", "--out", "{folder}/x"],
            "leave --data and --steps out",
        ),
        (["persons", "vary", "{gan}", "{folder}/latents", "--ways", "[]", "--out", "{folder}/x"], "ways"),
        (
            [
                *("persons", "vary", "{gan}", "{folder}/latents", "--ways", "[inversion]", "--images", "99"),
                *("--out", "{folder}/x"),
            ],
            "pictures give only",
        ),
        (["persons", "vary", "{gan}", "{folder}/nothing", "--data", "{data}", "--out", "{folder}/x"], "does not exist"),
        (
            ["encoder", "invert", "{folder}/encoder", "--gan", "street", "--data", "{data}", "--out", "{folder}/x"],
            "was trained with generator",
        ),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], said: str, folder: Path, tiny_street: Path, tiny_gan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"gan": tiny_gan, "folder": folder, "data": tiny_street}
    assert run(*(word.format(**places) for word in words)) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert said in told[-1] and told[-1].startswith("synreid: ")
    assert not (folder / "x").exists()
