"""Strategies whose classes are the real identities: every target by hand."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from synreid.cli.commands.reid import reid_train
from synreid.data.table import from_columns
from synreid.label.affinity import Affinity
from synreid.label.extra_class import ExtraClass
from synreid.label.lsro import Lsro
from synreid.label.mprl_dynamic_1 import MprlDynamic1
from synreid.label.mprl_dynamic_2 import MprlDynamic2
from synreid.label.mprl_static import MprlStatic
from synreid.label.names import PersonLabels
from synreid.label.pseudo import Pseudo
from synreid.label.ranks import rank_weights
from synreid.label.slsr import Slsr
from synreid.label.strategies import NAMES, start_of
from synreid.label.weighted import Weighted
from synreid.stage.errors import UserError

# real c, a and b, and made pictures, one of which claims a real person's identity and one none
PIDS = ["c", "made/1", "a", "made/1", "b", "a", None]
ORIGIN = ["real", "artificial", "real", "artificial", "real", "variation", "artificial"]
MADE = [1, 3, 5, 6]
P = torch.tensor([[0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.1, 0.6, 0.3], [0.7, 0.2, 0.1]])  # of the made rows


def table(pids=PIDS, origin=ORIGIN):
    return from_columns(path=[str(k) for k in range(len(pids))], sha256="0", pid=pids, origin=origin)


def real_only():
    real = [k for k, origin in enumerate(ORIGIN) if origin == "real"]
    return table([PIDS[k] for k in real], [ORIGIN[k] for k in real])


def predict(shown):
    """The teacher's classes are in an order of their own."""
    assert shown["path"].to_pylist() == [str(k) for k in MADE]
    return ["b", "c", "a"], P[:, [1, 2, 0]].log().numpy()


def embed(shown):
    """Pictures c and a point along x, b along y; the made ones are x, y, nearly y, and far out along x."""
    features = {"0": (1, 0.1), "2": (9, 0), "4": (0, 2), "1": (5, 0), "3": (0, 0.1), "5": (1, 9), "6": (70, 1)}
    return np.array([features[path] for path in shown["path"].to_pylist()])


def slsr(**changes):
    return Slsr(embed, **{"seed": 0, "clusters": 2, **changes})


def affinity(**changes):
    return Affinity(embed, **changes)


EVERY = [affinity, Lsro, ExtraClass, Pseudo, MprlDynamic1, MprlDynamic2, lambda: MprlStatic(predict), slsr]


def made_targets(chosen, probabilities=P):
    """Targets of the made rows with the model's probabilities for them, from a batch that real rows are among."""
    names = chosen.classes(table())
    rows = torch.tensor([0, *MADE, 4])
    logits = torch.zeros(6, len(names))
    logits[1:5, :3] = probabilities.log()
    found, weight = chosen.targets(rows, logits, 0)
    assert found.dtype == torch.float32 and weight.tolist() == [1] * 6
    assert found[[0, -1], :3].tolist() == [[0, 0, 1], [0, 1, 0]]
    torch.testing.assert_close(found.sum(1), torch.ones(6))
    return found[1:5]


@pytest.mark.parametrize("make", EVERY)
def test_classes_are_the_real_identities_in_their_order(make):
    chosen = make()
    assert chosen.classes(table())[:3] == ["a", "b", "c"]
    made_targets(chosen)


def test_lsro_is_uniform_over_the_real_identities():
    assert Lsro().classes(table()) == ["a", "b", "c"]
    torch.testing.assert_close(made_targets(Lsro()), torch.full((4, 3), 1 / 3))


def test_extra_class_is_one_class_more_where_there_are_made_pictures():
    assert ExtraClass().classes(table()) == ["a", "b", "c", "made pictures"]
    assert made_targets(ExtraClass()).tolist() == [[0, 0, 0, 1]] * 4
    chosen = ExtraClass()
    assert chosen.classes(real_only()) == ["a", "b", "c"]
    assert chosen.targets(torch.arange(3), torch.zeros(3, 3), 0)[0].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_pseudo_is_the_models_first_choice():
    assert made_targets(Pseudo()).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]


RANKS = torch.tensor([[3.0, 1, 2], [1, 2, 3], [1, 3, 2], [3, 2, 1]])


@pytest.mark.parametrize("make", [MprlDynamic1, MprlDynamic2, lambda: MprlStatic(predict)])
def test_multi_pseudo_labels_are_ranks_over_their_sum(make):
    torch.testing.assert_close(made_targets(make()), RANKS / 6)


def test_dynamic_labels_follow_the_model_and_static_ones_do_not():
    other = P.flip(0)
    torch.testing.assert_close(made_targets(MprlDynamic1(), other), RANKS.flip(0) / 6)
    torch.testing.assert_close(made_targets(MprlStatic(predict), other), RANKS / 6)


def test_rank_weights_are_scipys_mean_ranks():
    scores = np.random.default_rng(0).integers(0, 6, size=(20, 11)).astype(np.float32)
    expected = rankdata(scores, axis=1) / (11 * 12 / 2)
    np.testing.assert_allclose(rank_weights(torch.from_numpy(scores)), expected, rtol=1e-6)
    assert rank_weights(torch.tensor([[0.5, 0.2, 0.3]])).mul(6).round().tolist() == [[3, 1, 2]]


