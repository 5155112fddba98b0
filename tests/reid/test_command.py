from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from synreid.data.table import pick
from synreid.reid.command import fill, run_command
from synreid.stage.errors import UserError

SCRIPT = """
import csv, sys
import numpy as np
train, query, gallery, out, seed, change = sys.argv[1:]
assert len(list(csv.DictReader(open(train)))) == 52 and seed == "3"
names = sorted({row["pid"] for row in csv.DictReader(open(gallery))})
for name, path in (("query", query), ("gallery", gallery)):
    rows = list(csv.DictReader(open(path)))
    features = np.array([[row["pid"] == name for name in names] for row in rows], dtype=np.float64)
    if change == "short":
        features = features[:-1]
    if change == "nan":
        features[0] = np.nan
    if change == "nothing":
        sys.exit("the users own words")
    if change != "none":
        np.save(f"{out}/{name}.npy", features)
    if change == "archive":
        with open(f"{out}/{name}.npy", "wb") as file:
            np.savez(file, features)
"""


@pytest.fixture
def go(persons, made, tmp_path):
    script = tmp_path / "their train.py"
    script.write_text(SCRIPT)

    def run(change: str = "", command: str | None = None):
        command = command or f"{sys.executable} '{script}' {{train}} {{query}} {{gallery}} {{out}} {{seed}} '{change}'"
        parts = [pick(persons, split=split) for split in ("train", "query", "gallery")]
        return run_command(command, parts[0], made, parts[1], parts[2], tmp_path / "out", seed=3)

    return run


def test_the_users_features_are_scored_by_our_evaluator(go, tmp_path):
    result = go()
    assert result.summary["rank1"] == result.summary["map"] == 1.0
    with open(tmp_path / "out" / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["origin"] for row in rows} == {"real", "artificial"}
    assert all(Path(row["path"]).is_absolute() and Path(row["path"]).exists() for row in rows)
    assert rows[-1]["camera"] == ""


def test_a_finished_command_is_not_run_again(go, tmp_path):
    result = go()
    (tmp_path / "their train.py").write_text("raise SystemExit(9)")
    assert go().summary == result.summary


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("short", r"out/query.npy: query features have 7 rows, but there are 8 query pictures"),
        ("nan", "query.npy: query features hold 1 rows that are not finite"),
        ("archive", "query.npy is not a plain NumPy array .it is an archive, not one array"),
        ("none", "did not write .*query.npy"),
        ("nothing", "ended with 1 .the users own words"),
    ],
)
def test_what_the_command_leaves_is_checked(go, change, match):
    with pytest.raises(UserError, match=match):
        go(change)


def test_a_command_that_is_not_there_is_named(go):
    with pytest.raises(UserError, match="no-such-program cannot be started"):
        go(command="no-such-program {train}")


def test_placeholders_are_filled_after_the_split():
    assert fill("run --x={train} '{other} y'", {"train": "/a b/c"}) == ["run", "--x=/a b/c", "{other} y"]
    with pytest.raises(UserError, match="cannot be split"):
        fill("run 'x", {})
    with pytest.raises(UserError, match="empty"):
        fill(" ", {})
