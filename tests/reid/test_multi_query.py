from __future__ import annotations

import cv2
import numpy as np
import pytest

from synreid.data.decode import picture_sha256
from synreid.data.table import column, from_columns, paths
from synreid.reid.multi_query import hand_drawn, multi_query_features
from synreid.stage.errors import UserError


def test_a_query_is_the_mean_over_its_person_and_camera():
    draw = np.random.default_rng(0)
    pid, camera = ["a", "a", "b", None, "c"], ["1", "2", "1", "1", None]
    query = from_columns(path=list("vwxyz"), sha256="0", pid=pid, camera=camera)
    pids = [None if k > 2 else "abc"[k] for k in draw.integers(0, 4, 40)]
    cameras = [None if k > 1 else "12"[k] for k in draw.integers(0, 3, 40)]
    pictures = from_columns(path=[str(k) for k in range(40)], sha256="0", pid=pids, camera=cameras)
    mine, theirs = draw.normal(size=(5, 3)), draw.normal(size=(40, 3))
    found = multi_query_features(query, mine, pictures, theirs)
    for row in range(5):
        own = [
            theirs[k] / np.linalg.norm(theirs[k])
            for k in range(40)
            if None not in (pid[row], camera[row]) and (pids[k], cameras[k]) == (pid[row], camera[row])
        ]
        assert len(own) > 1 or row > 2
        np.testing.assert_allclose(
            found[row], np.mean(own, axis=0) if own else mine[row] / np.linalg.norm(mine[row]), atol=1e-6
        )


@pytest.fixture
def market(tmp_path):
    """Two queries of person 1 by two cameras, and five hand-drawn boxes, of which three are theirs."""
    picture = np.full((8, 4, 3), 90, dtype=np.uint8)
    names = ["0001_c1s1_000001_00.jpg", "0001_c1s1_000009_00.jpg", "0001_c2s1_000004_00.jpg"]
    names += ["0001_c3s1_000001_00.jpg", "0002_c1s1_000001_00.jpg"]
    for folder, kept in (("query", names[:3:2]), ("gt_bbox", names)):
        (tmp_path / folder).mkdir()
        for name in kept:
            cv2.imwrite(str(tmp_path / folder / name), picture)
    return from_columns(
        root=str(tmp_path),
        path=[f"query/{name}" for name in names[:3:2]],
        sha256=picture_sha256(picture),
        pid="m/0001",
        camera=["m/c1", "m/c2"],
    )


def test_hand_drawn_boxes_of_the_queries_persons_and_cameras(market):
    found = hand_drawn(market)
    assert [path.name for path in paths(found)] == [
        "0001_c1s1_000001_00.jpg",
        "0001_c1s1_000009_00.jpg",
        "0001_c2s1_000004_00.jpg",
    ]
    assert column(found, "camera").tolist() == ["m/c1", "m/c1", "m/c2"]
    assert set(column(found, "pid")) == {"m/0001"}


def test_without_hand_drawn_boxes_there_are_none(market):
    for path in paths(hand_drawn(market)):
        path.unlink()
    assert hand_drawn(market) is None


def test_a_damaged_box_is_an_error(market):
    damaged = paths(hand_drawn(market))[1]
    damaged.write_bytes(b"no picture")
    with pytest.raises(UserError, match=damaged.name):
        hand_drawn(market)
