from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from synreid.stage.errors import UserError
from synreid.stage.files import write_json
from synreid.stage.fingerprint import plain
from synreid.stage.folder import RUN
from synreid.study.request import (
    COMMAND_FILES,
    RECIPE,
    check_command_files,
    command_files,
    read_request,
)

TINY = {"name": "tiny", "street": {"persons": 6, "test_persons": 3, "pictures": 4}, "amounts": [4], "keep": 3}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture
def out(recipe: Path, tmp_path: Path) -> Path:
    """The folder of a study that was cut off."""
    request = read_request(str(recipe), None, None, None)
    with request.folder(tmp_path / "out"):
        (tmp_path / "out" / RECIPE).write_text(yaml.safe_dump(plain(request.recipe)))
    return tmp_path / "out"


def test_folder_of_another_recipe_is_refused_by_the_keys_that_differ(recipe: Path, out: Path) -> None:
    changes = {"question": "Why?", "keep": 2, "gan": {"kimg": 7}}
    recipe.write_text(yaml.safe_dump(TINY | changes))
    with pytest.raises(
        UserError, match=r"holds a study that differs in question, gan\.kimg, keep; name another folder"
    ):
        read_request(str(recipe), None, None, None).folder(out)
    recipe.write_text(yaml.safe_dump(TINY))
    read_request(str(recipe), None, None, None).folder(out)


def test_folder_of_other_pictures_is_refused_by_the_option(
    recipe: Path, out: Path, tiny_street: Path, tiny_gan: Path
) -> None:
    with pytest.raises(UserError, match="holds a study that differs in --data, --gan; name another folder"):
        read_request(str(recipe), tiny_street, tiny_gan, None).folder(out)


def test_folder_without_its_recipe_is_refused_all_the_same(recipe: Path, out: Path) -> None:
    (out / RECIPE).write_text("keys: of another version")
    recipe.write_text(yaml.safe_dump(TINY | {"keep": 2}))
    request = read_request(str(recipe), None, None, None)
    with pytest.raises(UserError, match=r"recipe was .* and is now"), request.folder(out):
        pass


def test_shipped_generator_is_to_be_gone_on_from(recipe: Path) -> None:
    with pytest.raises(UserError, match=r"leave --gan out, and write gan: \{start: street\} into the recipe"):
        read_request(str(recipe), None, Path("street"), None)
    with pytest.raises(UserError, match="nowhere is not the folder of a gan run"):
        read_request(str(recipe), None, Path("nowhere"), None)


def test_files_that_a_command_names_may_change_until_a_training_is_finished(tmp_path: Path) -> None:
    script = tmp_path / "my train.py"
    script.write_text("one")
    command = f"python '{script}' {{seed}} {{steps}} --code {'x' * 5000}"
    write_json(tmp_path / COMMAND_FILES, command_files(command))
    assert list(command_files(command)) == [str(script)]
    begun = {"stage": "reid-command", "version": 1, "fingerprint": "", "seconds": 1.0, "finished": None}
    begun |= {name: {} for name in ("config", "named", "inputs", "outputs")}
    for finished in (None, "2026-01-01"):
        write_json(tmp_path / "reid" / "real" / "0" / RUN, {**begun, "finished": finished})
        script.write_text("one")
        check_command_files(command, tmp_path)
        script.write_text("another")
        if finished is None:
            check_command_files(command, tmp_path)
        else:
            with pytest.raises(UserError, match=r"my train\.py, which command names, is not what it was"):
                check_command_files(command, tmp_path)
