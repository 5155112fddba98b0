"""Variations of real persons: their latents changed in one way or another, and the pictures that come of it."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from synreid.data.pixels import picture_sha256, pixels
from synreid.data.sheets import BLUE, sheet, shown_scale, write_picture, write_pictures
from synreid.data.table import TABLE, column, from_columns, pick, rows, rows_by_person, write_table
from synreid.generate.generator import Generator
from synreid.generate.network import load_generator
from synreid.generate.persons import layer_group
from synreid.generate.place import generator_fingerprint, generator_place
from synreid.invert.directions import camera_differences, pca, sefa
from synreid.invert.encoder import check_styles
from synreid.invert.latents import STAGE, Latents, invert_pictures, load_latents, show
from synreid.invert.options import RefineOptions, VaryOptions
from synreid.reid.train import training_rows
from synreid.stage.device import choose_device
from synreid.stage.errors import UserError
from synreid.stage.folder import StageFolder, stage_of
from synreid.stage.log import say
from synreid.stage.progress import progress

VERSION = 1
BETWEEN = (0.25, 0.75)  # shares of the way from one picture to the other
TRIES = 100  # draws of a variation that its person does not have yet
SHEET = (16, 12)  # persons, columns


@dataclass(frozen=True)
class Variation:
    """What is done with the styles of the latents' row `base` of person `pid`; enough to make the picture again.

    `others` are further rows. `mix`: `layers` are taken from it. `between`: `amount` of the way to it. `camera`:
    `amount` times the mean difference from the base's camera to `camera` is added. `transfer`: `amount` times the
    second less the first is added. `sefa`, `pca`: `amount` standard deviations along direction `component`, in
    `layers`.
    """

    pid: str
    way: str
    base: int
    others: tuple[int, ...] = ()
    layers: tuple[int, ...] = ()
    amount: float = 0.0
    camera: str | None = None
    component: int | None = None


class Varying:
    """The ways to vary one set of latents: which of them a person has, what is drawn, and the styles it gives."""

    def __init__(self, generator: Generator, latents: Latents, options: VaryOptions) -> None:
        self.generator, self.latents, self.options = generator, latents, options
        self.w = latents.w
        right = ~column(latents.table, "junk").astype(bool)  # a junk picture does not show whom it names
        persons = {pid: rows[right[rows]] for pid, rows in rows_by_person(latents.table).items()}
        self.persons = {pid: rows for pid, rows in persons.items() if len(rows)}
        self.cameras = column(latents.table, "camera")
        self.layers = layer_group(options.layers, generator.num_ws)
        wanted = set(options.ways)
        self.differences: dict[tuple[str, str], Tensor] = {}
        if "camera" in wanted:
            pids = column(latents.table, "pid")[right]
            self.differences = camera_differences(self.w[torch.from_numpy(right)], pids, self.cameras[right])
        self.directions: dict[str, Tensor] = {}
        several = len(self.w) > 1  # one picture's styles have no deviation to measure steps in
        if several and "sefa" in wanted:
            self.directions["sefa"] = sefa(generator, self.layers, options.components).cpu()
        if several and "pca" in wanted:
            self.directions["pca"] = pca(generator, options.components, options.seed).cpu()
        spread = self.w - self.w.mean(dim=0)
        self.deviations = {  # of the latents, layer by layer, along each direction: [components, num_ws]
            name: (spread @ found.T).std(dim=0).T for name, found in self.directions.items()
        }

    @cached_property
    def real(self) -> np.ndarray:
        """The real pictures of all latents at the generator's size, uint8 [N, H, W, 3]."""
        return pixels(self.latents.table, self.generator.height, self.generator.width)

    def plan(self) -> list[Variation]:
        """Return what will be made, person by person, `images` variations of each.

        Ways follow one another in turn; one that a person's pictures do not allow is left out for that person, which is
        said. Raises UserError where none is left, or where a person's pictures cannot differ so often.
        """
        ways = {pid: self._ways_of(pid) for pid in self.persons}
        self._say_left_out(ways)
        planned = []
        for number, (pid, able) in enumerate(ways.items()):
            planned += self._of_person(number, pid, able)
        if not planned:
            raise UserError("no picture has an identity, so there is no person to vary; give pictures with identities.")
        return planned

    def _of_person(self, number: int, pid: str, ways: list[str]) -> list[Variation]:
        """Return this person's variations: its ways in turn, leaving out each as soon as it gives nothing new."""
        found: dict[Variation, None] = {}
        turns = dict.fromkeys(ways, 0)
        while len(found) < self.options.images and turns:
            k = len(found)
            way = min(turns, key=lambda name: (turns[name], ways.index(name)))
            rng = np.random.default_rng((self.options.seed, number, k, ways.index(way)))
            tries = (self._drawn(pid, way, turns[way] + again, rng) for again in range(TRIES))
            new = next((one for one in tries if one not in found), None)
            if new is None:
                del turns[way]
            else:
                turns[way] += 1
                found[new] = None
        if len(found) < self.options.images and not self.options.allow_fewer:
            raise UserError(
                f"{self.options.images} variations of person {pid} are asked for, but its {len(self.persons[pid])} "
                f"pictures give only {len(found)} that differ; take --images {len(found)} or fewer, further ways than "
                f"{', '.join(self.options.ways)}, or --allow_fewer true."
            )
        return list(found)

    def _ways_of(self, pid: str) -> list[str]:
        """Return the ways that this person's pictures allow, in the order of the options."""
        own = self.persons[pid]
        others = {other: rows for other, rows in self.persons.items() if other != pid}
        able = {
            "inversion": True,
            "mix": bool(others),
            "between": len(own) > 1,
            "camera": any(start == self.cameras[row] for row in own for start, _ in self.differences),
            "transfer": any(len(rows) > 1 for rows in others.values()),
            **{way: way in self.directions for way in ("sefa", "pca")},
        }
        return [way for way in self.options.ways if able[way]]

    def _say_left_out(self, ways: dict[str, list[str]]) -> None:
        needs = {
            "mix": "pictures of another person",
            "between": "two pictures of the person",
            "camera": "persons seen by its camera and by another, three at least",
            "transfer": "two pictures of another person",
            **dict.fromkeys(("sefa", "pca"), "two inverted pictures"),
        }
        for way in self.options.ways:
            without = [pid for pid, able in ways.items() if way not in able]
            if without and (helpless := [pid for pid in without if not ways[pid]]):
                raise UserError(
                    f"person {helpless[0]} cannot be varied: {way} needs {needs[way]} ({len(helpless)} such persons); "
                    "name further ways, invert more pictures, or leave these persons out."
                )
            if without:
                say(f"{way} needs {needs[way]}: {len(without)} of {len(ways)} persons are varied in other ways only.")

    def _drawn(self, pid: str, way: str, turn: int, rng: np.random.Generator) -> Variation:
        """Draw one variation; `turn` counts this person's earlier ones of this way, so that bases take turns."""
        own = self.persons[pid]
        order = np.random.default_rng((self.options.seed, int(own[0]))).permutation(own)
        base = int(order[turn % len(own)])
        first = Variation(pid, way, base)
        if way == "mix":
            return dataclasses.replace(
                first, others=(self._of_another(pid, rng, 1)[0],), layers=self.layers, amount=1.0
            )
        if way == "between":
            other = int(rng.choice(own[own != base]))
            return dataclasses.replace(first, others=(other,), amount=float(rng.uniform(*BETWEEN)))
        if way == "camera":
            return self._to_camera(first, own, rng)
        if way == "transfer":
            return dataclasses.replace(first, others=self._of_another(pid, rng, 2), amount=self.options.strength)
        if way in self.directions:
            component = int(rng.integers(len(self.directions[way])))
            amount = float(self.options.step * rng.uniform(0.5, 1) * rng.choice([-1, 1]))
            return dataclasses.replace(first, layers=self.layers, amount=amount, component=component)
        return first

    def _of_another(self, pid: str, rng: np.random.Generator, count: int) -> tuple[int, ...]:
        """Return `count` rows of one other person, drawn; for two, of different cameras where the person has them."""
        fit = [other for other, rows in self.persons.items() if other != pid and len(rows) >= count]
        rows = self.persons[fit[rng.integers(len(fit))]]
        one = int(rng.choice(rows))
        if count == 1:
            return (one,)
        elsewhere = rows[self.cameras[rows] != self.cameras[one]]
        rest = elsewhere if len(elsewhere) else rows[rows != one]
        return one, int(rng.choice(rest))

    def _to_camera(self, first: Variation, own: np.ndarray, rng: np.random.Generator) -> Variation:
        """Return a variation from a camera that differences are known of, to another one."""
        able = {start for start, _ in self.differences}
        base = first.base if self.cameras[first.base] in able else next(int(r) for r in own if self.cameras[r] in able)
        ends = sorted(end for start, end in self.differences if start == self.cameras[base])
        end = ends[rng.integers(len(ends))]
        return dataclasses.replace(first, base=base, camera=end, amount=1.0)

    def styles(self, variations: Sequence[Variation]) -> Tensor:
        """Return the styles [N, num_ws, w_dim] of the variations."""
        return torch.stack([self._changed(one) for one in variations])

    def _changed(self, one: Variation) -> Tensor:
        w = self.w[one.base].clone()
        layers = list(one.layers)
        if one.way == "mix":
            w[layers] = self.w[one.others[0]][layers]
        elif one.way == "between":
            w = w.lerp(self.w[one.others[0]], one.amount)
        elif one.way == "camera":
            assert one.camera is not None
            w += one.amount * self.differences[self.cameras[one.base], one.camera]
        elif one.way == "transfer":
            start, end = one.others
            w += one.amount * (self.w[end] - self.w[start])
        elif one.way in self.directions:
            assert one.component is not None
            step = self.deviations[one.way][one.component][layers, None] * self.directions[one.way][one.component]
            w[layers] += one.amount * step
        return w

    def parents(self, one: Variation) -> list[dict[str, Any]]:
        """Return the real pictures that a variation comes from, the person's own first."""
        everything = range(self.generator.num_ws)
        kept = [k for k in everything if k not in one.layers] if one.way == "mix" else list(everything)
        weight = 1.0 - one.amount if one.way == "between" else 1.0
        found = [self._parent(one.base, weight, "person", kept)]
        if one.way == "mix":
            found.append(self._parent(one.others[0], 1.0, "style", list(one.layers)))
        if one.way == "between":
            found.append(self._parent(one.others[0], one.amount, "person", kept))
        if one.way == "transfer":
            start, end = one.others
            found += [self._parent(start, -one.amount, "from", kept), self._parent(end, one.amount, "to", kept)]
        return found

    def _parent(self, row: int, weight: float, role: str, layers: list[int]) -> dict[str, Any]:
        digest = self.latents.table.column("sha256")[row].as_py()
        return {"sha256": digest, "weight": weight, "role": role, "layers": layers}

    def pictures(self, pid: str, variations: Sequence[Variation]) -> np.ndarray:
        """Return variations of one person, uint8 [N, H, W, 3]."""
        generator = self.latents.tuned(self.generator, pid)
        made = show(generator, self.styles(variations))
        if not self.options.detail:
            return made
        bases, place = np.unique([one.base for one in variations], return_inverse=True)
        lost = self.real[bases].astype(np.float32) - show(generator, self.w[torch.from_numpy(bases)])
        whole = made + self.options.detail * lost[place]
        return np.clip(np.rint(whole), 0, 255).astype(np.uint8)

    def recipe(self, one: Variation) -> str:
        """Return all that it takes to make the picture again, as JSON."""
        facts = {"maker": self.latents.generator, "latents": self.latents.fingerprint, "operation": one.way}
        return json.dumps(
            {**facts, **dataclasses.asdict(one), "detail": self.options.detail, "seed": self.options.seed}
        )


