"""A generator's folder: where it lies, which one it is, and what it has learned from; light to import."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from synreid.stage.errors import UserError
from synreid.stage.files import atomic_path
from synreid.stage.fingerprint import file_digest, fingerprint
from synreid.stage.folder import RUN, read_run

GENERATOR = "generator.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
PICTURES = "pictures.parquet"
UNLISTED = "unlisted"  # key of that file's metadata
SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class LearnedPictures:
    """The SHA-256 digests of the pictures that a generator learned from, its predecessors' included.

    `unlisted` names predecessors whose pictures nobody has listed, such as an imported file.
    """

    digests: frozenset[str]
    unlisted: frozenset[str] = frozenset()

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name this set."""
        return fingerprint(sorted(self.digests), sorted(self.unlisted))

    def __or__(self, other: LearnedPictures) -> LearnedPictures:
        return LearnedPictures(self.digests | other.digests, self.unlisted | other.unlisted)


def start_folder(start: str | None) -> Path | None:
    """Return the folder that `start` names: a shipped generator (`street`) or a path. Raises UserError if neither."""
    if start is None:
        return None
    folder = Path(start)
    if not (folder / GENERATOR).exists() and (SHIPPED / start).is_dir():
        folder = SHIPPED / start
    if not (folder / GENERATOR).exists():
        shipped = ", ".join(sorted(path.name for path in SHIPPED.iterdir())) if SHIPPED.is_dir() else "none"
        raise UserError(f"{start} is neither a shipped generator ({shipped}) nor a folder with {GENERATOR}.")
    return folder


def generator_place(gan: Path) -> Path:
    """Return where the generator lies that `gan` names: a shipped one, a finished run or import, or a snapshot's file.

    Raises UserError for anything else.
    """
    if gan.suffix == ".safetensors" and gan.is_file():
        return gan
    folder = start_folder(str(gan))
    assert folder is not None
    if (folder / RUN).exists():
        read_run(folder, "gan")
    return folder


def generator_fingerprint(folder: Path) -> str:
    """Return the first 16 hexadecimal digits of the generator's SHA-256; `folder` may be a snapshot's file."""
    return file_digest(generator_file(Path(folder)))[:16]


def generator_file(place: Path) -> Path:
    """Return the file of the generator in a folder; a snapshot's file is that itself."""
    return place if place.suffix == ".safetensors" else place / GENERATOR


def learned_pictures(folder: Path) -> LearnedPictures:
    """Return what the generator in `folder` learned from; raises UserError where the list is missing."""
    path = folder / PICTURES
    if not path.exists():
        raise UserError(
            f"{path} is missing, so nobody can tell which pictures this generator saw; "
            "use one that gan train or gan import made."
        )
    try:
        table = pq.read_table(path)
        unlisted = json.loads((table.schema.metadata or {}).get(UNLISTED.encode(), b"[]"))
        return LearnedPictures(frozenset(value.hex() for value in table["sha256"].to_pylist()), frozenset(unlisted))
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        raise UserError(
            f"{path} is damaged ({type(error).__name__}), so nobody can tell which pictures this generator saw; copy "
            "or train it again."
        ) from error


def save_learned(folder: Path, learned: LearnedPictures) -> None:
    """Write the list of pictures that a generator learned from."""
    digests = pa.array([bytes.fromhex(digest) for digest in sorted(learned.digests)], pa.binary(32))
    table = pa.table({"sha256": digests})
    if learned.unlisted:
        table = table.replace_schema_metadata({UNLISTED: json.dumps(sorted(learned.unlisted))})
    with atomic_path(folder / PICTURES) as temporary:
        pq.write_table(table, temporary, compression="none")
