"""The work of a study: every stage in its order, every training once, and what came of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synreid.data.pixels import pixels
from synreid.data.splits import subset
from synreid.data.table import TABLE, column, concat, pick, read_table, rows_by_person
from synreid.generate.persons import make_persons
from synreid.generate.place import GENERATOR, generator_fingerprint, learned_pictures, start_folder
from synreid.generate.quality import FILE as QUALITY
from synreid.generate.sample import StyleSampler
from synreid.generate.train import train_gan
from synreid.label.names import TAUGHT
from synreid.quality.origin import origin_auc
from synreid.reid.backbone import build
from synreid.reid.embed import ReidEmbedder
from synreid.reid.options import ReidOptions
from synreid.reid.train import train
from synreid.select.calibration import NUMBERS, calibrate, lines
from synreid.select.calibration_options import CalibrationOptions
from synreid.select.options import SelectOptions
from synreid.select.run import SUMMARY, kept_rows, pedestrian_judge, read_selection, select
from synreid.stage.errors import UserError
from synreid.stage.files import expected_shape, read_json, write_json
from synreid.stage.folder import RUN
from synreid.stage.log import say
from synreid.study.answer import findings_of, headline_arm, identical_note
from synreid.study.arms import Arm, arms_of, draw_persons, draw_real, draw_variations
from synreid.study.counts import counts_of
from synreid.study.engine import Engine
from synreid.study.guard import check_no_leak
from synreid.study.jobs import Job
from synreid.study.recipe import Recipe
from synreid.study.reference import reference_facts
from synreid.study.request import COMMAND_FILES, chosen_persons, command_files, left_out_pictures
from synreid.study.variations import variation_pools

ORIGIN = "origin.json"
CALIBRATED = "calibration"
WORKERS_LOG = "workers.log"
CALIBRATION = CalibrationOptions(pairs=1000, pictures=200)  # some seconds with one detector
OTHERS = "selection_by_"  # keys of what the recipe's other selections say of themselves
JUDGE_SHARE = 2 / 3  # of the training persons; the others calibrate the consistency rule


@dataclass(frozen=True)
class Material:
    """What all arms share; `others` are the training pictures of persons whom the subset leaves out."""

    real: pa.Table
    others: pa.Table
    test: pa.Table
    pools: dict[str, pa.Table]
    resolution: str
    generator: Path
    selections: list[Path]


class StudyWork:
    """One run of a recipe on the pictures of `table`, into the folder `out`.

    `name` is the data set's, `drawn` says that it is the embedded one, and `gan` is a finished generator to use.
    """

    def __init__(
        self, recipe: Recipe, table: pa.Table, name: str, drawn: bool, out: Path, gan: Path | None, engine: Engine
    ) -> None:
        self.recipe, self.table, self.name, self.drawn = recipe, table, name, drawn
        self.out, self.gan, self.engine = out, gan, engine
        self.arms = arms_of(recipe)
        self.notes: list[str] = []
        self.times: dict[str, float] = {}

    def run(self) -> dict[str, Any]:
        """Return what the study found, as `study.json` holds it; what is finished in the folder is not run again."""
        self._check_networks()
        material = self._material()
        if self.recipe.command is not None:
            self.notes.append(
                f"Training was the user's own command. It saw real pictures as they are and made ones at "
                f"{material.resolution}, so sharpness may tell them apart."
            )
        results = self._trainings(material)
        found = findings_of(self.arms, results, self.out / "reid")
        self.notes += identical_note(self.arms, found["differences"])
        return {
            "recipe": self.recipe.name,
            "question": self.recipe.question,
            "answer": found.pop("answer"),
            "arms": [self._arm_facts(arm, material) for arm in self.arms],
            "seeds": list(self.recipe.seeds),
            "results": results,
            **found,
            "generator": self._generator_facts(material),
            "selection": _summary(material, "select"),
            "selection_variations": _summary(material, "select-variations"),
            **{f"{OTHERS}{name}": _summary(material, f"select-by-{name}") for name in self.recipe.selections},
            "calibration": self._calibration(),
            "origin": self._origin(material),
            "data": self._data_facts(material),
            **self._reference(),
            "notes": self.notes,
            "times": self.times,
        }

    def _check_networks(self) -> None:
        """Raise UserError for networks, or weights, that cannot be had hours later either; downloads stay cached."""
        recipe = self.recipe
        if recipe.selects:
            for way in (recipe.select, *recipe.selections.values()):
                pedestrian_judge(way)
        if recipe.command is None:
            for model in (recipe.reid, *recipe.baselines.values()):
                build(model, classes=2)

    def _material(self) -> Material:
        recipe, out = self.recipe, self.out
        chosen = chosen_persons(self.table, recipe.subset)
        real, test = pick(chosen, split="train"), pick(chosen, split=("query", "gallery"))
        self.counts = counts_of(recipe, real)
        if self.gan is None and (start := start_folder(recipe.gan.start)) is not None:
            check_no_leak(learned_pictures(start).digests, self.table, real)  # before an hour is spent on it
        generator = self.gan or self._timed("generator", lambda: train_gan(real, out / "gan", recipe.gan))
        learned = learned_pictures(generator)
        unknown = check_no_leak(learned.digests, self.table, real)
        if learned.unlisted:
            self.notes.append(
                f"The generator goes on from {', '.join(sorted(learned.unlisted))}, whose training pictures are not "
                "listed: nobody can check that no test picture was among them."
            )
        if unknown:
            self.notes.append(
                f"The generator also learned from {unknown} pictures that are not in this data set "
                f"(it started from {read_json(generator / RUN)['config'].get('start')})."
            )
        sampler = StyleSampler.load(generator)
        resolution = f"{sampler.height}x{sampler.width}"
        others = left_out_pictures(self.table, recipe.subset)
        material = Material(real, others, test, {}, resolution, generator, [])
        if recipe.selects:
            self._calibrate(material)
        if recipe.amounts:
            persons = self._timed("persons", lambda: make_persons(generator, out / "persons", recipe.persons))
            self._take(material, "persons", persons, "selection", out / "select", recipe.select)
            for name, way in recipe.selections.items():
                place = out / f"select-by-{name}"
                self._take(material, f"persons-by-{name}", persons, f"selection {name}", place, way)
        if recipe.variations is not None:
            made = variation_pools(
                recipe.variations,
                real,
                generator,
                out,
                lambda folder: self._select(folder, material, out / "select-variations", recipe.select),
                self._timed,
            )
            material.pools.update(made.tables)
            material.selections.extend([made.selection] if made.selection is not None else [])
            self.notes += made.notes
        return material

    def _take(self, material: Material, pool: str, persons: Path, title: str, out: Path, way: SelectOptions) -> None:
        """Select into the folder `out`, by `title` among the times, and keep what is left as the arms' `pool`."""
        selection = self._timed(title, lambda: self._select(persons, material, out, way))
        material.pools[pool] = kept_rows(read_table(persons / TABLE), read_selection(selection))
        material.selections.append(selection)

    def _select(self, persons: Path, material: Material, out: Path, way: SelectOptions) -> Path:
        """Select with a judge that has not seen the persons it is calibrated on."""
        real = material.real
        if not way.identity:
            return select(persons, real, out, way)
        judge, unseen, taught = self._judge(material)
        folder = select(persons, real, out, way, judge, calibration=unseen)
        self._note_taught(read_selection(folder), taught)
        return folder

    def _judge(self, material: Material) -> tuple[ReidEmbedder, pa.Table, set[str]]:
        """Return a model of two thirds of the persons, the pictures of the others, and whom it has learned."""
        real = material.real
        learned = subset(real, fraction=JUDGE_SHARE, seed=self.recipe.subset.seed)
        taught = set(column(learned, "pid"))
        unseen = [pid for pid in set(column(real, "pid")) if pid not in taught]
        options = dataclasses.replace(self.recipe.reid, through=material.resolution, seed=self.recipe.seeds[0])
        options = dataclasses.replace(options, pictures_each=None, triplet=0.0)  # which want many persons in a batch
        model = self._timed("judge of selection", lambda: train(learned, None, self.out / "reid" / "judge", options))
        return ReidEmbedder(model), pick(real, pid=unseen), taught

    def _calibrate(self, material: Material) -> None:
        """Measure what the scores of selection tell apart on this set; one that is too small for it gets a note."""
        options = dataclasses.replace(CALIBRATION, resolution=material.resolution)
        realism = self.recipe.select.realism is not None
        try:
            judge, unseen, _ = self._judge(material) if self.recipe.select.identity else (None, material.real, set())
            detector, _ = pedestrian_judge(self.recipe.select)
            detectors = [detector] if detector is not None else []
            self._timed(
                "calibration of selection",
                lambda: calibrate(unseen, self.out / CALIBRATED, options, judge, detectors=detectors, realism=realism),
            )
        except UserError as error:
            self.notes.append(f"What selection's scores tell apart was not measured: {error}")

    def _note_taught(self, selection: pa.Table, taught: set[str]) -> None:
        """Note how many pictures were kept of persons whom the judge had learned from, if there are any."""
        known = np.array([pid in taught for pid in column(selection, "pid")], dtype=bool)
        kept = column(selection, "kept").astype(bool)
        if known.any() and not known.all():
            self.notes.append(
                f"Selection kept {kept[known].mean():.0%} of the variations of persons whom its judge had learned "
                f"from, and {kept[~known].mean():.0%} of the others'."
            )

    def _trainings(self, material: Material) -> list[dict[str, Any]]:
        """Train and evaluate every arm with every seed, seed by seed, so that a cut-off study is balanced."""
        jobs = [self._job(arm, seed, material) for seed in self.recipe.seeds for arm in self.arms]
        results: dict[int, dict[str, Any]] = {}
        start = time.monotonic()

        def started(place: int) -> None:
            left = ""
            if results:
                minutes = (time.monotonic() - start) / len(results) * (len(jobs) - len(results)) / 60
                left = f" (about {minutes:.0f} min left)" if round(minutes) else ""
            say(f"training {place + 1} of {len(jobs)}: {jobs[place].title}, seed {jobs[place].seed}{left}")

        def finished(place: int, result: dict[str, Any]) -> None:
            results[place] = result
            write_json(self.out / "results.json", [results[known] for known in sorted(results)])

        if self.recipe.command is not None:
            write_json(self.out / COMMAND_FILES, command_files(self.recipe.command))
        self.engine(jobs, log=self.out / WORKERS_LOG, started=started, finished=finished)
        for title, key in (("re-ID", "seconds"), ("re-ID evaluation", "evaluation_seconds")):
            known = [result[key] for result in results.values() if result[key] is not None]
            self.times |= {title: round(sum(known), 1)} if known else {}
        return [results[place] for place in range(len(jobs))]

    def _job(self, arm: Arm, seed: int, material: Material) -> Job:
        return Job(
            arm.name,
            arm.title,
            seed,
            self.out / "reid" / arm.name / str(seed),
            self._real(arm, seed, material),
            self._drawn(arm, seed, material),
            material.test,
            self._reid_options(arm, seed, material),
            arm.labels,
            teacher=self.out / "reid" / "real" / str(seed) if arm.labels in TAUGHT else None,
            command=self.recipe.command,
        )

    def _real(self, arm: Arm, seed: int, material: Material) -> pa.Table | None:
        if not arm.real:
            return None
        if not arm.more_real:
            return material.real
        return concat([material.real, draw_real(material.others, arm.more_real, self.recipe.keep, seed)])

    def _drawn(self, arm: Arm, seed: int, material: Material) -> pa.Table | None:
        if arm.persons:
            return draw_persons(material.pools[arm.pool], arm.persons, self.recipe.keep, seed)
        return draw_variations(material.pools[arm.pool], arm.variations, seed) if arm.variations else None

    def _reid_options(self, arm: Arm, seed: int, material: Material) -> ReidOptions:
        options = dataclasses.replace(self.counts.reid(arm), seed=seed)
        if arm.resolution == "generator":
            options = dataclasses.replace(options, through=material.resolution)
        options = dataclasses.replace(options, **arm.changes)
        return dataclasses.replace(options, steps=self.counts.steps(arm))

    def _made_count(self, arm: Arm, material: Material) -> int:
        """Return how many made pictures the arm gets: of a person with fewer variations than asked for, all."""
        if not arm.variations:
            return self.counts.made(arm)
        return sum(min(arm.variations, len(own)) for own in rows_by_person(material.pools[arm.pool]).values())

    def _timed(self, name: str, stage: Callable[[], Path]) -> Path:
        folder = stage()
        self.times[name] = read_json(folder / RUN)["seconds"]
        return folder

    def _arm_facts(self, arm: Arm, material: Material) -> dict[str, Any]:
        return {
            "name": arm.name,
            "title": arm.title,
            "persons": arm.persons,
            "control": arm.control,
            "real": arm.real,
            "labels": arm.labels,
            "baseline": arm.baseline,
            "matched": arm.steps_of is not None,
            "resolution": "full" if arm.resolution == "full" or self.recipe.command else material.resolution,
            "pictures_real": self.counts.real(arm),
            "pictures_made": self._made_count(arm, material),
            "variations": arm.variations,
            "pool": arm.pool if arm.augmented else None,
            "more_real": arm.more_real,
            "headline": arm == headline_arm(self.arms),
            "steps": self.counts.steps(arm),
        }

    def _generator_facts(self, material: Material) -> dict[str, Any]:
        run = read_json(material.generator / RUN)
        quality = material.generator / QUALITY
        return {
            "fingerprint": generator_fingerprint(material.generator),
            "file": GENERATOR,
            "kimg": run["kimg"],
            "start": run["config"].get("start"),
            "seconds": run["seconds"],
            "folder": str(material.generator),
            "quality": read_json(quality) if quality.exists() else [],
        }

    def _origin(self, material: Material) -> dict[str, Any]:
        """Say how well a small classifier tells kept made pictures from real ones."""
        path = self.out / ORIGIN
        if not path.exists():
            height, width = (int(side) for side in material.resolution.split("x"))
            kept = material.pools[headline_arm(self.arms).pool]
            real, made = (np.asarray(pixels(part, height, width)) for part in (material.real, kept))
            persons, made_persons = (column(part, "pid").astype(str) for part in (material.real, kept))
            write_json(path, origin_auc(real, made, persons, made_persons, height, width))
        facts: dict[str, Any] = read_json(path)
        return facts

    def _calibration(self) -> list[dict[str, Any]]:
        found = self.out / CALIBRATED / NUMBERS
        if not found.exists():
            return []
        with expected_shape(found):
            return lines(read_json(found))

    def _reference(self) -> dict[str, Any]:
        found = self.recipe.reference
        return {"reference": reference_facts(found, self.arms)} if found is not None else {}

    def _data_facts(self, material: Material) -> dict[str, Any]:
        query, gallery = (pick(material.test, split=split, junk=False) for split in ("query", "gallery"))
        splits = column(material.test, "split")
        return {
            "name": self.name,
            "drawn": self.drawn,
            "train_identities": len(set(column(material.real, "pid"))),
            "train_pictures": len(material.real),
            **self._left_out(material),
            "query": int((splits == "query").sum()),
            "query_identities": len(set(column(query, "pid")) - {None}),
            "gallery": int((splits == "gallery").sum()),
            "gallery_identities": len(set(column(gallery, "pid")) - {None}),
            "cameras": len(set(column(concat([material.real, material.test]), "camera")) - {None}),
        }

    def _left_out(self, material: Material) -> dict[str, int]:
        """Count those whom arms of more real persons draw from."""
        if not any(arm.more_real for arm in self.arms):
            return {}
        persons = len(set(column(material.others, "pid")))
        return {"left_out_identities": persons, "left_out_pictures": len(material.others)}


def _summary(material: Material, name: str) -> dict[str, Any]:
    """Return what a selection says of itself; nothing where the study has none of that name."""
    found = next((folder for folder in material.selections if folder.name == name), None)
    return read_json(found / SUMMARY) if found is not None else {}
