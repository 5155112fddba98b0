from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from synreid.cli.commands import gan
from synreid.cli.main import COMMANDS, main
from synreid.generate.options import GanOptions
from synreid.stage.errors import UserError

# a tiny network, in float32: with one pixel left, oneDNN's bfloat16 weight gradient is not the same twice
PLAIN = ["--backbone", "test_resnet", "--precision", "fp32"]


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_of_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*name.split(), "--help") == 0
    shown = capsys.readouterr().out
    options = shown.split("options:")[-1].split("\n  --")[1:]
    assert all(len(option.split()) > 3 for option in options), shown


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom synreid.cli.main import main\n"
        "try: main(['study', '--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'cv2', 'pyarrow', 'timm', 'matplotlib') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("data street x --out x", "unrecognized arguments: x; see `synreid data street --help`."),
        ("reid train --config /nowhere.yaml", "File does not exist: '/nowhere.yaml'; see `synreid reid train --help`."),
        ("nonsense", "'export', 'study', 'report', 'app'); see `synreid --help`."),
        ("reid", "but it was not provided; see `synreid --help`."),
    ],
)
def test_wrong_words_end_in_one_sentence(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words.split()) == 2
    told = capsys.readouterr().err
    assert told.startswith("synreid: ") and told.endswith(f"{said}\n") and told.count("\n") == 1


