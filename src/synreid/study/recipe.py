"""A recipe: everything that decides a study's result, as YAML that a person can read and change."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import shlex
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from synreid.data.street.options import StreetOptions
from synreid.generate.options import GanOptions, PersonOptions
from synreid.invert.options import EncoderOptions, RefineOptions, VaryOptions
from synreid.label.names import PersonLabels
from synreid.reid.options import PRESETS, ReidOptions
from synreid.select.options import SelectOptions, check
from synreid.stage.errors import UserError
from synreid.stage.files import read_yaml
from synreid.study.reference import Reference

SHIPPED = Path(__file__).parent / "recipes"
ExtraArm = Literal["random-erasing", "colour-jitter", "synthetic-only", "shuffled-labels", "more-real"]
AUGMENTED = {"random-erasing", "colour-jitter"}  # arms of real pictures that our own training augments
VariationArm = Literal["all", "selected", "soft", "inversion"]


@dataclass(frozen=True)
class Subset:
    """Which training persons the study has: the same ones for the same seed, a smaller part within a larger one."""

    fraction: float | None = None
    """Share of the training persons, above 0 and up to 1."""
    identities: int | None = None
    """Number of training persons, at most; all where there are fewer."""
    seed: int = 0
    """Seed of the draw."""


@dataclass(frozen=True)
class Variations:
    """Variations of the real persons: how they are made, and the arms that add them under their parents' identities."""

    amounts: tuple[int, ...] = (5,)
    """Numbers of variations of each real person to add."""
    arms: tuple[VariationArm, ...] = ("all", "selected", "soft", "inversion")
    """What is added, for each amount. `all`: any of the pool, labelled as the parent, which is the thesis's way.
    `selected`: of those that selection keeps. `soft`: these, with the labels that `labels` names. `inversion`:
    inverted pictures with nothing changed, as a control."""
    labels: Literal["smoothed", "mixture", "teacher"] = "teacher"
    """Labels of `soft`; the teacher is the model of the real arm with the same seed."""
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    """The encoder and its training."""
    refine: RefineOptions = field(default_factory=RefineOptions)
    """How far the encoder's styles are refined."""
    vary: VaryOptions = field(default_factory=VaryOptions)
    """The pool of variations: more of each person than are added, since selection discards some."""

    def __post_init__(self) -> None:
        """Raise UserError for what cannot give an answer."""
        if not self.amounts or min(self.amounts) < 1 or len(set(self.amounts)) < len(self.amounts):
            raise UserError(
                f"variations.amounts {list(self.amounts)} must be different numbers of pictures above 0, at least one."
            )
        if not self.arms or len(set(self.arms)) < len(self.arms):
            raise UserError(f"variations.arms {list(self.arms)} must be different arms, at least one.")
        if max(self.amounts) > self.vary.images:
            raise UserError(
                f"{max(self.amounts)} variations of each person are to be added, but only {self.vary.images} are made; "
                "raise variations.vary.images or lower variations.amounts."
            )