def latents_of(gan: Path, encoder: Path, table: pa.Table | None, out: Path, refine: RefineOptions | None) -> Path:
    """Return the folder of the latents that `out` is to be made from.

    `encoder` is the folder of a finished `encoder invert`, which is returned, or of a finished `encoder train`: then
    the training pictures of `table` are inverted, refined by `refine`, into a folder beside `out`, with `-latents`
    behind its name. Raises UserError where pictures are missing, or given although the latents are there.
    """
    ready = stage_of(encoder) == STAGE
    if ready and (table is not None or refine is not None):
        raise UserError(
            f"{encoder} holds latents, which say which pictures are varied and how they were refined; leave --data and "
            "--steps out, or name an encoder."
        )
    if ready:
        return encoder
    if table is None:
        raise UserError(f"{encoder} is an encoder, so pictures are needed to vary; name their folder with --data.")
    train = training_rows(pick(table, split="train"))
    folder = out.resolve().with_name(out.resolve().name + "-latents")
    return invert_pictures(train, gan, encoder, folder, refine or RefineOptions())


def vary_persons(
    gan: Path, latents: Path, out: Path, options: VaryOptions, config: dict[str, Any] | None = None
) -> Path:
    """Write variations of the persons whose `latents` (the folder of an `encoder invert`) are given; return `out`.

    `gan` is the generator that they are styles of. Writes `pictures/<person>/<person>_<picture>.png`, `table.parquet`
    (one row a picture: the person's pid, the parents, and all that it takes to make it again) and `sheet.png` (a row a
    person, a real picture first). Junk pictures and those without an identity are not varied.

    Raises UserError for a generator without style layers, latents of another generator or of test pictures, and persons
    who cannot be varied as asked.
    """
    place = generator_place(gan)
    generator = load_generator(place).to(choose_device())
    check_styles(generator)
    found = load_latents(latents, gan)
    training_rows(found.table)  # a test picture must not be varied
    varying = Varying(generator, found, options)
    planned = varying.plan()
    asked = config or dataclasses.asdict(options)
    inputs = {"generator": generator_fingerprint(place), "latents": found.fingerprint}
    unnamed = ("gan", "encoder", "data", "out", "steps", "subset", "subset_seed", "camera_pattern")
    with StageFolder(out, "persons", VERSION, asked, inputs, unnamed) as folder:
        if not folder.complete:
            made = _write_pictures(varying, planned, out)
            write_table(made, out / TABLE)
            folder.finish({"pictures": len(made)})
    return out