def test_affinity_is_the_softmax_of_cosines_to_each_identitys_mean():
    real = {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0]), "c": np.array([1, 0.1]) / np.hypot(1, 0.1)}
    made = [np.array(f) / np.linalg.norm(f) for f in ((5, 0), (0, 0.1), (1, 9), (70, 1))]
    powers = np.array([[np.exp(2 * picture @ mean) for mean in real.values()] for picture in made])
    np.testing.assert_allclose(made_targets(affinity(scale=2.0)), powers / powers.sum(1, keepdims=True), rtol=1e-6)


def test_affinity_takes_the_mean_of_an_identitys_pictures():
    pictures = table(["a", "a", "b", None], ["real", "real", "real", "artificial"])
    features = np.array([[1, 0], [0, 3], [-1, 0], [1, 1]], dtype=np.float64)
    chosen = Affinity(lambda shown: features[[int(path) for path in shown["path"].to_pylist()]], scale=1.0)
    chosen.classes(pictures)
    a, b = np.exp(1.0), np.exp(-np.sqrt(0.5))
    found = chosen.targets(torch.tensor([3]), torch.zeros(1, 2), 0)[0]
    torch.testing.assert_close(found, torch.tensor([[a / (a + b), b / (a + b)]], dtype=torch.float32))


def test_slsr_is_uniform_over_the_identities_of_the_cluster():
    alike, alone = [0.5, 0, 0.5], [0, 1, 0]
    for seed in range(3):
        assert made_targets(slsr(seed=seed)).tolist() == [alike, alone, alone, alike]
    torch.testing.assert_close(made_targets(slsr(clusters=1)), torch.full((4, 3), 1 / 3))


def test_an_identity_may_be_in_several_clusters():
    pids, origin = ["a", "b", "a", "made", "made"], ["real"] * 3 + ["artificial"] * 2
    features = np.array([(1, 0), (0, 1), (0, 1), (1, 0), (0, 1)], dtype=float)
    chosen = Slsr(lambda shown: features[[int(path) for path in shown["path"].to_pylist()]], seed=0, clusters=2)
    chosen.classes(table(pids, origin))
    assert chosen.targets(torch.tensor([3, 4]), torch.zeros(2, 2), 0)[0].tolist() == [[1, 0], [0.5, 0.5]]


def test_equal_pictures_make_fewer_clusters():
    chosen = Slsr(lambda shown: np.ones((len(shown), 2)), seed=0, clusters=3)
    torch.testing.assert_close(made_targets(chosen), torch.full((4, 3), 1 / 3))


def test_without_made_pictures_no_model_is_asked():
    for chosen in (MprlStatic(lambda shown: 1 / 0), Slsr(lambda shown: 1 / 0, seed=0)):
        assert chosen.classes(real_only()) == ["a", "b", "c"]
        assert chosen.targets(torch.arange(3), torch.zeros(3, 3), 0)[0].argmax(1).tolist() == [2, 0, 1]


@pytest.mark.parametrize("make", EVERY)
def test_without_real_pictures_there_is_nothing_to_label_by(make):
    with pytest.raises(UserError, match=f"'{make().name}' .* there are no real training pictures"):
        make().classes(table(["made/1", "made/2"], ["artificial"] * 2))


@pytest.mark.parametrize("make", EVERY)
def test_a_real_picture_without_identity_is_named(make):
    with pytest.raises(UserError, match=r"1 training pictures have no identity .the first is 1"):
        make().classes(table(["a", None, None], ["real", "real", "artificial"]))


def test_a_teacher_must_know_all_real_persons_and_no_others():
    for known, said in ((["b", "a"], "does not know 1 of them .the first is c"), (["a", "b", "c", "d"], "first is d")):
        chosen = MprlStatic(lambda shown, known=known: (known, np.zeros((len(shown), len(known)))))
        with pytest.raises(UserError, match=said):
            chosen.classes(table())


def test_more_clusters_than_pictures_are_refused():
    with pytest.raises(UserError, match="4 clusters, but there are only 3 real"):
        slsr(clusters=4).classes(table())
    with pytest.raises(UserError, match="slsr is 0"):
        slsr(clusters=0)


def test_weight_and_start_are_of_made_rows_alone():
    chosen = Weighted(Lsro(), weight=0.25, start=3)
    assert chosen.name == "lsro" and chosen.classes(table()) == ["a", "b", "c"]
    rows, logits = torch.tensor([0, 1, 2, 5]), torch.zeros(4, 3)
    for step, weight in ((0, 0.0), (2, 0.0), (3, 0.25), (9, 0.25)):
        probabilities, found = chosen.targets(rows, logits, step)
        assert found.tolist() == [1, weight, 1, weight]
        assert torch.equal(probabilities, chosen.strategy.targets(rows, logits, step)[0])


def test_only_the_second_dynamic_kind_starts_later():
    assert {name: start_of(name) for name in NAMES if start_of(name)} == {"mprl-dynamic-2": 0.4}


def test_command_line_and_recipe_know_every_strategy():
    assert set(get_args(get_type_hints(reid_train)["labels"])) == set(NAMES)
    assert set(get_args(PersonLabels)) == set(NAMES) - {"new-identity", "shuffled", "mixture"}
