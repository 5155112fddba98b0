"""Where weights are looked for, and that a wrong file is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from synreid.features import registry
from synreid.stage.errors import UserError

GOOD = b"good weights"


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> registry.Weights:
    made = registry.Weights("test-net", "net.bin", hashlib.sha256(GOOD).hexdigest(), "our test", "none")
    monkeypatch.setitem(registry.REGISTRY, "test-net", made)
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path))
    monkeypatch.setattr(registry, "_cache", lambda: tmp_path / "no-such-cache")
    return made


def test_a_file_is_found_at_any_depth(entry: registry.Weights, tmp_path: Path) -> None:
    assert not registry.have("test-net")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "net.bin").write_bytes(GOOD)
    assert registry.have("test-net")
    assert registry.locate("test-net") == tmp_path / "a" / "b" / "net.bin"


def test_a_changed_file_is_refused_even_after_a_good_one(entry: registry.Weights, tmp_path: Path) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(GOOD)
    registry.locate("test-net")
    path.write_bytes(b"evil weights")  # as long as the good ones
    os.utime(path, ns=(1, 1))
    with pytest.raises(UserError, match=r"net\.bin is not the file that test-net needs.*SHA-256"):
        registry.locate("test-net")


def test_a_missing_file_says_name_source_digest_and_variable(entry: registry.Weights) -> None:
    with pytest.raises(UserError) as caught:
        registry.locate("test-net")
    for part in ("net.bin", "our test", entry.sha256[:16], "SYNREID_WEIGHTS"):
        assert part in str(caught.value)


def test_a_variable_that_names_no_folder_is_an_error(entry: registry.Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, "/no/such/folder")
    with pytest.raises(UserError, match="not a folder"):
        registry.have("test-net")


def test_entries_are_complete() -> None:
    for name, one in registry.REGISTRY.items():
        assert name == one.name
        assert all(len(digest) == 64 for digest in (one.sha256, *one.also))
        assert one.source
        assert one.licence
