"""Nothing opens the network unless asked, and nothing that a file holds is executed."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from inputs import TINY

import synreid
from synreid.cli.main import main
from synreid.data.scan import open_data
from synreid.data.table import pick
from synreid.reid.train import train

SOURCE = Path(synreid.__file__).parent
RESTRICTED = SOURCE / "generate" / "pickles.py"  # our own reader, which subclasses Unpickler
READERS = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "dill.load", "joblib.load", "shelve.open", "marshal.loads"),
    *("torch.load", "np.load", "numpy.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "pd.read_pickle"),
}
SAFE = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False), "numpy.load": ("allow_pickle", False)}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        pytest.fail(f"the network was opened: {args[1:]}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_nothing_opens_the_network(no_network: None, tiny_street: Path, tmp_path: Path) -> None:
    model = train(pick(open_data(tiny_street), split="train"), None, tmp_path / "model", TINY)
    for words in (["data", "check", tiny_street], ["reid", "evaluate", model, "--data", tiny_street]):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        assert end.value.code == 0


def test_import_opens_no_network() -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*args): sys.exit(f'the network was opened: {args[1:]}')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import synreid, synreid.cli.main, synreid.study.work, synreid.reid.evaluate, synreid.features.registry\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_is_unpickled_but_by_weights_only_or_the_restricted_reader() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {name}"
        for path in sorted(SOURCE.rglob("*.py"))
        for name, line in unsafe(path.read_text(encoding="utf-8"))
        if path != RESTRICTED or name != "pickle.Unpickler"
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("import pickle\npickle.load(file)", True),
        ("from pickle import loads as read\nread(data)", True),
        ("import pickle\nclass Mine(pickle.Unpickler): pass", True),
        ("import torch\ntorch.load(path)", True),
        ("import torch\ntorch.load(path, weights_only=False)", True),
        ("import torch\ntorch.load(path, weights_only=True)", False),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", True),
        ("import numpy as np\nnp.load(path)", False),
        ("import yaml\nyaml.load(text)", True),
        ("import yaml\nyaml.safe_load(text)", False),
    ],
)
def test_what_counts_as_unsafe(code: str, wrong: bool) -> None:
    assert bool(list(unsafe(code))) == wrong


def unsafe(code: str) -> Iterator[tuple[str, int]]:
    """Yield the name and line of whatever reads a format that can hold code, without what makes it safe."""
    tree = ast.parse(code)
    names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    safe = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in SAFE:
            option, value = SAFE[name]
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if given.get(option, "False" if option == "allow_pickle" else None) == str(value):
                safe.add(id(node.func))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in safe:
            name = ast.unparse(node)
            if (name := names.get(name, name)) in READERS:
                yield name, node.lineno
