"""Write the embedded set as a folder in Market-1501's layout, with the truth about every picture in `truth.parquet`."""

from __future__ import annotations

import json
import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synreid.data.street.body import JOINTS
from synreid.data.street.cameras import code
from synreid.data.street.options import StreetOptions
from synreid.data.street.persons import draw_person
from synreid.data.street.picture import Picture, draw_picture
from synreid.data.street.world import GALLERY, QUERY, TRAIN, Shot, plan
from synreid.stage.log import warn
from synreid.stage.machine import cores
from synreid.stage.progress import Bar, progress
from synreid.stage.whole import whole_folder

TRUTH = "truth.parquet"
QUALITY = 95
_ALONE = 120  # pictures that one process draws sooner than others have started
_BATCH = 24
_SPLITS = {TRAIN: "train", QUERY: "query", GALLERY: "gallery"}


def draw_street(out: Path, options: StreetOptions, workers: int | None = None) -> Path:
    """Draw the set that `options` ask for into the folder `out` and return it; the same options give the same bytes.

    `workers` processes draw (left out: one for each core). Nothing is left behind by a run that fails or is
    interrupted. Raises UserError when `out` holds anything already, cannot be written, or `options` cannot be drawn.
    """
    out = Path(out)
    everything = plan(options)
    with whole_folder(out) as folder, progress("drawing street", total=len(everything), unit="pictures") as bar:
        for name in (TRAIN, QUERY, GALLERY):
            (folder / name).mkdir()
        rows = _draw(everything, options, folder, workers or cores(), bar)
        _write_truth(rows, options, folder / TRUTH)
    return out


def _draw(everything: list[Shot], options: StreetOptions, folder: Path, workers: int, bar: Bar) -> list[dict[str, Any]]:
    """Draw and save all pictures; their truth in the order of the plan."""
    batches = [everything[start : start + _BATCH] for start in range(0, len(everything), _BATCH)]
    done: dict[int, list[dict[str, Any]]] = {}
    if workers > 1 and len(everything) > _ALONE:
        try:
            _draw_together(batches, options, folder, workers, bar, done)
        except BrokenProcessPool:
            # Killed for memory, or the caller is a script without `if __name__ == "__main__"`: no child can import it.
            warn("the processes that draw street ended early; one process draws the rest")
    for place, batch in enumerate(batches):
        if place not in done:
            done[place] = _draw_batch(batch, options, folder)
            bar.advance(len(batch))
    return [row for place in sorted(done) for row in done[place]]


def _draw_together(
    batches: list[list[Shot]],
    options: StreetOptions,
    folder: Path,
    workers: int,
    bar: Bar,
    done: dict[int, list[dict[str, Any]]],
) -> None:
    """Draw batches in several processes and enter the truth of each into `done`.

    They are spawned, not forked: a forked child of a process that has used torch's or OpenCV's threads may hang.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_quietly) as pool:
        asked = {pool.submit(_draw_batch, batch, options, folder): place for place, batch in enumerate(batches)}
        try:
            for answer in as_completed(asked):
                done[asked[answer]] = answer.result()
                bar.advance(len(done[asked[answer]]))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _quietly() -> None:
    """Leave ctrl-C to the parent, which lets the batches at hand finish and then clears up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw_batch(batch: list[Shot], options: StreetOptions, folder: Path) -> list[dict[str, Any]]:
    rows = []
    for shot in batch:
        picture = draw_picture(options.seed, shot, options.height, options.width)
        (folder / shot.path).write_bytes(code(picture.rgb, QUALITY))
        rows.append(_truth(options.seed, shot, picture))
    return rows


def _truth(seed: int, shot: Shot, picture: Picture) -> dict[str, Any]:
    return {
        "path": shot.path,
        "pid": f"{shot.person:04d}",
        "camera": f"c{shot.camera}",
        "frame": shot.frame,
        "split": _SPLITS[shot.folder],
        "orientation": shot.orientation,
        "yaw": shot.yaw % (2 * np.pi),
        "phase": shot.pose.phase % (2 * np.pi),
        "stride": shot.pose.stride,
        "gesture": shot.pose.gesture,
        "joint_x": picture.joints[:, 0].tolist(),
        "joint_y": picture.joints[:, 1].tolist(),
        "joint_visible": picture.visible.tolist(),
        "occluded": picture.occluded,
        "cut": picture.cut,
        **draw_person(seed, shot.person).attributes(),
    }


def _schema() -> pa.Schema:
    texts = draw_person(0, 1).attributes()
    joints = len(JOINTS)
    return pa.schema(
        [
            ("path", pa.string()),
            ("pid", pa.string()),
            ("camera", pa.string()),
            ("frame", pa.int32()),
            ("split", pa.string()),
            ("orientation", pa.int8()),
            ("yaw", pa.float32()),
            ("phase", pa.float32()),
            ("stride", pa.float32()),
            ("gesture", pa.string()),
            ("joint_x", pa.list_(pa.float32(), joints)),
            ("joint_y", pa.list_(pa.float32(), joints)),
            ("joint_visible", pa.list_(pa.bool_(), joints)),
            ("occluded", pa.float32()),
            ("cut", pa.float32()),
            *((name, pa.string()) for name in texts),
        ]
    )


def _write_truth(rows: list[dict[str, Any]], options: StreetOptions, path: Path) -> None:
    """One row a picture; the names of the joints and the options stand in the schema's metadata."""
    facts = {"joints": json.dumps(JOINTS), "options": json.dumps(asdict(options))}
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema()).replace_schema_metadata(facts), path)
