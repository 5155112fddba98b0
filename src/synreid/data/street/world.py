"""Who passes which camera, when, where and how: the plan of all pictures, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synreid.data.street.body import GESTURES, Pose
from synreid.data.street.cameras import CAMERAS, SCENE_WIDTH
from synreid.data.street.options import StreetOptions
from synreid.data.street.seeds import TRACKS, chance, pick, stream
from synreid.stage.errors import UserError

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
# Test persons are numbered from here, so that they are the same however many training persons there are.
FIRST_TEST = 5001


@dataclass(frozen=True)
class Shot:
    """One picture to be taken: the person's feet are at (`x`, `row`) of the camera's scene, `yaw` as in
    `surfaces.View`, `tint` [3] and `stops` the light there and then, the same for all pictures of one passage but for
    small changes.
    """

    person: int
    index: int
    folder: str
    camera: int
    frame: int
    x: float
    row: float
    yaw: float
    pose: Pose
    stops: float
    tint: tuple[float, float, float]

    @property
    def path(self) -> str:
        """Path within the set, named as Market-1501's pictures are."""
        return f"{self.folder}/{self.person:04d}_c{self.camera}s1_{self.frame:06d}_00.jpg"

    @property
    def orientation(self) -> int:
        """0 front, 2 facing right in the picture, 4 back, 6 facing left, odd ones between."""
        return round(self.yaw / (np.pi / 4)) % 8


def check(options: StreetOptions) -> None:
    """UserError for a size that cannot be drawn."""
    bounds = {"persons": (0, 4999), "test": (0, 4999), "pictures": (4, 200), "height": (32, 256), "width": (16, 256)}
    for name, (low, high) in bounds.items():
        value = getattr(options, name)
        if not low <= value <= high:
            shown = "test_persons" if name == "test" else name
            raise UserError(f"street: {shown} is {value}, but must be between {low} and {high}.")
    if options.seed < 0:
        raise UserError(f"street: seed is {options.seed}, but must not be negative.")
    if options.persons + options.test == 0:
        raise UserError("street: no person to draw; ask for training or test persons.")


def plan(options: StreetOptions) -> list[Shot]:
    """All shots of a set, person by person."""
    check(options)
    training = [
        shot
        for number in range(1, options.persons + 1)
        for shot in shots(options.seed, number, options.pictures, False)
    ]
    testing = [
        shot
        for number in range(FIRST_TEST, FIRST_TEST + options.test)
        for shot in shots(options.seed, number, options.pictures, True)
    ]
    return training + testing


def shots(seed: int, person: int, pictures: int, test: bool) -> list[Shot]:
    """The shots of one person, passing two to four cameras; a test person has one query of each passage."""
    rng = stream(seed, TRACKS, person)
    many = min(int(rng.choice([2, 3, 4], p=[0.3, 0.4, 0.3])), pictures // 2)
    cameras = sorted(rng.choice(len(CAMERAS), many, replace=False) + 1)
    made: list[Shot] = []
    for place, camera in enumerate(cameras):
        count = pictures // many + (place < pictures % many)
        query = int(rng.integers(count))
        for step, shot in enumerate(_passage(rng, person, int(camera), count, len(made))):
            folder = TRAIN if not test else QUERY if step == query else GALLERY
            made.append(Shot(**{**shot.__dict__, "folder": folder}))
    return made


def _passage(rng: np.random.Generator, person: int, number: int, count: int, first: int) -> list[Shot]:
    camera = CAMERAS[number - 1]
    low, high = camera.near
    x, row = rng.uniform(120, SCENE_WIDTH - 120), low + (high - low) * rng.uniform(0, 1) ** 1.2
    heading = int(rng.integers(8)) * np.pi / 4
    frame = int(rng.integers(1, 90000))
    phase, pace = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 1.0) if chance(rng, 0.82) else rng.uniform(0.0, 0.15)
    gesture, side = pick(rng, GESTURES), int(rng.choice([1, -1]))
    stops, tint = rng.normal(0, camera.swing), np.exp(rng.normal(0, 0.03, 3))
    made = []
    for step in range(count):
        turn = float(rng.choice([-1, 0, 0, 0, 0, 1])) * np.pi / 4 + float(np.clip(rng.normal(0, 0.14), -0.36, 0.36))
        pose = Pose(
            phase=float(phase + rng.uniform(0, 2 * np.pi)),
            stride=float(pace * rng.uniform(0.85, 1.05)),
            lean=float(rng.normal(0.04, 0.03)),
            nod=float(np.clip(rng.normal(0.10, 0.15), -0.2, 0.6)),
            turn=float(np.clip(rng.normal(0, 0.3), -0.9, 0.9)),
            gesture=gesture if chance(rng, 0.8) else "swing",
            side=side,
        )
        made.append(
            Shot(
                person,
                first + step,
                "",
                number,
                frame,
                float(np.clip(x, 60, SCENE_WIDTH - 60)),
                float(np.clip(row, low, high)),
                heading + turn,
                pose,
                float(stops + rng.normal(0, 0.10)),
                tuple(tint.tolist()),
            )
        )
        x += rng.normal(0, 40) + 60 * np.sin(heading)
        row += rng.normal(0, 15) + 25 * np.cos(heading)
        frame += int(rng.integers(8, 90))
        heading += float(rng.normal(0, 0.08))
    return made
