"""Commands that search a gallery with a re-ID model, or hand the model on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from synreid.reid.index_options import IndexOptions


def reid_index(
    model: Path,
    gallery: Path,
    *,
    out: Path,
    options: IndexOptions,
    split: Literal["gallery", "all"] = "gallery",
    plain: bool = False,
    camera_pattern: str | None = None,
) -> None:
    """Make a gallery searchable: its features by a trained model, and clusters of them where it is large.

    Args:
        model: Folder of a finished `reid train`.
        gallery: Folder or CSV file of person pictures, or any folder of pictures, which then have no identities.
        out: Folder for the index.
        options: How the gallery is searched.
        split: Whether the data's gallery is indexed or all of its pictures.
        plain: Take all pictures under a folder, however its folders are named, and no identities.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.reid.gallery import gallery_table
    from synreid.reid.index import as_text, index_gallery

    table = gallery_table(gallery, split, camera_pattern, plain)
    asked = {"model": model, "gallery": gallery.resolve(), "out": out, "split": split, "plain": plain}
    print(as_text(index_gallery(model, table, out, options, {**asked, "camera_pattern": camera_pattern})))


def reid_search(
    index: Path, picture: Path, *, top: int = 10, out: Path | None = None, model: Path | None = None
) -> None:
    """Print the gallery pictures that are most like a picture, or like each of a folder.

    Args:
        index: Folder of a finished `reid index`.
        picture: Picture of a person, or folder of such pictures.
        top: How many gallery pictures to find for each.
        out: PNG file for the ranked lists to look at; all numbers go into a .json file of the same name.
        model: Folder of the model, if it no longer lies where the index was made with it.
    """
    from synreid.reid.search import as_text, search, write_ranked

    found = search(index, picture, top, model)
    if out is not None:
        write_ranked(found, out)
    print(as_text(found))


def reid_onnx(model: Path, *, out: Path) -> None:
    """Write a trained model as an ONNX file that takes pictures and gives features, checked against the model.

    Args:
        model: Folder of a finished `reid train`.
        out: The .onnx file.
    """
    from synreid.reid.onnx import export_onnx

    print(f"{out} differs from {model} by at most {export_onnx(model, out):.1e} of the features' scale.")