@dataclass(frozen=True)
class PersonArm:
    """An arm of artificial persons in which several things differ at once from the arms that the lists make."""

    persons: int | None = None
    """Number of persons, one of the recipe's `amounts`; the largest where it is left out."""
    labels: Literal["new-identity", PersonLabels] = "new-identity"
    """Their labels."""
    selection: str | None = None
    """Name of one of the recipe's `selections`; its `select` where it is left out."""
    made_ratio: float | None = None
    """Artificial pictures in a batch for each real one, above 0; that of `reid` where it is left out."""
    made_weight: float | None = None
    """Weight of their loss; that of `reid` where it is left out."""

    @property
    def changes(self) -> dict[str, Any]:
        """Options of training that it changes."""
        named = {"made_ratio": self.made_ratio, "made_weight": self.made_weight}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class Recipe:
    """A whole study: data, generator, made persons or variations, selection, arms and seeds."""

    name: str
    """What the study is called in its report."""
    question: str = "Do artificial persons help this re-ID model?"
    """The question that the report answers."""
    street: StreetOptions | None = None
    """The embedded set to draw when no folder is given."""
    subset: Subset = field(default_factory=Subset)
    """Training persons to use; the test persons are always all of them."""
    gan: GanOptions = field(default_factory=GanOptions)
    """The generator and its training."""
    persons: PersonOptions = field(default_factory=PersonOptions)
    """The pool of artificial persons: more persons and pictures than are used, since selection discards some."""
    select: SelectOptions = field(default_factory=SelectOptions)
    """Which pictures to keep."""
    reid: ReidOptions = field(default_factory=ReidOptions)
    """The re-ID model; its seed is set by the study."""
    baselines: dict[str, ReidOptions] = field(default_factory=dict)
    """Other re-ID models, each under a name: real pictures and those with each amount of persons are trained with them
    too, for what helps a weak model need not help a strong one."""
    amounts: tuple[int, ...] = (50,)
    """Numbers of artificial persons to add, an arm for each; none only where there are variations."""
    keep: int = 10
    """Kept pictures of each added person."""
    variations: Variations | None = None
    """Variations of the real persons, with arms of their own."""
    extra: tuple[ExtraArm, ...] = ()
    """Further arms, as large as the largest amount: real pictures with random erasing or colour jitter, artificial
    persons alone, real pictures and persons with shuffled labels. `more-real` is one for each amount: as many more real
    persons instead, of those whom the subset leaves out, with `keep` pictures each."""
    labels: tuple[PersonLabels, ...] = ()
    """Further arms of the largest amount of persons, which are labelled otherwise than by identities of their own; a
    teacher is the model of the real arm with the same seed."""
    selections: dict[str, SelectOptions] = field(default_factory=dict)
    """Further arms of the largest amount of persons, chosen from the same pool by other rules, each under a name."""
    arms: tuple[PersonArm, ...] = ()
    """Further arms of artificial persons, spelled out: other labels for what other rules chose, say."""
    full_resolution: bool = True
    """Also train on the real pictures as they are, not passed through the generator's resolution."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of re-ID training and of the draw of persons, the same in every arm."""
    command: str | None = None
    """The user's own training command in place of SynReID's re-ID stage, with {seed} and {steps} in it; see
    `synreid.reid.command`."""
    reference: Reference | None = None
    """Numbers that others have published for this question, to stand beside the result."""

    def __post_init__(self) -> None:
        """Raise UserError for a recipe that cannot give an answer."""
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"recipe {self.name}: seeds {list(self.seeds)} must be different numbers, at least one.")
        if min(self.seeds) < 0 or max(self.seeds) >= 2**32:
            raise UserError(f"recipe {self.name}: seeds {list(self.seeds)} must lie in 0 to 2^32 - 1.")
        self._check_amounts()
        if len(set(self.extra)) < len(self.extra):
            raise UserError(f"recipe {self.name}: extra {list(self.extra)} names an arm twice.")
        self._check_baselines()
        self._check_labels()
        self._check_selections()
        self._check_arms()
        self._check_command()
        if self.gan.gpus > 1:
            raise UserError(
                f"recipe {self.name}: a study trains its generator on one device; train it before with gan train "
                f"--gpus {self.gan.gpus} and name it with --gan."
            )
        if self.subset.fraction is not None and self.subset.identities is not None:
            raise UserError(f"recipe {self.name}: subset takes either a fraction or a number of identities, not both.")
        if self.variations is not None and self.gan.cfg == "dcgan":
            raise UserError(
                f"recipe {self.name}: a generator of cfg dcgan has no style layers, which variations are made in; take "
                "another gan.cfg."
            )

    @property
    def selects(self) -> bool:
        """Whether selection has anything to do: not where only inversions or unselected variations are added."""
        chosen = {"selected", "soft"} & set(self.variations.arms if self.variations is not None else ())
        return bool(self.amounts or chosen)

    def _check_baselines(self) -> None:
        _check_names(self.name, "baselines", self.baselines)
        if self.baselines and self.command is not None:
            raise UserError(
                f"recipe {self.name}: baselines {list(self.baselines)} are for our own training, not for command; "
                "leave one out."
            )
        if self.baselines and not self.amounts:
            raise UserError(
                f"recipe {self.name}: baselines {list(self.baselines)} are trained with artificial persons, but "
                "amounts has none; name an amount, or leave baselines out."
            )

    def _check_labels(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise UserError(f"recipe {self.name}: labels {list(self.labels)} names a strategy twice.")
        if self.labels and not self.amounts:
            raise UserError(
                f"recipe {self.name}: labels {list(self.labels)} are of artificial persons, but amounts has none; name "
                "an amount, or leave labels out."
            )
        named = [*self.labels, *(arm.labels for arm in self.arms if arm.labels != "new-identity")]
        if named and self.command is not None:
            raise UserError(
                f"recipe {self.name}: labels {named} are for our own training, not for command; leave one out."
            )

    def _check_command(self) -> None:
        if self.command is None:
            return
        if unfit := set(self.extra) & {*AUGMENTED, "shuffled-labels"}:
            raise UserError(
                f"recipe {self.name}: {sorted(unfit)[0]} is for our own training, not for command; leave one out."
            )
        if self.variations is not None and "soft" in self.variations.arms:
            raise UserError(
                f"recipe {self.name}: soft labels are for our own training, not for command; leave soft out of "
                "variations.arms."
            )
        try:
            shlex.split(self.command)
        except ValueError as error:
            raise UserError(f"recipe {self.name}: command cannot be split into words ({error}); correct it.") from error
        if lacking := [name for name in ("{steps}", "{seed}") if name not in self.command]:
            raise UserError(
                f"recipe {self.name}: command lacks {' and '.join(lacking)}; only {{steps}} tells a control of as many "
                "steps from the arm real, and only {seed} the trainings of each of them from one another; give it both."
            )

    def _check_arms(self) -> None:
        for arm in self.arms:
            if arm.changes and self.command is not None:
                raise UserError(
                    f"recipe {self.name}: {next(iter(arm.changes))} is for our own training, not for command; leave "
                    "one out."
                )
            if arm == PersonArm(arm.persons):
                raise UserError(
                    f"recipe {self.name}: an arm of arms differs in nothing from that of its amount; change something."
                )
            if not self.amounts or (arm.persons is not None and arm.persons not in self.amounts):
                raise UserError(
                    f"recipe {self.name}: an arm of arms adds {arm.persons or 'artificial'} persons, but amounts are "
                    f"{list(self.amounts)}; name it there too."
                )
            if arm.selection is not None and arm.selection not in self.selections:
                raise UserError(
                    f"recipe {self.name}: an arm of arms has selection {arm.selection}, but selections are "
                    f"{list(self.selections)}; name it there too."
                )
            dataclasses.replace(self.reid, **arm.changes)
        most = max(self.amounts, default=None)
        if len({dataclasses.replace(arm, persons=arm.persons or most) for arm in self.arms}) < len(self.arms):
            raise UserError(f"recipe {self.name}: arms names an arm twice; leave one out.")

    def _check_selections(self) -> None:
        _check_names(self.name, "selections", self.selections)
        for way in (self.select, *self.selections.values()):
            check(way)
            if self.amounts and way.most_pictures is not None and way.most_pictures < self.keep:
                raise UserError(
                    f"recipe {self.name}: most_pictures {way.most_pictures} leaves no person the {self.keep} pictures "
                    "that keep asks for; raise it, or lower keep."
                )
        if self.selections and not self.amounts:
            raise UserError(
                f"recipe {self.name}: selections {list(self.selections)} are of artificial persons, but amounts has "
                "none; name an amount, or leave selections out."
            )

    def _check_amounts(self) -> None:
        if not self.amounts and self.variations is not None and set(self.extra) <= AUGMENTED:
            return
        if not self.amounts or min(self.amounts) < 1 or len(set(self.amounts)) < len(self.amounts):
            raise UserError(
                f"recipe {self.name}: amounts {list(self.amounts)} must be different numbers of persons above 0."
            )
        if self.keep < 1:
            raise UserError(f"recipe {self.name}: keep {self.keep} must be at least 1 picture of a person.")
        if max(self.amounts) > self.persons.persons:
            raise UserError(
                f"recipe {self.name}: {max(self.amounts)} persons are to be added, but only {self.persons.persons} are "
                "made; raise persons.persons or lower amounts."
            )
        if self.keep > self.persons.images:
            raise UserError(
                f"recipe {self.name}: {self.keep} pictures of a person are to be kept, but only {self.persons.images} "
                "are made; raise persons.images or lower keep."
            )


def _check_names(recipe: str, of: str, named: Iterable[str]) -> None:
    """Raise UserError for a name that could not be a part of an arm's name, which is a folder's name too."""
    if unfit := [name for name in named if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name)]:
        raise UserError(f"recipe {recipe}: '{unfit[0]}' of {of} must be a name of small letters, digits and hyphens.")


