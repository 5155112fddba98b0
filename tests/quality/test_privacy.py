"""The privacy audit: copies are flagged, fresh pictures are not, and its chances are those of a simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest

from synreid.data.sheets import RED, enlarged
from synreid.data.table import from_columns
from synreid.features.embedders import PixelEmbedder
from synreid.quality.privacy import (
    Distances,
    chance,
    chance_by_person,
    distances,
    flags,
    hits,
    privacy_table,
    summarize,
    too_near,
)
from synreid.quality.privacy_sheet import closest, privacy_sheet
from synreid.stage.errors import UserError


class RowsEmbedder:
    """The mean colour of each row of pixels in the left half."""

    name = fingerprint = "rows"

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        return pictures[:, :, :4].mean(2).reshape(len(pictures), -1).astype(np.float32)


def people(count: int, seed: int) -> np.ndarray:
    """Persons of four colours before a background, uint8 [count, 16, 8, 3]."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(20, 236, (count, 1, 1, 3)) + rng.normal(0, 12, (count, 16, 8, 3))
    bands = rng.integers(20, 236, (count, 4, 1, 3)).repeat(4, axis=1)
    pictures[:, :, 2:5] = bands + rng.normal(0, 12, (count, 16, 3, 3))
    return pictures.clip(0, 255).astype(np.uint8)


def in_both(training: np.ndarray, held_out: np.ndarray, made: np.ndarray) -> dict[str, Distances]:
    spaces = {"pixels": PixelEmbedder(), "rows": RowsEmbedder()}
    return {name: distances(embedder, training, held_out, made) for name, embedder in spaces.items()}


def summary(spaces: dict[str, Distances], variations: bool = False) -> dict:
    first = next(iter(spaces.values()))
    made, held = (np.arange(len(x)) for x in (first.made, first.held_out))
    return summarize(spaces, np.array([f"made {k}" for k in made]), held, variations)


def drawn(made: np.ndarray, held_out: np.ndarray, n: int = 50) -> Distances:
    """A space of the given distances; the nearest training picture is the first, the nearest held-out one, too."""
    nothing, far = np.zeros(len(made), dtype=int), np.full(len(made), np.inf)
    return Distances(n, made, held_out, nothing, nothing.astype(bool), far, nothing)


def test_distances_are_those_of_brute_force() -> None:
    training, held_out, made = people(9, 0), people(7, 1), people(5, 2)
    embedder = RowsEmbedder()

    def unit(picture: np.ndarray) -> np.ndarray:
        features = embedder.embed(picture[None])[0].astype(float)
        return features / np.linalg.norm(features)

    def brute(picture: np.ndarray, others: np.ndarray) -> list[float]:
        sides = [unit(picture), unit(picture[:, ::-1])]
        return [min(np.linalg.norm(unit(other) - side) for side in sides) for other in others]

    found = distances(embedder, training, held_out, made)
    np.testing.assert_allclose(found.made, [min(brute(x, training)) for x in made], atol=1e-5)
    np.testing.assert_allclose(found.held_out, [min(brute(x, training)) for x in held_out], atol=1e-5)
    np.testing.assert_allclose(found.to_held_out, [min(brute(x, held_out)) for x in made], atol=1e-5)
    assert found.index.tolist() == [int(np.argmin(brute(x, training))) for x in made]
    assert found.training == 9
    with pytest.raises(ValueError, match="not of a size"):
        distances(embedder, training, held_out[:, :8], made)


