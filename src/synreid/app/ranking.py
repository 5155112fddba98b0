"""Search a gallery by a picture that somebody hands in, and hide what may not be shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from synreid.app.folder import Material
from synreid.data.decode import MAX_PIXELS, NOT_A_PICTURE, SUFFIXES, TOO_LARGE, PictureError, read_picture
from synreid.data.scan import open_data
from synreid.data.table import column, paths, pick
from synreid.quality.neighbours import unit_length
from synreid.reid.embed import ReidModel, embed_files, load_model, model_mark
from synreid.reid.evaluate import check_features
from synreid.reid.index import GalleryIndex, index_gallery, open_index
from synreid.report.facts import STREET
from synreid.stage.errors import UserError

UPLOADS = "uploads"  # folder of what is handed in, within the server's scratch folder
MAX_BYTES = 8 * 2**20
LIMITS = f"{', '.join(SUFFIXES)}, at most {MAX_BYTES // 2**20} MB and {MAX_PIXELS // 10**6} megapixels"


@dataclass(frozen=True)
class Hit:
    """One picture of a ranked list."""

    rank: int
    similarity: float
    """Cosine, -1 to 1."""
    pid: str | None
    camera: str | None
    picture: np.ndarray | None
    """uint8 RGB [H, W, 3]; None where it may not be shown."""


class Searcher:
    """Searches the galleries of a folder with its models; a gallery is indexed once, into `scratch`.

    The folder that is shown is not written to.
    """

    def __init__(self, material: Material, scratch: Path) -> None:
        self.material, self.scratch = material, scratch
        self._models: dict[str, ReidModel] = {}
        self._indexes: dict[tuple[str, str], GalleryIndex] = {}
        self._lock = Lock()

    def search(self, model: str, gallery: str, picture: Path, top: int) -> list[Hit]:
        """Return the `top` pictures of `gallery` that `model` finds most like the picture in a file.

        Fewer where the gallery has fewer. Raises UserError for a picture that cannot be read, and for a model or a
        gallery that the folder does not have or that do not belong together.
        """
        if model not in self.material.models or gallery not in self.material.galleries:
            raise UserError("choose a model and a gallery of the lists.")
        with self._lock:  # two askers at once would index the same gallery twice
            index = self._opened(model, gallery)
            features = embed_files(self._models[model], [picture])
        check_features(features, 1, "query")
        similarities, found = index.search(unit_length(features), min(top, len(index.table)))
        table, visible = index.table, self.material.galleries[gallery].visible
        files, pids, cameras = paths(table.take(found[0])), *(column(table, name)[found[0]] for name in NAMES)
        return [
            Hit(rank, float(similarity), pid, camera, read_picture(file) if visible[row] else None)
            for rank, (similarity, row, file, pid, camera) in enumerate(
                zip(similarities[0], found[0], files, pids, cameras, strict=True), 1
            )
        ]

    def _opened(self, model: str, gallery: str) -> GalleryIndex:
        key, place, given = (model, gallery), self.material.models[model], self.material.galleries[gallery]
        if key not in self._indexes:
            if given.index is not None:
                opened = open_index(given.index)
                if opened.run["inputs"]["model"] != model_mark(place):
                    raise UserError(f"{gallery} was not made with the model {model}; choose the one that it was.")
            else:
                folder = self.scratch / f"index-{len(self._indexes)}"
                opened = open_index(index_gallery(place, given.table, folder))
            self._models.setdefault(model, load_model(place))
            self._indexes[key] = opened
        return self._indexes[key]


NAMES = ("pid", "camera")


def checked_upload(path: Path | None, uploads: Path) -> np.ndarray:
    """Return the pixels of a picture that was handed in, uint8 RGB [H, W, 3].

    Raises UserError where there is none, where the file is no upload of this page, is too large or is no picture. The
    sentence names the file as its owner does, without our folder.
    """
    if path is None:
        raise UserError("Choose a picture first.")
    if not path.resolve().is_relative_to(uploads.resolve()):
        raise UserError("A path is not a picture: only files that are handed in here are searched for.")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path.name} has more than {MAX_BYTES // 2**20} MB; hand in a smaller one.")
    try:
        return read_picture(path)
    except PictureError as error:
        why = {NOT_A_PICTURE: "is not a picture", TOO_LARGE: "has too many pixels"}.get(error.rule, "is damaged")
        raise UserError(f"{path.name} {why}; hand in another one ({LIMITS}).") from error


def examples(material: Material) -> list[Path]:
    """Return pictures to try a search with: a drawn study's queries, else visible pictures of the galleries."""
    if material.drawn and (own := material.folder / STREET).is_dir():
        return query_pictures(own)
    found: list[Path] = []
    for gallery in material.galleries.values():
        files = paths(gallery.table)
        found += [files[row] for row in np.flatnonzero(gallery.visible)]
    return found


def query_pictures(data: Path) -> list[Path]:
    """Return the query pictures of a data set."""
    return paths(pick(open_data(data), split="query"))
