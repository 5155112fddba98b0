"""The stage that makes a gallery searchable: features of unit length, picture table, and clusters of a large one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synreid.data.table import TABLE, column, read_table, table_fingerprint, write_table
from synreid.data.table import paths as picture_paths
from synreid.quality.neighbours import unit_length
from synreid.reid.embed import ReidModel, embed_files, embed_table, load_model, model_mark
from synreid.reid.gallery import persons_of
from synreid.reid.index_options import IndexOptions
from synreid.reid.vectors import (
    TOP,
    Clusters,
    build_clusters,
    load_faiss,
    nearest_exact,
    read_clusters,
    write_clusters,
)
from synreid.stage.arrays import DAMAGED, read_array
from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path
from synreid.stage.fingerprint import file_digest
from synreid.stage.folder import RUN, StageFolder, read_run

STAGE, VERSION = "reid-index", 1
FEATURES, CLUSTERS = "features.npy", "clusters.faiss"
PART = 16_384  # pictures embedded between two savings; Market-1501's gallery is one part, whose pixels are cached so


@dataclass(frozen=True)
class GalleryIndex:
    """A finished index, opened: features lie on the disk until a search looks at them."""

    folder: Path
    run: dict[str, Any]
    """What its run.json says: `config`, `inputs`, and of clusters `recall_at_10`, `probes` and `clusters`."""
    table: pa.Table
    features: np.ndarray
    """float32 [G, D] of unit length, one row a picture of `table`."""
    clusters: Clusters | None
    """None where search is exact."""

    def check_top(self, top: int) -> None:
        """Raise UserError unless that many pictures can be found."""
        count = len(self.features)
        if not 1 <= top <= count:
            raise UserError(f"top is {top}, but {self.folder} holds {count:,} pictures; ask for 1 to {count:,}.")

    def search(self, queries: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the `top` pictures most like each of `queries`, float32 [Q, D] of unit length, the most alike first.

        Cosine similarities, float32 [Q, top], and rows of the table, int64 [Q, top]; equal ones stand by their rows
        where search is exact. Raises UserError for a `top` below 1 or above the number of pictures, for queries of
        another model, and for damaged features.
        """
        self.check_top(top)
        width = self.features.shape[1]
        if queries.shape[1:] != (width,):
            raise UserError(f"queries are {queries.shape}, but {self.folder} has features of {width} numbers.")
        if self.clusters is not None:
            return self.clusters.nearest(queries, top)
        try:
            return nearest_exact(self.features, queries, top)
        except ValueError as error:
            raise UserError(f"{self.folder / FEATURES} is damaged: {error} {_AGAIN.format(self.folder)}") from error


_AGAIN = "Remove {} and index the gallery again."


def index_gallery(
    model: Path,
    table: pa.Table,
    out: Path,
    options: IndexOptions | None = None,
    asked: dict[str, Any] | None = None,
    device: str = "auto",
) -> Path:
    """Embed the pictures of `table` by a finished `reid train` folder and return `out`, a stage folder to search in.

    Writes features.npy (float32 [G, D] of unit length) and table.parquet, and above `options.exact_limit` pictures
    clusters.faiss, whose recall at 10 against exact search is measured. `asked` are the command line's own arguments
    (paths) for config.yaml. Raises UserError for a gallery without pictures, an unfit model, features that are not
    finite, and where faiss is needed and not installed.
    """
    options = options or IndexOptions()
    model, out = Path(model).resolve(), Path(out)
    if not len(table):
        raise UserError("the gallery holds no pictures; check the folder and the split.")
    inputs = {"model": model_mark(model), "pictures": table_fingerprint(table)}
    asked = {**(asked or {}), "model": str(model)}
    with StageFolder(out, STAGE, VERSION, {**asked, **asdict(options)}, inputs, unnamed=(*asked, "out")) as stage:
        if stage.complete:
            _follow(stage, table)
            return out
        clustered = len(table) > options.exact_limit
        if clustered:
            load_faiss()  # before the features, which may take hours
        features, parts = _features(load_model(model, device), table, out)
        with atomic_path(out / FEATURES) as temporary:
            np.save(temporary, features)
        write_table(table, out / TABLE)
        facts: dict[str, Any] = {"exact": not clustered}
        if clustered:
            clusters, reached = build_clusters(features, options)
            write_clusters(clusters, out / CLUSTERS)
            facts |= {"recall_at_10": reached, "probes": clusters.probes, "clusters": clusters.count}
        names = [FEATURES, TABLE, *([CLUSTERS] if clustered else [])]
        facts["bytes"] = {name: (out / name).stat().st_size for name in names}
        digests = {name: file_digest(out / name)[:16] for name in names}
        stage.finish(digests, pictures=len(table), persons=persons_of(table), **facts)
        for part in parts:
            part.unlink()
    return out


