"""Search in an index: the gallery pictures that are most like a picture, as a list, as JSON and to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synreid.data.decode import read_picture, resize
from synreid.data.sheets import BLUE, GREEN, RED, SHOWN_HEIGHT, Colour, sheet, write_picture
from synreid.data.table import column, paths, spread
from synreid.quality.neighbours import unit_length
from synreid.reid.embed import embed_files, load_model, model_mark
from synreid.reid.evaluate import check_features
from synreid.reid.gallery import known_names, query_files
from synreid.reid.index import GalleryIndex, open_index
from synreid.stage.errors import UserError
from synreid.stage.files import write_json
from synreid.stage.log import say

SHOWN_QUERIES = 40  # lists on one sheet
SHOWN_WIDTH = SHOWN_HEIGHT // 2  # persons stand in boxes of about this shape
FRAMES: dict[bool | None, Colour | None] = {True: GREEN, False: RED, None: None}


def search(
    index: Path, picture: Path, top: int = 10, model: Path | None = None, device: str = "auto"
) -> list[dict[str, Any]]:
    """Return the `top` gallery pictures most like a picture, or like each picture under a folder.

    One entry a query: {query, pid, camera, hits: [{rank, path, pid, camera, similarity, right}]}; similarity is the
    cosine, `right` null where either identity is not known. Who a query shows is known where it lies in the data set
    that was indexed. `model` is where the model's folder lies if not where it did. Raises UserError for a damaged
    index, another model, what is not a picture, and a `top` that the gallery has not.
    """
    opened, files = open_index(index), query_files(Path(picture))
    opened.check_top(top)
    network = load_model(_same_model(opened, model), device)
    features = embed_files(network, files)
    check_features(features, len(files), "query")
    similarities, rows = opened.search(unit_length(features), top)
    return _entries(opened, files, similarities, rows)


def _same_model(index: GalleryIndex, model: Path | None) -> Path:
    """Return the folder of the model that the index was made with; raises UserError for another."""
    recorded = Path(index.run["config"]["model"])
    folder = recorded if model is None else Path(model)
    if not folder.exists():
        raise UserError(f"{folder}, the model of {index.folder}, is not there; say by --model where it lies.")
    if model_mark(folder) != index.run["inputs"]["model"]:
        raise UserError(
            f"{folder} is another model than {index.folder} was made with; name that one by --model, or index again."
        )
    return folder


def _entries(
    index: GalleryIndex, files: Sequence[Path], similarities: np.ndarray, rows: np.ndarray
) -> list[dict[str, Any]]:
    table = index.table.take(rows.ravel())
    found = zip(paths(table), column(table, "pid"), column(table, "camera"), similarities.ravel(), strict=True)
    entries = []
    for path, (pid, camera) in zip(files, _names(index, files), strict=True):
        hits = []
        for rank in range(1, rows.shape[1] + 1):
            place, hit_pid, hit_camera, similarity = next(found)
            right = None if pid is None or hit_pid is None else bool(pid == hit_pid)
            hit = {"rank": rank, "path": str(place), "pid": hit_pid, "camera": hit_camera}
            hits.append({**hit, "similarity": round(float(similarity), 6), "right": right})
        entries.append({"query": str(path), "pid": pid, "camera": camera, "hits": hits})
    return entries


def _names(index: GalleryIndex, files: Sequence[Path]) -> list[tuple[str | None, str | None]]:
    config = index.run["config"]
    gallery = config.get("gallery")
    if gallery is None or not index.run["persons"] or not Path(gallery).exists():
        return [(None, None)] * len(files)
    return known_names(files, Path(gallery), config.get("camera_pattern"))


def as_text(entries: Sequence[dict[str, Any]]) -> str:
    """Return ranked lists as lines to print: rank, similarity, person, camera, path."""
    lines = []
    for entry in entries:
        lines.append(f"{entry['query']}: {entry['pid'] or 'identity not known'}")
        lines += [
            f"{hit['rank']:5d}  {hit['similarity']:7.4f}  {hit['pid'] or '-'}  {hit['camera'] or '-'}  {hit['path']}"
            for hit in entry["hits"]
        ]
    return "\n".join(lines)


def write_ranked(entries: Sequence[dict[str, Any]], picture: Path) -> None:
    """Write ranked lists as a PNG, and all that is known of them beside it as .json; raises UserError.

    Of more than 40 queries the sheet shows 40, evenly spread. What lies where is said.
    """
    picture = Path(picture)
    if picture.suffix.lower() != ".png":
        raise UserError(f"{picture} does not end in .png; name a PNG file for the ranked lists.")
    write_json(picture.with_suffix(".json"), list(entries))
    shown = [entries[row] for row in spread(len(entries), SHOWN_QUERIES)]
    write_picture(picture, ranked_sheet(shown))
    say(f"{picture} shows {len(shown)} of {len(entries):,} lists; {picture.with_suffix('.json')} holds them all.")


def ranked_sheet(entries: Sequence[dict[str, Any]]) -> np.ndarray:
    """Return ranked lists as a sheet, uint8 [H, W, 3]: a row each, the query first in blue, then its hits.

    Under a hit stand its rank and similarity, and person and camera where they are known; its frame is green if it is
    right, red if wrong. Pictures are stretched to 128x64. Raises UserError for a picture that is no longer there.
    """
    pictures: list[np.ndarray] = []
    captions: list[str] = []
    frames: list[Colour | None] = []
    for entry in entries:
        pictures.append(_shown(entry["query"]))
        captions.append(f"query\n{_short(entry)}")
        frames.append(BLUE)
        for hit in entry["hits"]:
            pictures.append(_shown(hit["path"]))
            captions.append(f"{hit['rank']}: {hit['similarity']:.3f}\n{_short(hit)}")
            frames.append(FRAMES[hit["right"]])
    return sheet(pictures, 1 + len(entries[0]["hits"]), captions, frames)


def _shown(path: str) -> np.ndarray:
    return resize(read_picture(Path(path)), SHOWN_HEIGHT, SHOWN_WIDTH)


def _short(entry: dict[str, Any]) -> str:
    return " ".join(entry[name].rpartition("/")[2] for name in ("pid", "camera") if entry[name] is not None)
