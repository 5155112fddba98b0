"""The made pictures that a folder stands for: a selection's kept ones, or all of a persons folder."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from synreid.data.table import TABLE, read_table
from synreid.select.run import kept_rows, read_selection
from synreid.stage.errors import UserError
from synreid.stage.files import read_yaml
from synreid.stage.folder import CONFIG, read_run, stage_of


def made_pictures(folder: Path) -> pa.Table:
    """Return the picture table of a selection's kept pictures, or of all pictures of a `persons make` folder.

    Raises UserError where `folder` is neither, or a selection's persons are gone.
    """
    if stage_of(folder) not in (None, "select"):
        read_run(folder, "persons")
        return read_table(folder / TABLE)
    selection = read_selection(folder)
    config = read_yaml(folder / CONFIG)
    if not isinstance(config, dict) or not isinstance(config.get("persons"), str):
        raise UserError(f"{folder / CONFIG} does not name the persons that were selected from; select again.")
    persons = Path(config["persons"])
    if not persons.is_dir():
        raise UserError(f"{folder} selects from {persons}, which is gone; select again from the persons' new place.")
    return kept_rows(read_table(persons / TABLE), selection)