def _follow(stage: StageFolder, table: pa.Table) -> None:
    """Let a finished index name the pictures where they lie now, if the gallery was moved."""
    known = read_table(stage.path / TABLE)
    if [str(path) for path in picture_paths(known)] != [str(path) for path in picture_paths(table)]:
        write_table(table, stage.path / TABLE)
        stage.run["config"] = stage.config
        sizes = {**stage.run["bytes"], TABLE: (stage.path / TABLE).stat().st_size}
        stage.finish({**stage.run["outputs"], TABLE: file_digest(stage.path / TABLE)[:16]}, bytes=sizes)


def _features(model: ReidModel, table: pa.Table, folder: Path) -> tuple[np.ndarray, list[Path]]:
    """Return features of unit length, float32 [G, D], and the files of their parts, kept for a run that is cut off."""
    paths = [folder / f"features-{start:09d}.npy" for start in range(0, len(table), PART)]
    for number, path in enumerate(paths):
        if path.exists():
            continue
        part = table.slice(number * PART, PART)
        # the cache of decoded pictures is for what is trained on and tested again and again
        features = embed_table(model, part) if len(paths) == 1 else embed_files(model, picture_paths(part))
        bad = ~np.isfinite(features).all(axis=1)
        if bad.any():
            raise UserError(
                f"the model gives features that are not finite for {bad.sum():,} pictures (the first is "
                f"{column(part, 'path')[bad.argmax()]}), so its weights are unfit; train it again."
            )
        with atomic_path(path) as temporary:
            np.save(temporary, unit_length(features))
    return np.concatenate([_read_part(path, len(table.slice(n * PART, PART))) for n, path in enumerate(paths)]), paths


def _read_part(path: Path, rows: int) -> np.ndarray:
    try:
        features = read_array(path)
        if features.dtype != np.float32 or features.ndim != 2 or len(features) != rows:
            raise ValueError(f"it is {features.dtype} {features.shape}, not one float32 feature for each of {rows}")
    except DAMAGED as error:
        raise UserError(f"{path} is damaged ({error}); remove it and run the same command again.") from error
    return features


def open_index(folder: Path) -> GalleryIndex:
    """Open what `index_gallery` wrote; raises UserError where it is unfinished, cut short or does not fit together."""
    folder = Path(folder)
    run = read_run(folder, STAGE)
    facts = {"bytes": dict, "exact": bool, "persons": int}
    wrong = [name for name, kind in facts.items() if not isinstance(run.get(name), kind)]
    if wrong or not all(isinstance(size, int) for size in run["bytes"].values()):
        raise UserError(f"{folder / RUN} is damaged (its {[*wrong, 'bytes'][0]}). {_AGAIN.format(folder)}")
    names = [run["config"].get("model"), run["inputs"].get("model")]
    names += [run["config"].get(name) or "" for name in ("gallery", "camera_pattern")]  # which may be left out
    if not all(isinstance(name, str) for name in names):
        raise UserError(f"{folder / RUN} is damaged (what it was made from). {_AGAIN.format(folder)}")
    for name, size in run["bytes"].items():
        found = (folder / name).stat().st_size if (folder / name).is_file() else 0
        if found != size:
            raise UserError(f"{folder / name} has {found:,} of its {size:,} bytes. {_AGAIN.format(folder)}")
    table = read_table(folder / TABLE)
    try:
        features = read_array(folder / FEATURES, "r")
    except DAMAGED as error:
        raise UserError(f"{folder / FEATURES} is damaged ({error}). {_AGAIN.format(folder)}") from error
    if features.dtype != np.float32 or features.ndim != 2 or len(features) != len(table):
        raise UserError(
            f"{folder / FEATURES} is {features.dtype} {features.shape}, but {TABLE} has {len(table):,} rows. "
            + _AGAIN.format(folder)
        )
    if not features.size:
        raise UserError(f"{folder / FEATURES} is empty. {_AGAIN.format(folder)}")
    clusters = None if run["exact"] else read_clusters(folder / CLUSTERS)
    if clusters is not None and (len(clusters), clusters.width) != features.shape:
        raise UserError(f"{folder / CLUSTERS} does not belong to {FEATURES}. {_AGAIN.format(folder)}")
    return GalleryIndex(folder, run, table, features, clusters)


def as_text(folder: Path) -> str:
    """Return what an index holds and how it is searched, as a line to print."""
    run = read_run(folder, STAGE)
    persons = f"{run['persons']:,} persons" if run["persons"] else "no identities"
    how = "every one is compared"
    if not run["exact"]:
        looked = f"{run['probes']:,} of {run['clusters']:,} clusters"
        how = f"a search looks into {looked}, recall at {TOP} {run['recall_at_10']:.4f}"
    return f"{run['pictures']:,} pictures, {persons}; {how}"
