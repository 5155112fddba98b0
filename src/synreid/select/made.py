"""The made pictures that a folder stands for: a selection's kept ones, or all of a persons folder."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import yaml

from synreid.data.table import TABLE, read_table
from synreid.select.run import kept_rows, read_selection
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.stage.folder import CONFIG, RUN, read_run


def made_pictures(folder: Path) -> pa.Table:
    """Return the picture table of a selection's kept pictures, or of all pictures of a `persons make` folder.

    Raises UserError where `folder` is neither, or a selection's persons are gone.
    """
    if (folder / RUN).exists() and read_json(folder / RUN).get("stage") != "select":
        read_run(folder, "persons")
        return read_table(folder / TABLE)
    selection = read_selection(folder)
    persons = Path(yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))["persons"])
    if not persons.is_dir():
        raise UserError(f"{folder} selects from {persons}, which is gone; select again from the persons' new place.")
    return kept_rows(read_table(persons / TABLE), selection)
