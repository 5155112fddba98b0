"""Runs a study, or finds that it is finished already: the answer lies in `study.json`."""

from __future__ import annotations

from pathlib import Path

import yaml

from synreid.data.scan import open_data
from synreid.stage.files import write_json, write_text
from synreid.stage.fingerprint import plain
from synreid.stage.folder import now
from synreid.stage.log import say
from synreid.stage.tracking import check_tracking
from synreid.study.arms import arms_of
from synreid.study.engine import Engine, choose_engine
from synreid.study.recipe import Recipe
from synreid.study.request import RECIPE, STUDY, read_request

STREET = "street"  # the folder that the recipe's own set is drawn into


def run_study(
    recipe: str,
    data: Path | None,
    out: Path,
    gan: Path | None = None,
    camera_pattern: str | None = None,
    engine: Engine | None = None,
) -> Path:
    """Run the study that `recipe` (a shipped name or a YAML file) describes and return its folder `out`.

    `data` is the user's folder; left out, the recipe's own `street` is drawn. `gan` is the folder of a finished
    generator to use instead of training one. `engine` (of `choose_engine`) runs the trainings; left out, one after the
    other in this process. A study that was cut off, or whose `study.json` is missing, goes on where it stopped.
    Raises UserError for data or a recipe that cannot give an answer, and for a store of curves that cannot be used.
    """
    request = read_request(recipe, data, gan, camera_pattern)
    wanted, table = request.recipe, request.table
    with request.folder(out) as folder:
        if folder.complete and (out / STUDY).exists():
            trainings = len(arms_of(wanted)) * len(wanted.seeds)
            say(f"all {trainings} trainings in {out} are finished; nothing is run, and their results are shown.")
        else:
            check_tracking()
            from synreid.study.work import StudyWork  # seconds, which a finished study does not ask for

            write_text(out / RECIPE, yaml.safe_dump(plain(wanted), sort_keys=False))
            if table is None:
                table = open_data(_drawn(wanted, out / STREET))
            name = Path(data).resolve().name if data is not None else "street"
            result = StudyWork(wanted, table, name, data is None, out, gan, engine or choose_engine()).run()
            result |= {"machine": folder.run["machine"], "started": folder.run["started"], "finished": now()}
            result["config"] = folder.config
            write_json(out / STUDY, result)
            folder.finish({"study": STUDY})
    return out


def _drawn(recipe: Recipe, folder: Path) -> Path:
    if not folder.exists():
        from synreid.data.street.write import draw_street

        assert recipe.street is not None
        draw_street(folder, recipe.street)
    return folder