def test_copies_are_flagged_and_fresh_pictures_are_not() -> None:
    training, rng = people(150, 0), np.random.default_rng(5)
    noisy = (training[20:30] + rng.normal(0, 3, training[20:30].shape)).clip(0, 255).astype(np.uint8)
    brighter = np.minimum(training[30:40].astype(int) + 6, 255).astype(np.uint8)
    copies = np.concatenate([training[:10], training[10:20, :, ::-1], noisy, brighter])
    spaces = in_both(training, people(200, 1), np.concatenate([copies, people(200, 2)]))
    flagged = flags([found.near for found in spaces.values()])
    assert flagged[:40].all()
    assert flagged[40:].mean() < 0.03
    for found in spaces.values():
        assert found.index[:40].tolist() == list(range(40))
        assert found.mirrored[10:20].all()
        np.testing.assert_allclose(found.made[:20], 0, atol=1e-6)
    numbers = summary(spaces)
    sure = [space["copied"] for space in numbers["spaces"].values()]
    assert all(sure)
    assert numbers["flagged"] == flags([found.near for found in spaces.values()], sure).sum() >= flagged.sum()
    assert numbers["chance"] < 1e-6
    assert numbers["hit"]["training"] >= 40
    assert numbers["hit"]["held_out"] <= 5
    assert numbers["verdict"].startswith("Training pictures were copied, as pixels and rows tell: ")
    assert numbers["spaces"]["pixels"]["verdict"].startswith("Suspicious: ")


def test_fresh_pictures_show_no_sign_of_copying() -> None:
    numbers = summary(in_both(people(150, 0), people(200, 1), people(300, 2)))
    assert numbers["verdict"].startswith("No clear sign of copying")
    for space in numbers["spaces"].values():
        assert space["auc_low"] < 0.5 < space["auc_high"]
        assert space["median_ratio"] == pytest.approx(1, abs=0.1)
        assert space["verdict"].startswith("No clear sign of copying")
        assert f"as many come by chance with probability {space['chance']:.2g}; they" in space["verdict"]
        assert f"95 % interval {space['auc_low']:.3f} to {space['auc_high']:.3f})" in space["verdict"]
    assert f"as many come by chance with probability {numbers['chance']:.2g}." in numbers["verdict"]


