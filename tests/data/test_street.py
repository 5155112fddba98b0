"""The embedded set: the same bytes for the same seed, and a truth that agrees with what is drawn."""

from __future__ import annotations

import json
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synreid.data.decode import read_picture
from synreid.data.scan import open_data
from synreid.data.street import picture as pictures
from synreid.data.street.body import JOINTS, Pose, skeleton
from synreid.data.street.cameras import CAMERAS
from synreid.data.street.figure import paint_person
from synreid.data.street.options import StreetOptions
from synreid.data.street.persons import Person, draw_person
from synreid.data.street.surfaces import Light, Part, View
from synreid.data.street.world import FIRST_TEST, plan
from synreid.data.street.write import TRUTH, draw_street
from synreid.data.table import column, pick
from synreid.stage.errors import UserError

SMALL = StreetOptions(persons=2, test_persons=2, pictures=4)
WALK = Pose(phase=np.pi / 2, stride=1.0, lean=0.03, nod=0.0, turn=0.0, gesture="swing", side=1)
WHITE = Light((0.0, 0.0, 1.0), 1.0, 0.0, 0.0)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def truth(folder: Path) -> pa.Table:
    return pq.read_table(folder / TRUTH)


def seen_from(person: Person, yaw: float, pose: Pose = WALK) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Canvas, joints and which of them are seen, from `yaw` at eye level."""
    canvas = np.zeros((384, 192, 4), np.uint8)
    view = View(yaw, 0.1, 8.0, 340 / person.body.height / 1.08, 96.0, 365.0)
    figure = paint_person(canvas, person, pose, view, WHITE, np.random.default_rng(0))
    return canvas, figure.joints, figure.seen


def bareheaded(seed: int = 0) -> Person:
    """A person whose face nothing hides."""
    person = draw_person(seed, 1)
    hair = replace(person.hair, style="short", beard=False, glasses=False, colour=(0.05, 0.05, 0.05))
    body = replace(person.body, skin=(0.8, 0.6, 0.5))
    return replace(person, hair=hair, body=body, things=replace(person.things, hat="none", bag="none"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_street(tmp_path_factory.mktemp("street") / "small", SMALL)


def test_same_seed_same_bytes_whatever_the_workers(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synreid.data.street.write._ALONE", 0)
    again = draw_street(tmp_path / "again", SMALL, workers=2)
    assert files(again) == files(small)


def test_a_picture_does_not_depend_on_the_size_of_the_set(small: Path, tmp_path: Path) -> None:
    more = files(draw_street(tmp_path / "more", replace(SMALL, persons=3)))
    assert {name: data for name, data in files(small).items() if name != TRUTH}.items() <= more.items()


def test_other_worlds_have_other_persons_and_pictures(small: Path, tmp_path: Path) -> None:
    other = files(draw_street(tmp_path / "other", replace(SMALL, seed=1)))
    assert not set(files(small).values()) & set(other.values())
    persons = [replace(draw_person(seed, number), seed=0, number=0) for seed in range(20) for number in range(20)]
    assert len(set(persons)) == 400


def test_layout_counts_and_cross_camera_positives(tiny_street: Path) -> None:
    table = open_data(tiny_street)
    train, query, gallery = (pick(table, split=split) for split in ("train", "query", "gallery"))
    assert len(train) == 12 * 8 and len(query) + len(gallery) == 6 * 8
    assert len(set(column(train, "pid"))) == 12
    assert len(set(zip(column(query, "pid"), column(query, "camera"), strict=True))) == len(query)
    wanted = set(zip(column(gallery, "pid"), column(gallery, "camera"), strict=True))
    for pid, camera in zip(column(query, "pid"), column(query, "camera"), strict=True):
        assert any(other == pid and place != camera for other, place in wanted)
        assert (pid, camera) in wanted
    assert not set(column(train, "pid")) & set(column(query, "pid"))


def test_pictures_have_the_size_asked_for(tmp_path: Path) -> None:
    made = draw_street(tmp_path / "low", replace(SMALL, test_persons=0, height=64, width=32))
    names = truth(made)["path"].to_pylist()
    assert len(names) == 8 and {read_picture(made / name).shape for name in names} == {(64, 32, 3)}
    assert np.abs(np.array(truth(made)["joint_y"].to_pylist())).max() < 64 * 2


def test_truth_has_a_row_for_each_picture(tiny_street: Path) -> None:
    table = truth(tiny_street)
    names = {str(path.relative_to(tiny_street)) for path in tiny_street.rglob("*.jpg")}
    assert set(table["path"].to_pylist()) == names and len(table) == len(names)
    assert json.loads(table.schema.metadata[b"joints"]) == list(JOINTS)
    for row in table.to_pylist():
        name = Path(row["path"]).name
        assert name.startswith(f"{row['pid']}_{row['camera']}s1_{row['frame']:06d}")
        assert 0 <= row["orientation"] < 8 and 0 <= row["occluded"] <= 1 and 0 <= row["cut"] <= 1
        assert abs(np.angle(np.exp(1j * (row["yaw"] - row["orientation"] * np.pi / 4)))) <= np.pi / 8 + 1e-5
        x, y, visible = (np.array(row[f"joint_{part}"]) for part in ("x", "y", "visible"))
        assert len(x) == len(y) == len(visible) == 18
        inside = (x >= 0) & (x < 64) & (y >= 0) & (y < 128)
        assert inside[visible].all() and (np.abs(x - 32) < 96).all() and (np.abs(y - 64) < 160).all()
        assert y[JOINTS.index("nose")] < y[JOINTS.index("right ankle")]


def test_attributes_belong_to_the_person(tiny_street: Path) -> None:
    seen: dict[str, set[tuple[str, ...]]] = {}
    for row in truth(tiny_street).to_pylist():
        seen.setdefault(row["pid"], set()).add(
            (row["upper"], row["upper_colour"], row["lower"], row["bag"], row["hat"])
        )
    assert all(len(kinds) == 1 for kinds in seen.values()) and len(set.union(*seen.values())) > 10


def test_all_orientations_and_cameras_occur() -> None:
    everything = plan(StreetOptions(persons=60, test_persons=0))
    counts = np.bincount([shot.orientation for shot in everything], minlength=8)
    assert counts.min() > 0.4 * counts.mean()
    assert {shot.camera for shot in everything} == {camera.number for camera in CAMERAS}
    cameras = [len({shot.camera for shot in everything if shot.person == person}) for person in range(1, 61)]
    assert min(cameras) == 2 and max(cameras) == 4


def test_test_persons_do_not_change_with_the_training_persons() -> None:
    few, many = (plan(StreetOptions(persons=persons, test_persons=3)) for persons in (1, 5))
    assert [shot for shot in few if shot.person >= FIRST_TEST] == [shot for shot in many if shot.person >= FIRST_TEST]
    assert StreetOptions(persons=5).test == 3 and StreetOptions(persons=5, test_persons=0).test == 0


def test_bones_keep_their_length_and_a_foot_stays_on_the_ground() -> None:
    body = draw_person(0, 1).body
    lengths = []
    for phase in np.linspace(0, 2 * np.pi, 9):
        at = skeleton(body, replace(WALK, phase=float(phase))).at
        pairs = (("right hip", "right knee"), ("left knee", "left ankle"), ("left elbow", "left wrist"))
        lengths.append([np.linalg.norm(at[a] - at[b]) for a, b in pairs])
        assert min(at["right ankle"][2], at["left ankle"][2]) == pytest.approx(0.042 * body.height)
    assert np.ptp(lengths, axis=0).max() < 2e-3


def test_legs_pass_each_other_in_a_cycle() -> None:
    body = draw_person(0, 1).body
    ahead = [
        skeleton(body, replace(WALK, phase=phase)).at["right ankle"][1]
        - skeleton(body, replace(WALK, phase=phase)).at["left ankle"][1]
        for phase in (np.pi / 2, 3 * np.pi / 2)
    ]
    assert ahead[0] > 0.3 and ahead[1] < -0.3


def test_face_joints_lie_on_skin_and_only_from_the_front() -> None:
    person = bareheaded()
    canvas, joints, seen = seen_from(person, 0.0)
    nose, right_eye, left_eye = (JOINTS.index(name) for name in ("nose", "right eye", "left eye"))
    assert seen[[nose, right_eye, left_eye]].all()
    assert joints[right_eye, 0] < joints[left_eye, 0]
    x, y = joints[nose].astype(int)
    patch = canvas[y + 3 : y + 9, x - 8 : x + 9].reshape(-1, 4).astype(float)
    assert (patch[:, 3] == Part.HEAD).mean() > 0.8
    skin = np.array(person.body.skin) * 255
    assert (np.abs(patch[:, :3] - skin).max(axis=1) < 70).mean() > 0.6
    _, _, from_behind = seen_from(person, np.pi)
    assert not from_behind[[nose, right_eye, left_eye]].any()
    _, _, from_its_right = seen_from(person, np.pi / 2)
    assert from_its_right[JOINTS.index("right ear")] and not from_its_right[JOINTS.index("left ear")]


def test_seen_joints_lie_on_the_person() -> None:
    for number in range(1, 9):
        canvas, joints, seen = seen_from(draw_person(3, number), number * np.pi / 4)
        x, y = np.floor(joints[seen]).astype(int).T
        assert (canvas[y, x, 3] > 0).all() and seen.sum() >= 4
        inside = joints[:, 0].min() > 0 and joints[:, 0].max() < 192 and joints[:, 1].min() > 0
        assert inside and joints[:, 1].max() < 384


def test_orientations_are_drawn_differently() -> None:
    person = replace(bareheaded(), things=replace(bareheaded().things, bag="backpack", bag_size=1.0))
    canvases = [seen_from(person, turn * np.pi / 4)[0] for turn in range(8)]
    for first in range(8):
        for second in range(first):
            assert (canvases[first][:, :, 3] != canvases[second][:, :, 3]).sum() > 300
    bag = [int((canvas[:, :, 3] == Part.BAG).sum()) for canvas in canvases]
    assert bag[4] > 3 * bag[0] > 0


def test_an_open_jacket_shows_its_inside_from_the_front_only() -> None:
    person = bareheaded()
    red = (0.9, 0.0, 0.0)
    jacket = replace(
        person.upper, kind="jacket", pattern="plain", colour=(0.1, 0.1, 0.1), inner=red, open=0.4, hood=False
    )
    person = replace(person, upper=jacket)

    def reds(canvas: np.ndarray) -> int:
        return int(((canvas[:, :, 0] > 120) & (canvas[:, :, 1] < 30)).sum())

    assert reds(seen_from(person, 0.0)[0]) > 300 and reds(seen_from(person, np.pi)[0]) == 0


def test_what_stands_in_front_hides_joints(monkeypatch: pytest.MonkeyPatch) -> None:
    shot = plan(SMALL)[0]
    monkeypatch.setattr(pictures, "CAMERAS", tuple(replace(camera, busy=0.0) for camera in CAMERAS))
    free = pictures.draw_picture(0, shot)

    def wall(canvas: np.ndarray, *_: object) -> None:
        canvas[200:] = 255

    monkeypatch.setattr(pictures, "CAMERAS", tuple(replace(camera, busy=1.0) for camera in CAMERAS))
    monkeypatch.setattr(pictures, "_in_front", wall)
    hidden = pictures.draw_picture(0, shot)
    assert free.occluded == 0 and free.visible.sum() > 4
    assert 0.2 < hidden.occluded < 0.9
    assert not hidden.visible[hidden.joints[:, 1] > 200 / 3].any()
    above = free.joints[:, 1] < 199 / 3
    assert (hidden.visible[above] == free.visible[above]).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [({"pictures": 3}, "pictures"), ({"persons": 5000}, "persons"), ({"test_persons": -1}, "test_persons"),
     ({"seed": -1}, "seed"), ({"height": 8}, "height"), ({"persons": 0, "test_persons": 0}, "person")],
)  # fmt: skip
def test_sizes_that_cannot_be_drawn_are_refused(change: dict[str, int], named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=named):
        draw_street(tmp_path / "out", replace(SMALL, **change))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("dear")
    with pytest.raises(UserError, match=str(tmp_path)):
        draw_street(tmp_path, SMALL)
    assert files(tmp_path) == {"mine.txt": b"dear"}


def test_nothing_is_left_when_drawing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("synreid.data.street.write._write_truth", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw_street(tmp_path / "out", SMALL)
    assert not list(tmp_path.iterdir())


def test_one_process_goes_on_when_the_others_break(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr("synreid.data.street.write._ALONE", 0)
    monkeypatch.setattr("synreid.data.street.write._draw_together", broken)
    assert files(draw_street(tmp_path / "again", SMALL, workers=2)) == files(small)
    assert "one process" in capsys.readouterr().err


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    made = draw_street(tmp_path / "out", replace(SMALL, persons=1, test_persons=0))
    assert len(list(made.rglob("*.jpg"))) == 4
