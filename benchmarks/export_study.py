"""Copies a finished study's numbers, without pictures or paths of this machine, into `results/studies/`.

python benchmarks/export_study.py STUDY NAME --data-name pku-reid
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from synreid.stage.files import read_json, write_json
from synreid.stage.log import say

RESULTS = Path(__file__).parent.parent / "results" / "studies"


def main() -> None:
    """Read study.json, leave out what names this machine's folders, and write the rest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder of a finished study")
    parser.add_argument("name", help="name of the result")
    parser.add_argument("--data-name", help="the data set's name, for the command; left out: the embedded set")
    given = parser.parse_args()
    study = read_json(given.study / "study.json")
    study["generator"].pop("folder", None)
    study.pop("config", None)
    data = ["--data", given.data_name.upper()] if given.data_name else []
    command = shlex.join(["synreid", "study", study["recipe"], *data, "--out", f"runs/{given.name}"])
    result = {"what": f"{study['question']} {study['answer']}", "command": command, **study}
    write_json(RESULTS / f"{given.name}.json", result)
    say(study["answer"])


if __name__ == "__main__":
    main()
