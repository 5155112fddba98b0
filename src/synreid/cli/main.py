"""The entry point: builds a parser from each command's function, runs it, and turns errors into one sentence."""

from __future__ import annotations

import dataclasses
import errno
import inspect
import io
import itertools
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from synreid.cli.commands import app, data, encoder, exchange, gan, persons, reid, search, select, study
from synreid.generate.options import GAN_PRESETS, PERSON_PRESETS
from synreid.invert.options import ENCODER_PRESETS
from synreid.reid.options import PRESETS as REID_PRESETS
from synreid.select.options import PRESETS as SELECT_PRESETS
from synreid.stage.errors import UserError
from synreid.stage.files import read_yaml
from synreid.stage.log import further_process

GROUPS = {
    "data": "look at a data set, or draw the embedded one",
    "gan": "train a generator",
    "encoder": "from real pictures to a generator's styles",
    "persons": "make artificial persons or variations of real ones, or take over others'",
    "select": "keep the good pictures",
    "reid": "train, evaluate and search with re-ID models",
}
COMMANDS: dict[str, Callable[..., Any]] = {
    "data check": data.data_check,
    "data street": data.data_street,
    "gan train": gan.gan_train,
    "gan import": gan.gan_import,
    "gan show": gan.gan_show,
    "gan measure": gan.gan_measure,
    "gan layers": gan.gan_layers,
    "encoder train": encoder.encoder_train,
    "encoder invert": encoder.encoder_invert,
    "encoder measure": encoder.encoder_measure,
    "persons make": persons.persons_make,
    "persons vary": persons.persons_vary,
    "persons import": exchange.persons_import,
    "select run": select.select_run,
    "select calibrate": select.select_calibrate,
    "select report": select.select_report,
    "reid train": reid.reid_train,
    "reid evaluate": reid.reid_evaluate,
    "reid index": search.reid_index,
    "reid search": search.reid_search,
    "reid onnx": search.reid_onnx,
    "privacy": persons.privacy,
    "export": exchange.export,
    "study": study.study,
    "report": study.report,
    "app": app.app,
}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "gan train": GAN_PRESETS,
    "encoder train": ENCODER_PRESETS,
    "persons make": PERSON_PRESETS,
    "select run": SELECT_PRESETS,
    "reid train": REID_PRESETS,
}
TRACKED = ("gan train", "encoder train", "reid train")  # a study looks for itself, where it is not finished
INTERRUPTED = 130
BAD_INPUT = 2
BROKEN_PIPE = 141
NO_MEMORY = "memory does not suffice; take a smaller batch, network or gallery, or fewer workers."


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 0, 2 for bad input (one sentence), 130 for ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a pipe on Windows cannot take every name
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.exit(_run(argv))
    except UserError as error:
        _fail(str(error), BAD_INPUT)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            if error.filename is None:
                raise
            _fail(f"{error.filename} cannot be used ({error.strerror}); check the path and what it is.", BAD_INPUT)
        _fail("the disk is full; free some room and run the same command again to go on.", BAD_INPUT)
    except MemoryError:
        _fail(NO_MEMORY, BAD_INPUT)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # of torch, which is not imported for a name alone
            raise
        _fail(NO_MEMORY, BAD_INPUT)
    except KeyboardInterrupt:
        _fail("stopped; the same command goes on from here.", INTERRUPTED)


def _fail(text: str, code: int) -> None:
    print(f"synreid: {' '.join(text.split())}", file=sys.stderr)  # other libraries' words may hold line breaks
    sys.exit(code)


def _run(argv: list[str]) -> int:
    argv = _spelled(argv)
    parser = _parser(argv)
    for file in map(Path, _given(argv, "--config")):
        if file.is_file():
            read_yaml(file)  # refuses what the parser would end in a traceback over, or never end
    try:
        found = parser.parse_args(argv)
    except ArgumentError as error:  # whose parser would print all options, and the one that is wrong last
        asked, reason = _name(argv), str(error).rstrip(".")
        raise UserError(f"{reason}; see `synreid{f' {asked}' if asked else ''} --help`.") from error
    name, chosen = _chosen(found)
    function = COMMANDS[name]
    if (preset := chosen.get("preset")) != (_preset(argv) if name in PRESETS else None):
        raise UserError(f"preset {preset} must be given on the command line as --preset {preset}, spelled out.")
    values: dict[str, Any] = {}
    positional: list[Any] = []
    for parameter, hint in _parameters(function):
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            fields = {field.name: chosen[field.name] for field in dataclasses.fields(hint)}
            values[parameter.name] = hint(**fields)
            continue
        value = chosen[parameter.name]
        if value is None and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            value = _from_config(chosen, parameter.name, hint)
        if value is None and parameter.default is inspect.Parameter.empty:
            raise UserError(f"synreid {name} needs {_shown(parameter)}; see `synreid {name} --help`.")
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            values[parameter.name] = value
        else:
            positional.append(value)
    if name in TRACKED and not further_process():
        from synreid.stage.tracking import check_tracking

        check_tracking()  # before an hour is spent
    return function(*positional, **values) or 0


def _from_config(chosen: Namespace, name: str, hint: Any) -> Any:
    """Return a positional argument that only the configuration file gives: argparse forgets those."""
    for file in chosen["config"] or ():
        values = read_yaml(Path(str(file)))
        if isinstance(values, dict) and values.get(name) is not None:
            try:
                return hint(values[name])
            except TypeError as error:
                raise UserError(f"{file} gives a {type(values[name]).__name__} as {name}; correct it.") from error
    return None


