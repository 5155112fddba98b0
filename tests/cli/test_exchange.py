"""The commands that hand pictures to other tools and take theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from synreid.cli.main import main
from synreid.data.table import column, read_table


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Two persons of two pictures each, made by something else."""
    for person in ("anna", "bob"):
        for number in range(2):
            path = tmp_path / "outside" / person / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            rgb = np.random.default_rng((ord(person[0]), number)).integers(0, 256, (32, 16, 3), dtype=np.uint8)
            Image.fromarray(rgb).save(path)
    return tmp_path / "outside"


def test_import_and_export_and_their_configs_again(outside: Path, tiny_street: Path, tmp_path: Path, capsys) -> None:
    persons, out = tmp_path / "persons", tmp_path / "out"
    given = ("--made_by", "A tool", "--digital_source_type", "algorithmicMedia")
    assert run("persons", "import", outside, "--out", persons, *given) == 0
    asked = ("--data", tiny_street, "--add", persons, "--labels", "smoothed")
    assert run("export", *asked, "--out", out) == 0
    assert capsys.readouterr().out.split() == [str(persons), str(out)]
    for name, words in (("persons", ("persons", "import")), ("out", ("export",))):
        config = yaml.safe_load((tmp_path / name / "config.yaml").read_text())
        config["out"] = str(tmp_path / f"{name}-again")
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        assert run(*words, "--config", tmp_path / "config.yaml") == 0
        one, two = (read_table(tmp_path / folder / "table.parquet") for folder in (name, f"{name}-again"))
        assert column(one, "sha256").tolist() == column(two, "sha256").tolist()
        assert len(one) > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("export", "--out", "x"), "nothing to export"),
        (("export", "--data", "/nowhere"), "needs --out"),
        (("export", "--out", "x", "--add", "/nowhere"), "/nowhere"),
        (("export", "--out", "x", "--layout", "coco"), "coco"),
        (("export", "--out", "x", "--labels", "slsr"), "slsr"),
        (("persons", "import", "/nowhere", "--out", "x"), "needs --made_by"),
        (("persons", "import", "/nowhere", "--out", "x", "--made_by", "A"), "/nowhere does not exist"),
    ],
)
def test_bad_requests_get_one_sentence(words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    shown = capsys.readouterr().err
    assert said in shown and "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []
