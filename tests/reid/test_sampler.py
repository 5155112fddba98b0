from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synreid.reid.options import ReidOptions
from synreid.reid.sampler import rows_of_step, sampler_for
from synreid.stage.errors import UserError

OPTIONS = ReidOptions(batch=16)
GROUPS = ReidOptions(batch=12, pictures_each=3)  # P = 4


def test_every_epoch_shows_every_picture_once():
    count, batch = 13, 4
    stream = np.concatenate([rows_of_step(7, step, batch, count) for step in range(3 * count)])
    epochs = stream.reshape(-1, count)
    for epoch in epochs:
        assert sorted(epoch) == list(range(count))
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], rows_of_step(8, 0, count, count))


def test_a_batch_larger_than_the_data_is_still_full():
    assert np.bincount(rows_of_step(0, 0, 8, 3)).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_a_ratio_holds_in_every_batch_and_each_kind_is_passed_through_whole():
    made = np.array([False, True, False, True, True, False, True, False, False, True, False])
    sampler = sampler_for(replace(OPTIONS, batch=8, made_ratio=1 / 3), made)
    stream = np.array([sampler.rows(step).numpy() for step in range(30)])
    assert (made[stream].sum(axis=1) == 2).all()
    for kind in (False, True):
        passes = stream[made[stream] == kind].reshape(-1, 6 - kind)
        assert all(sorted(found) == np.flatnonzero(made == kind).tolist() for found in passes)
        assert len({tuple(found) for found in passes}) > 5
    assert np.array_equal(sampler.rows(7).numpy(), stream[7])


def test_without_a_ratio_or_without_either_kind_batches_are_as_chance_has_them():
    plain, ratio = replace(OPTIONS, batch=8), replace(OPTIONS, batch=8, made_ratio=1.0)
    mixed, none = np.arange(16) < 8, np.zeros(16, dtype=bool)
    expected = [rows_of_step(0, step, 8, 16).tolist() for step in range(6)]
    for options, made in ((plain, mixed), (ratio, none), (ratio, ~none)):
        sampler = sampler_for(options, made)
        assert [sampler.rows(step).tolist() for step in range(6)] == expected
    assert sampler_for(ratio, mixed).rows(0).tolist() != expected[0]


def batches_of(options, made, persons, steps=60):
    sampler = sampler_for(options, made, persons)
    rows = np.array([sampler.rows(step).numpy() for step in range(steps)])
    assert np.array_equal(sampler_for(options, made, persons).rows(7).numpy(), rows[7]), "a step needs no other"
    return rows.reshape(steps, -1, options.pictures_each)


def test_a_batch_is_p_persons_times_k_pictures():
    persons = np.repeat(np.arange(10), np.arange(3, 13))  # 3 to 12 pictures
    persons = persons[np.random.default_rng(0).permutation(len(persons))]
    rows = batches_of(GROUPS, np.zeros(len(persons), dtype=bool), persons)
    assert rows.shape == (60, 4, 3)
    for batch in rows:
        assert (persons[batch] == persons[batch][:, :1]).all(), "a group is one person's"
        assert len(set(persons[batch][:, 0])) == 4, "no person has two groups"
        assert all(len(set(group)) == 3 for group in batch), "no picture comes twice where there are enough"
    visits = np.bincount(persons[rows[:, :, 0]].ravel())
    assert visits.min() > 15 and visits.max() <= 30  # 24 on average, 2 groups in each pass of 10 left out
    assert set(rows.ravel()) == set(range(len(persons)))


def test_persons_with_few_pictures_have_them_repeated_and_are_counted(capfd):
    persons = np.array([0, 0, 0, 1, 2, 2, 3, 3, 3, 3])
    rows = batches_of(GROUPS, np.zeros(10, dtype=bool), persons)
    for group in rows.reshape(-1, 3):
        counts = np.bincount(group, minlength=10)[persons == persons[group[0]]]
        assert counts.sum() == 3 and counts.max() - counts.min() <= 1
    assert "2 of 4 persons have fewer than 3 training pictures (1 have a single one)" in capfd.readouterr().err


def test_fewer_persons_than_a_batch_holds_is_one_sentence():
    with pytest.raises(UserError, match="there are 3 persons to train on, but a batch holds 4"):
        sampler_for(GROUPS, np.zeros(9, dtype=bool), np.repeat(np.arange(3), 3))
    made = np.arange(24) >= 12
    with pytest.raises(UserError, match="there are 1 made persons to train on, but a batch holds 2"):
        sampler_for(replace(GROUPS, made_ratio=1.0), made, np.where(made, 9, np.arange(24) // 3))


def test_a_ratio_is_of_groups_of_made_and_of_real_pictures():
    made = np.arange(48) >= 24
    persons = np.arange(48) // 4  # six persons each
    persons[-4:] = 0  # variations of the first real person
    for batch in batches_of(replace(GROUPS, made_ratio=1 / 3), made, persons):
        assert made[batch].sum(axis=1).tolist() == [0, 0, 0, 3]
        assert (persons[batch] == persons[batch][:, :1]).all()


def test_made_pictures_of_no_certain_person_come_in_passes():
    made = np.arange(40) >= 24
    persons = np.where(made, -1, np.arange(40) // 4)
    for options, free in ((replace(GROUPS, made_ratio=1.0), 2), (GROUPS, 2)):  # 16 of 40 are 1.6 of 4 groups
        rows = batches_of(options, made, persons, 16)
        assert ((persons[rows] < 0).all(axis=2).sum(axis=1) == free).all()
        stream = rows[:, 4 - free :].reshape(-1, 16)
        assert all(sorted(found) == list(range(24, 40)) for found in stream)


def test_certain_and_uncertain_made_pictures_share_the_made_groups():
    made = np.arange(60) >= 20
    persons = np.where(np.arange(60) >= 50, -1, np.arange(60) // 5)  # 30 certain ones, 10 others
    rows = batches_of(replace(GROUPS, batch=24, made_ratio=1.0), made, persons)
    kinds = np.stack([(persons[rows] < 0).sum(axis=(1, 2)), (made[rows] & (persons[rows] >= 0)).sum(axis=(1, 2))])
    assert (kinds == [[3], [9]]).all()


def test_without_a_ratio_a_few_uncertain_pictures_still_come():
    persons = np.append(np.arange(200) // 4, -1)
    rows = batches_of(GROUPS, persons < 0, persons)
    assert (rows[:, 3] == 200).all() and (persons[rows[:, :3]] >= 0).all()