def _write_pictures(varying: Varying, planned: list[Variation], out: Path) -> pa.Table:
    """Make and write the pictures, a person after the other, since generators may be tuned to them."""
    digests: list[str] = []
    paths: list[str] = []
    shown: list[tuple[Variation, np.ndarray]] = []
    with progress("varying persons", len(planned), "pictures") as bar:
        for number, (pid, block) in enumerate(_persons(planned)):
            pictures = varying.pictures(pid, block)
            names = [f"pictures/{number:06d}/{number:06d}_{k:04d}.png" for k in range(len(block))]
            write_pictures([out / name for name in names], pictures)
            paths += names
            digests += map(picture_sha256, pictures)
            if number < SHEET[0]:
                shown += zip(block[: SHEET[1] - 1], pictures, strict=False)
            bar.advance(len(block))
    write_picture(out / "sheet.png", _sheet(varying, shown))
    return from_columns(
        root=["."] * len(planned),
        path=paths,
        sha256=digests,
        pid=[one.pid for one in planned],
        origin=["variation"] * len(planned),
        claim=["parent"] * len(planned),
        camera=[one.camera or varying.cameras[one.base] for one in planned],
        split=["train"] * len(planned),
        parents=[varying.parents(one) for one in planned],
        maker=[varying.recipe(one) for one in planned],
    )


def _persons(planned: list[Variation]) -> Iterator[tuple[str, list[Variation]]]:
    """Yield each person with its variations; they are planned person by person."""
    for pid, found in itertools.groupby(planned, key=lambda one: one.pid):
        yield pid, list(found)


def _sheet(varying: Varying, shown: list[tuple[Variation, np.ndarray]]) -> np.ndarray:
    """Return persons, a row each: the first variation's real picture (framed), then variations."""
    height, width = varying.generator.height, varying.generator.width
    pictures = dict(zip([id(one) for one, _ in shown], [made for _, made in shown], strict=True))
    cells, captions, frames = [], [], []
    for _, block in _persons([one for one, _ in shown]):
        real = pixels(rows(varying.latents.table, [block[0].base]), height, width)[0]
        blank = [np.full_like(real, 255)] * (SHEET[1] - 1 - len(block))
        cells += [real, *(pictures[id(one)] for one in block), *blank]
        captions += ["real", *(one.way for one in block), *([""] * len(blank))]
        frames += [BLUE, *([None] * (SHEET[1] - 1))]
    return sheet(np.stack(cells), SHEET[1], captions=captions, frames=frames, scale=shown_scale(height))