def test_options_and_presets_reach_the_function(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = {}
    monkeypatch.setitem(COMMANDS, "gan train", gan.gan_train)
    monkeypatch.setattr("synreid.data.scan.open_data", lambda path, pattern: path)
    monkeypatch.setattr("synreid.data.splits.subset", lambda table, fraction, seed: (table, fraction))
    monkeypatch.setattr("synreid.generate.train.train_gan", lambda *values: seen.update(enumerate(values)))
    assert run("gan", "train", "--data", "a", "--out", tmp_path / "b", "--kimg", 3, "--subset", 0.5) == 0
    assert seen[0] == (Path("a"), 0.5)
    assert seen[2] == GanOptions(kimg=3)
    assert seen[3]["kimg"] == 3


def test_hyphens_stand_for_underscores_in_every_option_and_in_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("synreid.generate.persons.make_persons", lambda *given: seen.append(given))
    for option in (["--first-seed", 7], ["--first-seed=7"], ["--first_seed", 7]):
        assert run("persons", "make", "g", "--out=a-b/c_d", *option) == 0
    assert [(out, options.first_seed) for _, out, options in seen] == [(Path("a-b/c_d"), 7)] * 3


def test_store_for_curves_that_cannot_be_used_stops_a_training_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("SYNREID_MLFLOW", "nonsense://x")
    assert run("reid", "train", "--data", "x", "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert said.startswith("synreid: SYNREID_MLFLOW is nonsense://x, which MLflow cannot use") and "\n" not in said[:-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--plain", "m", "g"], ["m", "g", "--plain"], ["m", "g", "--plain", "true"]])
def test_a_flag_takes_no_word_after_it(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setitem(COMMANDS, "reid index", _indexes(seen))
    assert run("reid", "index", *words) == 0
    assert seen == {"model": "m", "gallery": "g", "plain": True}


def _indexes(seen: dict[str, object]) -> Callable[..., None]:
    def index(model: str, gallery: str, *, plain: bool = False) -> None:
        """Stand in.

        Args:
            model: One.
            gallery: Another.
            plain: A flag.
        """
        seen.update(model=model, gallery=gallery, plain=plain)

    return index


def test_preset_gives_defaults_that_options_override(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []
    monkeypatch.setattr("synreid.generate.persons.make_persons", lambda gan, out, options: seen.append(options))
    assert run("persons", "make", "g", "--out", tmp_path / "p", "--preset", "thesis", "--images", 7) == 0
    assert (seen[0].persons, seen[0].images) == (401, 7)


def test_config_of_a_stage_runs_it_again(tiny_gan: Path, tmp_path: Path) -> None:
    out = tmp_path / "persons"
    assert run("persons", "make", tiny_gan, "--persons", 2, "--images", 3, "--out", out) == 0
    config = yaml.safe_load((out / "config.yaml").read_text())
    config["out"] = str(tmp_path / "again")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert run("persons", "make", "--config", tmp_path / "config.yaml") == 0
    first, again = (folder / "pictures" / "000001" / "000001_0002.png" for folder in (out, tmp_path / "again"))
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data", "check"], "needs PATH"),
        (["data", "check", "/nowhere/at/all"], "/nowhere/at/all"),
        (["gan", "train", "--data", "x"], "needs --out"),
        (["study", "nothing", "--out", "x"], "nothing"),
        (["persons", "make", "/nowhere", "--out", "x"], "/nowhere"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "goes on from here"),
        (UserError("the value 5 is wrong."), 2, "the value 5 is wrong"),
        (OSError(28, "No space left on device"), 2, "disk is full"),
        (MemoryError(), 2, "memory does not suffice"),
        (torch.OutOfMemoryError("CUDA out of memory."), 2, "memory does not suffice"),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        """Fail."""
        raise error

    monkeypatch.setattr("synreid.report.page.write_report", fails)
    assert run("report", "x") == code
    assert said in capsys.readouterr().err


def test_whole_line_by_hand(
    tiny_street: Path, tiny_gan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("data", "check", tiny_street) == 0
    assert run("persons", "make", tiny_gan, "--persons", 4, "--images", 3, "--out", tmp_path / "p") == 0
    selection = ["--out", tmp_path / "s", "--detector", "none", "--consistency", -1]
    assert run("select", "run", tmp_path / "p", "--data", tiny_street, *selection) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == str(tmp_path / "s")
    assert " of 12 pictures, " in shown.err.splitlines()[-1]
    training = [*PLAIN, "--height", 32, "--width", 16, "--epochs", 1, "--out", tmp_path / "m"]
    assert run("reid", "train", "--data", tiny_street, "--add", tmp_path / "s", *training) == 0
    capsys.readouterr()
    assert run("reid", "evaluate", tmp_path / "m", "--data", tiny_street) == 0
    shown = capsys.readouterr().out
    assert "mAP (standard)" in shown
    assert "mAP (trapezoid)" in shown


def test_saved_reid_config_runs_the_stage_again(tiny_street: Path, tmp_path: Path) -> None:
    asked = [
        "--data",
        tiny_street,
        *PLAIN,
        "--height",
        32,
        "--width",
        16,
        "--steps",
        2,
        "--batch",
        8,
    ]
    assert run("reid", "train", *asked, "--out", tmp_path / "m") == 0
    config = yaml.safe_load((tmp_path / "m" / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "out": str(tmp_path / "again")}))
    assert run("reid", "train", "--config", tmp_path / "config.yaml") == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("m", "again")]
    assert weights[0] == weights[1]


def test_preset_that_only_a_config_file_names_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("preset: thesis")
    assert run("persons", "make", "g", "--out", tmp_path / "p", "--config", tmp_path / "c.yaml") == 2
    assert "--preset thesis" in capsys.readouterr().err


def test_saved_selection_config_selects_again(tiny_street: Path, tiny_gan: Path, tmp_path: Path) -> None:
    assert run("persons", "make", tiny_gan, "--persons", 3, "--images", 3, "--out", tmp_path / "p") == 0
    rules = ["--detector", "none", "--consistency_percentile", 0]
    assert run("select", "run", tmp_path / "p", "--data", tiny_street, "--out", tmp_path / "s", *rules) == 0
    config = yaml.safe_load((tmp_path / "s" / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "out": str(tmp_path / "again")}))
    assert run("select", "run", "--config", tmp_path / "config.yaml") == 0
    tables = [pq.read_table(tmp_path / name / "selection.parquet") for name in ("s", "again")]
    assert tables[0].select(["sha256", "kept", "reason"]) == tables[1].select(["sha256", "kept", "reason"])


def test_labels_and_their_teacher_reach_the_training(
    tiny_street: Path, tiny_gan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("persons", "make", tiny_gan, "--persons", 2, "--images", 3, "--out", tmp_path / "p") == 0
    asked = [
        "reid",
        "train",
        "--data",
        tiny_street,
        *PLAIN,
        "--height",
        32,
        "--width",
        16,
        "--epochs",
        1,
        "--batch",
        16,
    ]
    added = [*asked, "--add", tmp_path / "p", "--labels"]
    assert run(*asked, "--out", tmp_path / "teacher") == 0
    assert run(*added, "smoothed", "--out", tmp_path / "smoothed") == 0
    assert run(*added, "teacher", "--teacher", tmp_path / "teacher", "--out", tmp_path / "taught") == 0
    config = yaml.safe_load((tmp_path / "taught" / "config.yaml").read_text())
    assert (config["labels"], config["teacher"]) == ("teacher", str(tmp_path / "teacher"))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "out": str(tmp_path / "again")}))
    assert run("reid", "train", "--config", tmp_path / "config.yaml") == 0
    names = ("teacher", "smoothed", "taught", "again")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in names]
    assert weights[2] == weights[3] and len(set(weights)) == 3
    assert run(*added, "teacher", "--out", tmp_path / "none") == 2
    assert "needs a teacher" in capsys.readouterr().err
