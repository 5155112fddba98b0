"""What the runs on a GPU share: arguments, a result that grows row by row, a training loop without a folder."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

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


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """Return the arguments that every run takes; the result goes to `name`.json unless told otherwise."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--device", default="cuda", help="cuda, or cpu to try the run without a GPU")
    made.add_argument("--tiny", action="store_true", help="sizes that a laptop takes seconds for; says nothing")
    made.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", help="where the result is written")
    return made


class Result:
    """A JSON file that is written after each row, so that a run that was cut off goes on where it stopped.

    It goes on only if the same was asked of the same GPU and versions; a finished one is made anew.
    """

    def __init__(self, path: Path, what: str, command: str, asked: dict[str, Any]) -> None:
        self.path = path
        versions = {**machine(), "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        head = {"what": what, "command": command, "asked": asked, "seed": SEED, "machine": versions}
        self.head: dict[str, Any] = plain(head)
        self.values: list[dict[str, Any]] = []
        if path.exists():
            before = read_json(path)
            same = all(before.get(key) == self.head[key] for key in ("asked", "machine"))
            if same and not before["finished"]:
                self.values = before["values"]
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
