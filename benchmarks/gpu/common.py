"""What the runs on a GPU share: arguments, a result that grows row by row, a training loop without a folder."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from synreid.data.scan import open_data
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.generate.augment import transforms_of
from synreid.generate.feed import Feed
from synreid.generate.options import GanOptions
from synreid.generate.state import new_state
from synreid.generate.train import _Training
from synreid.stage.device import choose_device
from synreid.stage.files import read_json, write_json
from synreid.stage.fingerprint import plain
from synreid.stage.log import say
from synreid.stage.machine import machine
from synreid.stage.world import World

RESULTS = Path(__file__).parent.parent.parent / "results" / "gpu"
PICTURES = 1024  # random ones, that a loop without a folder trains on
SEED = 0
SAME = ("gpu", "versions", "cuda", "cudnn")  # what must not change in the midst of a measurement of speed or error


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """Return the arguments that every run takes; the result goes to `name`.json unless told otherwise."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--device", default="cuda", help="cuda, or cpu to try the run without a GPU")
    made.add_argument("--tiny", action="store_true", help="sizes that a laptop takes seconds for; says nothing")
    made.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", help="where the result is written")
    return made


class Result:
    """A JSON file that is written after each row, so that a run that was cut off goes on where it stopped.

    It goes on only if the same was asked, and those entries of the machine are the same that `same` names; others, such
    as its memory or the commit, may differ, and the machines of earlier rows are kept. A finished one is made anew.
    """

    def __init__(self, path: Path, what: str, command: str, asked: dict[str, Any], same: Sequence[str] = SAME) -> None:
        self.path = path
        head = {"what": what, "command": command, "asked": asked, "seed": SEED, "machine": versions()}
        self.head: dict[str, Any] = plain(head)
        self.values: list[dict[str, Any]] = []
        if path.exists():
            before = read_json(path)
            alike = all(before["machine"].get(key) == self.head["machine"].get(key) for key in same)
            if alike and before.get("asked") == self.head["asked"] and not before["finished"]:
                self.values = before["values"]
                self.head["earlier_machines"] = [*before.get("earlier_machines", []), before["machine"]]
                say(f"going on after {len(self.values)} rows of {path.name}")

    def has(self, **key: Any) -> bool:
        """Return whether a row with these entries is there."""
        return any(all(row.get(name) == value for name, value in key.items()) for row in self.values)

    def add(self, row: dict[str, Any]) -> None:
        """Write one more row."""
        self.values.append(row)
        self._write(finished=False)

    def finish(self, **facts: Any) -> None:
        """Write what all rows together say."""
        self._write(finished=True, **facts)

    def _write(self, finished: bool, **facts: Any) -> None:
        write_json(self.path, {**self.head, **facts, "finished": finished, "values": self.values})


def versions() -> dict[str, Any]:
    """Return what a result was made on, CUDA and cuDNN included."""
    return {**machine(), "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}


def embedded_set(place: Path) -> pa.Table:
    """Return a picture table of the embedded set, drawn into `place`, to try a run with: 6 persons, and 2 to test."""
    if not place.exists():
        draw_street(place, StreetOptions(persons=6, test_persons=2, pictures=4))
    return open_data(place)


class Loop(_Training):
    """The training loop on random pictures, without a folder."""

    def __init__(self, options: GanOptions, device: torch.device | None = None) -> None:
        self.options, self.start = options, None
        self.device = device or choose_device(options.device)
        self.world = World(self.device)
        self.state, _ = new_state(options, None, self.device)
        shape = (PICTURES, 3, options.height, options.width)
        pictures = torch.from_numpy(np.random.default_rng(SEED).integers(0, 256, shape, dtype=np.uint8))
        generator = self.state.generator
        labels = torch.zeros(PICTURES, dtype=torch.int64)
        self.feed = Feed(pictures, labels, options, generator.num_ws, generator.noise_length, self.device)
        self.transforms, self.rounds = transforms_of(options.augpipe), 1
        self.judging = [p for p in self.state.discriminator.parameters() if p.requires_grad]
        self.buffers = []

    def take(self, batch: int) -> None:
        """Go on with batches of another size."""
        self.options = self.feed.options = dataclasses.replace(self.options, batch=batch)


def table(rows: list[list[str]]) -> str:
    """Return rows of cells as lines with aligned columns, the first row the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
