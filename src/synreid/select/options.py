"""Options of selection, and its presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from synreid.stage.errors import UserError

DetectorName = Literal[
    "auto",
    "key-points",
    "ssdlite",
    "yolox",
    "yolov4-tiny",
    "yolov4-tiny-thesis",
    "yolo-fastest",
    "hog",
    "none",
]


@dataclass(frozen=True)
class SelectOptions:
    """Which rules discard made pictures, in this order: privacy, pedestrian, realism, ssim, consistency (of
    variations: identity), duplicates, best, too few kept."""

    detector: DetectorName = "auto"
    """Who judges whether a picture shows a person: auto takes the best whose weights are on this machine, in the
    order key-points (MoveNet), SSDLite, OpenCV's HOG; none leaves the rule out."""

    pedestrian: float | None = None
    """Least pedestrian score, 0 to 1; null: the detector's own, or the lower one that 90 % of the real training
    pictures reach at the made pictures' resolution."""

    realism: float | None = None
    """Least realism score among the real training pictures, 1 for within reach of one; null leaves the rule out."""

    ssim: float | None = None
    """Least structural similarity to the first remaining picture of the person; null leaves the rule out."""

    ssim_range: int = 255
    """Range of values that SSIM's constants are scaled to: 255 is right for 8 bits, the thesis ran with 4095."""

    identity: bool = True
    """Discard pictures that do not look like the rest of their person (rule consistency), or, being variations, like
    the real pictures of the person that they come from (rule identity)."""

    consistency: float | None = None
    """Least cosine to the mean of the person's other pictures, which of a variation are the real ones, -1 to 1; null:
    taken from real training persons."""

    consistency_percentile: float = 5.0
    """Percent of real training pictures that may fall below the consistency threshold taken from them."""

    duplicates: float | None = 3.0
    """Discard a picture that differs from an earlier one of its person by less than this mean of grey levels (of 255,
    at 16x8 pixels): copies in JPEG stay below, pictures of one person on Market-1501 hardly ever differ by less than
    10; null leaves the rule out."""

    most_pictures: int | None = None
    """Keep only this many pictures of each person, those that the identity score finds best; null keeps all."""

    least_pictures: int = 2
    """Persons of whom fewer pictures are left are dropped as a whole; 1 keeps them."""


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # The thesis's own two filters: a detector, and SSIM of 0.75 with the data range of 12 bits that its library
    # defaulted to.
    "thesis": {
        "detector": "yolov4-tiny-thesis",
        "pedestrian": 0.6,
        "ssim": 0.75,
        "ssim_range": 4095,
        "identity": False,
        "duplicates": None,
        "least_pictures": 1,
    },
    "none": {"detector": "none", "identity": False, "duplicates": None, "least_pictures": 1},
}


def check(options: SelectOptions) -> None:
    """Raise UserError for a value out of its range."""
    ranges = {
        "pedestrian": (0.0, 1.0),
        "realism": (0.0, 1000.0),
        "ssim": (-1.0, 1.0),
        "ssim_range": (1, 65535),
        "consistency": (-1.0, 1.0),
        "consistency_percentile": (0.0, 50.0),
        "duplicates": (0.0, 255.0),
        "most_pictures": (1, 10_000),
        "least_pictures": (1, 10_000),
    }
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise UserError(f"{name} is {value}, but must lie within {low} and {high}.")
    most = options.most_pictures
    if most is not None and not options.identity:
        raise UserError("most_pictures keeps the best by the identity score, but identity is false; set it to true.")
    if most is not None and most < options.least_pictures:
        raise UserError(f"most_pictures is {most}, fewer than least_pictures {options.least_pictures}; raise it.")