def shipped_recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """Return the shipped recipe `name`, or the one in the YAML file of that path; raises UserError otherwise."""
    path = SHIPPED / f"{name}.yaml"
    if not path.exists():
        path = Path(name)
    if not path.is_file():
        raise UserError(f"recipe {name} is neither shipped ({', '.join(shipped_recipes())}) nor a YAML file.")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a recipe; it must hold keys such as name, amounts and seeds.")
    return recipe_from(values, str(path))


def recipe_from(values: dict[str, Any], origin: str) -> Recipe:
    """Build a recipe from plain values; `origin` is named in the UserError that a wrong key or value raises."""
    values = _with_presets(values, origin)
    _check_keys(values, Recipe, origin)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Recipe, None)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return _build(parser, values)
    except (ArgumentError, TypeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{origin} is not a recipe that can be run ({reason}); correct it.") from error


def _with_presets(values: dict[str, Any], origin: str) -> dict[str, Any]:
    """Put a preset's options in place of its name, as the key `preset` of `reid` and of each of `baselines`."""

    def spelled(options: Any) -> Any:
        if not isinstance(options, dict) or "preset" not in options:
            return options
        preset = options["preset"]
        if not isinstance(preset, str) or preset not in PRESETS:
            raise UserError(
                f"{origin} has preset {preset}, but the presets are {', '.join(PRESETS)}; take one of them."
            )
        return PRESETS[preset] | {name: value for name, value in options.items() if name != "preset"}

    found = dict(values)
    if "reid" in found:
        found["reid"] = spelled(found["reid"])
    if isinstance(found.get("baselines"), dict):
        found["baselines"] = {name: spelled(options) for name, options in found["baselines"].items()}
    return found


def _check_keys(values: dict[str, Any], options: type, origin: str, within: str = "") -> None:
    """Raise UserError for a key that `options` or a group of options among them has not; it names those that there are.

    Options under names of the user's own, as `baselines` has them, are left to the parser.
    """
    kinds = get_type_hints(options)
    if unknown := [key for key in values if key not in kinds]:
        where = f"; {within.removesuffix('.')} takes" if within else ", but a recipe takes"
        raise UserError(f"{origin} has the key {within}{unknown[0]}{where} {', '.join(kinds)}; correct it.")
    for key, value in values.items():
        kind = kinds[key]
        for one in get_args(kind) if isinstance(kind, types.UnionType) else (kind,):
            if isinstance(one, type) and dataclasses.is_dataclass(one) and isinstance(value, dict):
                _check_keys(value, one, origin, f"{within}{key}.")


def _build(parser: ArgumentParser, values: dict[str, Any]) -> Recipe:
    namespace = parser.instantiate(parser.parse_object(values))
    return Recipe(**{name: getattr(namespace, name) for name in Recipe.__dataclass_fields__})