@pytest.mark.parametrize(("training", "held_out"), [(400, 400), (600, 120), (300, 900)])
def test_ordinary_pictures_near_to_all_are_not_called_copies(training: int, held_out: int) -> None:
    rng = np.random.default_rng(1)
    learned, unseen = np.split(rng.normal(0, 1, (training + held_out, 8)), [training])

    def audited(made: np.ndarray) -> dict:
        def to(some: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            distance = np.linalg.norm(some[:, None] - others, axis=2)
            return distance.min(axis=1), distance.argmin(axis=1)

        (own, index), (held, _), (other, place) = to(made, learned), to(unseen, learned), to(made, unseen)
        return summary({"one": Distances(training, own, held, index, np.zeros(len(made), bool), other, place)})

    numbers = audited(rng.normal(0, 0.3, (1000, 8)))  # near the mean of all
    hit = numbers["spaces"]["one"]["hit"]
    share = hit["training"] / (hit["training"] + hit["held_out"])
    assert share == pytest.approx(training / (training + held_out), abs=0.15)
    assert numbers["verdict"].startswith("More are near than chance explains")
    assert numbers["spaces"]["one"]["verdict"].startswith("Near, yet not clearly by copying")
    numbers = audited(learned[rng.integers(0, training, 1000)] + rng.normal(0, 0.01, (1000, 8)))
    assert numbers["spaces"]["one"]["hit"]["held_out"] == 0
    assert numbers["verdict"].startswith("Training pictures were copied")


def test_a_real_picture_that_is_hit_again_counts_once() -> None:
    made, other = np.array([0.0, 0.1, 0.2, 0.3, 9]), np.array([0.5, 0.05, 0.4, 0.3, 9])
    space = Distances(
        30, made, np.arange(1.0, 71), np.array([4, 4, 4, 6, 1]), made > 9, other, np.array([0, 3, 3, 3, 2])
    )
    found = hits([space])
    assert (found["training"], found["held_out"]) == (2, 1), "a tie hits both, what is far neither"
    assert found["training_share_by_chance"] == 0.3
    ways = [sum(k < 30 for k in hit) >= 2 for hit in itertools.combinations(range(100), 3)]
    assert found["chance"] == pytest.approx(np.mean(ways))


def test_real_pictures_are_hit_in_as_many_spaces_as_a_flag_takes() -> None:
    held, none = np.arange(1.0, 71), np.zeros(3, bool)
    index, place = np.array([7, 8, 9]), np.array([5, 6, 4])
    first = Distances(30, np.array([0.2, 0.1, 9]), held, index, none, np.array([0.5, 9, 0.3]), place)
    second = Distances(30, np.array([0.2, 9, 9]), held, index, none, np.array([9, 9, 0.3]), place)
    found = hits([first, second])
    assert (found["training"], found["held_out"]) == (1, 1), "7 and 4, each in both spaces; 8 is hit in one only"
    assert (hits([first])["training"], hits([first])["held_out"]) == (2, 1)


def test_an_exact_copy_is_near_where_real_pictures_are_copies_too() -> None:
    training = people(40, 0)
    held_out = np.concatenate([people(57, 1), training[:3]])  # 5 % of them: the threshold is 0
    spaces = in_both(training, held_out, np.concatenate([training[5:8], people(20, 2)]))
    assert spaces["pixels"].threshold == 0
    assert spaces["pixels"].near.tolist() == [True] * 3 + [False] * 20
    numbers = summary({"pixels": spaces["pixels"]})["spaces"]["pixels"]
    assert numbers["near_expected"] == pytest.approx(3 / 61 * 23), "chance takes all ties in"


def test_a_picture_must_be_near_in_two_spaces_if_there_are_two() -> None:
    near = np.array([[True, True, False], [True, False, False], [True, True, False]])
    assert flags(list(near)).tolist() == [True, True, False]
    assert flags(list(near[:2])).tolist() == [True, False, False]
    assert flags([near[1]]).tolist() == [True, False, False]
    assert flags(list(near[:2]), [False, False]).tolist() == [True, False, False]
    assert flags(list(near[:2]), [True, False]).tolist() == [True, True, False], "one space is enough where it is sure"


def test_chance_is_that_of_a_simulation() -> None:
    rng = np.random.default_rng(0)
    made, held, place, draws = 40, 30, 2, 20_000
    below = np.partition(rng.random((draws, held)), place - 1, axis=1)[:, place - 1]
    counts = (rng.random((draws, made)) < below[:, None]).sum(1)
    for count in (0, 1, 3, 8):
        assert chance(count, made, place, held) == pytest.approx((counts >= count).mean(), abs=0.015)


def test_chances_of_pictures_drawn_alike_are_not_too_small() -> None:
    """Also of those flagged in two spaces that go together, as spaces do."""
    rng, whole, single = np.random.default_rng(0), [], []
    for _ in range(150):
        spaces = {}
        made, held = rng.normal(0, 1, 300), rng.normal(0, 1, 200)
        for name in ("a", "b"):
            spaces[name] = drawn(np.exp(made + rng.normal(0, 0.5, 300)), np.exp(held + rng.normal(0, 0.5, 200)))
        near = spaces["a"].near
        single.append(chance(int(near.sum()), 300, int(spaces["a"].near_held_out.sum()), 200))
        flagged, by_rule = (
            int(flags([getattr(found, name) for found in spaces.values()]).sum()) for name in ("near", "near_held_out")
        )
        whole.append(chance(flagged, 300, by_rule + 1, 200))
    assert 0.01 < np.mean(np.array(single) < 0.1) < 0.17
    assert np.mean(np.array(whole) < 0.1) < 0.15


def test_chances_of_several_pictures_a_person_are_not_too_small() -> None:
    rng, found = np.random.default_rng(0), []
    groups = np.arange(40).repeat(30), np.arange(60).repeat(10)
    for _ in range(60):
        made, held = (rng.normal(0, 1, names.max() + 1)[names] + rng.normal(0, 0.1, len(names)) for names in groups)
        spaces = [drawn(*(np.exp(part + rng.normal(0, 0.1, len(part))) for part in (made, held))) for _ in range(2)]
        found.append([chance_by_person(some, *groups) for some in (spaces, spaces[:1])])
    assert (np.mean(np.array(found) < 0.1, axis=0) < 0.17).all()
    assert np.mean(np.array(found)[:, 1] < 0.9) > 0.3, "they are chances, not always 1"


def test_numbers_of_a_space() -> None:
    made, held_out = np.array([1.0, 2, 3, 4]), np.arange(1.0, 41) + 0.5
    numbers = summary({"one": drawn(made, held_out)})["spaces"]["one"]
    pairs = [float(m < h) for m in made for h in held_out]
    assert numbers["auc"] == pytest.approx(np.mean(pairs))
    assert numbers["median_ratio"] == pytest.approx(2.5 / 21)
    assert numbers["quantiles_made"]["1%"] == pytest.approx(1.03)
    assert numbers["quantiles_held_out"]["5%"] == pytest.approx(np.quantile(held_out, 0.05))
    assert (numbers["threshold"], numbers["near"]) == (1.5, 1)


def test_variations_are_said_to_be_of_real_persons() -> None:
    training = people(60, 0)
    numbers = summary(in_both(training, people(60, 1), training[:20]), variations=True)
    assert "variations of real persons" in numbers["verdict"]
    assert "pictures are variations of real persons" in numbers["limits"][0]
    assert "copied:" not in numbers["verdict"]
    assert not any("Suspicious" in space["verdict"] for space in numbers["spaces"].values())


def test_few_held_out_pictures_are_refused() -> None:
    with pytest.raises(UserError, match="19 held-out pictures, too few"):
        summary({"one": drawn(np.ones(5), np.ones(19))})


def test_flagged_pictures_are_left_out_by_content() -> None:
    spaces = {"pixels": drawn(np.array([0.0, 5, 0.5]), np.arange(1.0, 31))}
    audit = privacy_table({"sha256": ["a", "b", "c"], "seed": range(3)}, spaces, np.array(["t"]), spaces["pixels"].near)
    assert audit.column_names == [
        *("sha256", "seed", "distance_pixels", "nearest_pixels", "mirrored_pixels", "near_pixels", "flagged")
    ]
    assert audit["nearest_pixels"].to_pylist() == ["t"] * 3
    made = from_columns(path=["2.png", "3.png", "1.png", "1-again.png"], sha256=["b", "c", "a", "a"])
    assert too_near(made, audit).tolist() == [False, True, True, True]
    assert too_near(made, pa.concat_tables([audit, audit])).tolist() == [False, True, True, True]
    with pytest.raises(UserError, match=r"1 pictures, 3\.png first, are not in the privacy audit"):
        too_near(made, audit.take([0, 1]))


def test_sheet_shows_the_surest_copy_first_and_framed() -> None:
    training, made = people(50, 0), people(12, 2)
    made[7] = training[30, :, ::-1]
    spaces = in_both(training, people(60, 1), made)
    flagged = flags([found.near for found in spaces.values()])
    assert closest(spaces)[0] == 7
    page = privacy_sheet(training, made, [f"seed {k}" for k in range(12)], spaces, flagged, pairs=3)
    shown = enlarged(made[7], 8)
    corners = np.argwhere(np.all(page == shown[0, 0], axis=2))
    places = [(y, x) for y, x in corners.tolist() if np.array_equal(page[y : y + 128, x : x + 64], shown)]
    assert len(places) == 3, "the made picture, and its mirrored original in either space"
    assert len({y for y, _ in places}) == 1
    (y, left), (_, right), _ = places
    assert page[y - 1, left - 1].tolist() == list(RED)
    assert page[y - 1, right - 1].tolist() != list(RED)
    assert len(privacy_sheet(training, made, [""] * 12, spaces, flagged, pairs=1)) < len(page)