def _shown(parameter: inspect.Parameter) -> str:
    keyword = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    return f"--{parameter.name}" if keyword else parameter.name.upper()


def _parameters(function: Callable[..., Any]) -> list[tuple[inspect.Parameter, Any]]:
    hints = get_type_hints(function)
    return [(parameter, hints[name]) for name, parameter in inspect.signature(function).parameters.items()]


def _options(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Yield the names and types of all options, those of option classes too."""
    for parameter, hint in _parameters(function):
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from get_type_hints(hint).items()
        else:
            yield parameter.name, hint


def _parser(argv: list[str]) -> ArgumentParser:
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    from synreid import __version__

    root = ArgumentParser(
        prog="synreid",
        description="Artificial persons for person re-identification, and whether they help.",
        exit_on_error=False,
    )
    root.add_argument("--version", action="version", version=f"synreid {__version__}")
    subcommands = root.add_subcommands(dest="command", required=True)
    words = [word for word in argv if not word.startswith("-")]

    def command(name: str, function: Callable[..., Any]) -> ArgumentParser:
        """Return a command's parser, which takes time to build, empty where another command is asked for."""
        asked = words[: len(name.split())] == name.split()
        return _command_parser(name, function, argv) if asked else ArgumentParser(exit_on_error=False)

    groups: dict[str, Any] = {}
    for name, function in COMMANDS.items():
        group, _, leaf = name.partition(" ")
        if not leaf:
            subcommands.add_subcommand(group, command(name, function), help=_summary(function))
            continue
        if group not in groups:
            parser = ArgumentParser(prog=f"synreid {group}", description=GROUPS[group], exit_on_error=False)
            subcommands.add_subcommand(group, parser, help=GROUPS[group])
            groups[group] = parser.add_subcommands(dest="action", required=True)
        groups[group].add_subcommand(leaf, command(name, function), help=_summary(function))
    return root


def _summary(function: Callable[..., Any]) -> str:
    return parse_docstring(inspect.getdoc(function) or "").short_description or ""


def _command_parser(name: str, function: Callable[..., Any], argv: list[str]) -> ArgumentParser:
    parser = ArgumentParser(prog=f"synreid {name}", description=_summary(function), exit_on_error=False)
    parser.add_argument(
        "--config", action="config", help="YAML file with any of these options, such as a stage's config.yaml."
    )
    presets = PRESETS.get(name)
    if presets:
        parser.add_argument(
            "--preset", choices=sorted(presets), help="Set of options to start from; options given beside it win."
        )
    help_of = {entry.arg_name: entry.description for entry in parse_docstring(inspect.getdoc(function) or "").params}
    for parameter, hint in _parameters(function):
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            parser.add_class_arguments(hint, None, help=help_of[parameter.name])
            continue
        missing = parameter.default is inspect.Parameter.empty
        settings: dict[str, Any] = {"type": hint | None if missing else hint, "help": help_of[parameter.name]}
        settings["default"] = None if missing else parameter.default
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            parser.add_argument(f"--{parameter.name}", **settings)
        elif get_origin(hint) is tuple:  # none, or as many as are named
            parser.add_argument(parameter.name, nargs="*", **settings | {"type": get_args(hint)[0]})
        else:
            parser.add_argument(parameter.name, nargs="?", **settings)
    chosen = _preset(argv)
    if presets and chosen in presets:
        parser.set_defaults(presets[chosen])
    return parser


def _spelled(argv: list[str]) -> list[str]:
    """Return the raw arguments as the parser knows them.

    Options may have hyphens for underscores; a flag that stands alone gets `=true`, so that it takes no word after it.
    """
    if (name := _name(argv)) is None:
        return argv
    kinds = {f"--{option}": kind for option, kind in _options(COMMANDS[name])}
    argv = [_underscored(word, kinds) for word in argv]
    alone = [
        kinds.get(word) is bool and after not in ("true", "false")
        for word, after in itertools.zip_longest(argv, argv[1:])
    ]
    return [f"{word}=true" if bare else word for word, bare in zip(argv, alone, strict=True)]


def _name(argv: Sequence[str]) -> str | None:
    """Return the command that the raw arguments name, None for none of ours."""
    words = [word for word in argv if not word.startswith("-")]
    return next((name for name in COMMANDS if words[: len(name.split())] == name.split()), None)


def _underscored(word: str, known: Collection[str]) -> str:
    option, equals, value = word.partition("=")
    spelled = "--" + option.removeprefix("--").replace("-", "_")
    return f"{spelled}{equals}{value}" if option.startswith("--") and spelled in known else word


def _preset(argv: list[str]) -> str | None:
    """Return the preset's name from the raw arguments: it changes defaults, so it is needed before they are parsed."""
    return next(iter(_given(argv, "--preset")), None)


def _given(argv: list[str], option: str) -> list[str]:
    """Return all values of an option in the raw arguments."""
    after = [value for word, value in itertools.pairwise(argv) if word == option]
    return after + [word.partition("=")[2] for word in argv if word.startswith(f"{option}=")]


def _chosen(found: Namespace) -> tuple[str, Namespace]:
    """Return the command's whole name and its own arguments."""
    group = found["command"]
    inner = found[group]
    action = inner.get("action")
    return (f"{group} {action}", inner[action]) if action else (group, inner)
