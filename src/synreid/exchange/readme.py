"""What an exported folder says of itself in plain words: what is real, what is made, and whose terms hold."""

from __future__ import annotations

import textwrap
from collections import Counter

import numpy as np
import pyarrow as pa

from synreid import __version__
from synreid.data.layouts.entry import MADE as MADE_NAME
from synreid.data.table import column
from synreid.exchange.metadata import MADE, VOCABULARY
from synreid.exchange.provenance import Maker, maker_of

_LAYOUTS = {
    "market1501": "Market-1501's layout: bounding_box_train, query and bounding_box_test with names such as "
    "0002_c1s1_000451_03.jpg (person 2, camera 1). Pictures that were not JPEG files are coded as such, at quality 95.",
    "imagefolder": "folders, one a person, in train, query and gallery. torchvision's ImageFolder reads each of the "
    "three, and numbers the persons of each anew.",
    "webdataset": "shards for WebDataset: train-000000.tar and so on. Each sample is a picture (.jpg or .png) and what "
    "is known of it (.json). Training pictures are shuffled.",
}
_MOST_PERSON, _MOST_CAMERA = 1501, 6  # that the classes of torchreid and fast-reid for Market-1501 accept


def readme(table: pa.Table, layout: str, labels: str | None) -> str:
    """Return the text of README.txt for the picture table of what was written; the same table gives the same text."""
    origins = column(table, "origin")
    parts = [
        f"Pictures of persons in {_LAYOUTS[layout]}",
        f"Written by SynReID {__version__}: {len(table):,} pictures.",
    ]
    parts += [_real(table, origins), _artificial(table, origins), _variations(table, origins)]
    parts += [_metadata(origins), _sizes(table, origins), _numbers(table, layout), _files(labels)]
    return "\n\n".join(textwrap.fill(part, 100) for part in parts if part) + "\n"


def _real(table: pa.Table, origins: np.ndarray) -> str:
    own = origins == "real"
    if not own.any():
        return "REAL: none."
    folders = sorted({source.partition("/")[0] for source in column(table, "source")[own]})
    return (
        f"REAL: {own.sum():,} pictures, taken from {', '.join(folders)} ({_by_split(table, own)}). The terms of that "
        "data set hold for them here as there: what you may do with them, and to whom you may pass them on. This "
        "folder gives no rights that its terms do not give."
    )


def _artificial(table: pa.Table, origins: np.ndarray) -> str:
    own = origins == "artificial"
    if not own.any():
        return ""
    persons = len(set(column(table, "pid")[own]))
    return (
        f"MADE, ARTIFICIAL PERSONS: {own.sum():,} pictures of {persons:,} persons who are meant not to exist "
        f"({_by_split(table, own)}), {_made_by(table, own)} What a maker learned from may bind what it makes: the "
        "terms of those pictures, and of the maker itself, hold. That nobody real can be recognised in them is "
        "not promised." + _unknown(table, own)
    )


def _variations(table: pa.Table, origins: np.ndarray) -> str:
    own = origins == "variation"
    if not own.any():
        return ""
    persons = len(set(column(table, "pid")[own]))
    return (
        f"MADE, VARIATIONS OF REAL PERSONS: {own.sum():,} pictures of {persons:,} persons ({_by_split(table, own)}), "
        f"{_made_by(table, own)} They show real people: treat them as the real pictures that they come from (column "
        "parents), under the same terms." + _unknown(table, own)
    )


def _made_by(table: pa.Table, own: np.ndarray) -> str:
    names = Counter(
        maker.name if maker.imported else f"SynReID's generator {maker.name}" for maker in _makers(table, own)
    )
    return f"made by {', '.join(f'{name} ({count:,})' for name, count in sorted(names.items()))}."


def _unknown(table: pa.Table, own: np.ndarray) -> str:
    tools = sorted({maker.name for maker in _makers(table, own) if maker.imported})
    if not tools:
        return ""
    return (
        f" What {', '.join(tools)} learned from is not known: if pictures of a test set were among it, that test set "
        "measures nothing here."
    )


def _makers(table: pa.Table, own: np.ndarray) -> list[Maker]:
    pairs = zip(column(table, "maker")[own], column(table, "origin")[own], strict=True)
    return [maker_of(text, origin) for text, origin in pairs]


def _by_split(table: pa.Table, own: np.ndarray) -> str:
    counts = Counter(column(table, "split")[own])
    return ", ".join(f"{split} {counts[split]:,}" for split in ("train", "val", "query", "gallery") if counts[split])


def _metadata(origins: np.ndarray) -> str:
    if (origins == "real").all():
        return ""
    return (
        f"A made picture's name ends in {MADE_NAME}, and the file says so itself (XMP, IPTC's Digital Source Type): "
        f"{VOCABULARY}{MADE['artificial']} for artificial persons and {MADE['variation']} for variations, unless its "
        "maker is of another kind. Other XMP metadata that a made picture had are not kept."
    )


def _sizes(table: pa.Table, origins: np.ndarray) -> str:
    """Return a warning where made pictures have another resolution than the real training pictures, or nothing."""
    sizes = np.stack([column(table, name) for name in ("height", "width")], axis=1)
    train = column(table, "split") == "train"
    kinds = [Counter(map(tuple, sizes[train & kind].tolist())) for kind in (origins == "real", origins != "real")]
    if not all(kinds) or set(kinds[0]) == set(kinds[1]):
        return ""
    (real, made) = ("{}x{}".format(*counts.most_common(1)[0][0]) for counts in kinds)
    return (
        f"RESOLUTION: real training pictures are not of the same resolutions as made ones (most are {real}, most made "
        f"ones {made}), so sharpness tells them apart. Bring all to the smaller one before you train, or a model may "
        "learn that difference."
    )


def _numbers(table: pa.Table, layout: str) -> str:
    persons, cameras = column(table, "person"), column(table, "camera_number")
    text = (
        "Persons' numbers: real ones keep theirs where they have any, artificial ones follow behind the largest. A "
        "made picture has the camera of its real parent or the one its generator was told; those without share one "
        "camera more."
    )
    if layout != "market1501":
        return text
    text += f" The largest person is {persons.max()}, the largest camera {cameras.max()}."
    if persons.max() > _MOST_PERSON or cameras.max() > _MOST_CAMERA:
        text += (
            f" torchreid's and fast-reid's own class for Market-1501 asserts persons up to {_MOST_PERSON} and cameras "
            f"up to {_MOST_CAMERA}: raise the two numbers in its process_dir."
        )
    if cameras.max() > 9:
        text += " Their pattern reads one digit of a camera, so 10 and 1 are the same to them."
    return text


def _files(labels: str | None) -> str:
    text = (
        "table.parquet has a row a picture: where it is, who and what it is, and where it came from (source, with the "
        "SHA-256 of its pixels before and after)."
    )
    if labels is None:
        return text
    return text + (
        f" labels.parquet has the target of every training picture by the strategy {labels}: probabilities in the "
        "order of classes.csv."
    )
