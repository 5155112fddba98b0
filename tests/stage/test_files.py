from __future__ import annotations

import errno
from pathlib import Path

import pytest

from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path, expected_shape, read_json, read_yaml, write_json
from synreid.stage.fingerprint import fingerprint


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(tmp_path / "a.json") == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="disk is full"), atomic_path(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name", ["x.json", "y/x.json"])
def test_a_file_in_place_of_the_folder_is_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"x\.json cannot be written"):
        write_json(tmp_path / "file" / name, {})


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_damaged_json_is_one_sentence(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.json is not readable as JSON"):
        read_json(tmp_path / "a.json")


def test_yaml_takes_aliases_that_stand_for_a_few_values(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &shared {b: [1, 2.5]}\nc: *shared\nd:\n  <<: *shared\n  e: null\n")
    shared = {"b": [1, 2.5]}
    assert read_yaml(tmp_path / "a.yaml") == {"a": shared, "c": shared, "d": {**shared, "e": None}}


GROWING = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a: [", "while parsing"),
        (b"\xff", "codec"),
        (b"[" * 100_000, "more than 100 levels"),
        (b"- " * 10_000, "recursion"),
        (b"a: &a [*a]", "a part of"),
        (GROWING.encode(), "more than 100,000 values"),
        (b"a: !!python/object/apply:os.getcwd []", "constructor"),
        (b"a: 2026-99-99", "month"),
        (b"a: !!bool maybe", "maybe"),
    ],
)
def test_damaged_yaml_is_one_sentence(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(data)
    with pytest.raises(UserError, match=rf"a\.yaml is not readable as YAML \(.*{reason}"):
        read_yaml(tmp_path / "a.yaml")


def test_fingerprint_does_not_depend_on_order_of_keys_or_on_kinds_of_path() -> None:
    assert fingerprint({"a": 1, "b": Path("x")}) == fingerprint({"b": "x", "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert len(fingerprint(1)) == 16


@pytest.mark.parametrize("text", ["[]", '{"a": {}}', '{"a": "b"}', '{"a": null}', '{"a": 0}'])
def test_json_of_another_shape_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run" / "a.json"
    path.parent.mkdir()
    path.write_text(text)
    rule = r"run/a\.json is damaged: .*Error.*; remove .*run and run its stage again"
    with pytest.raises(UserError, match=rule), expected_shape(path):
        assert f"{1 / read_json(path)['a']:.2f}"
