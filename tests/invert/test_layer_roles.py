"""Which layers hold what: a generator whose layers are known, cuts by brute force, and a real one through the stage."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from synreid.features.pose import POINTS, TORSO
from synreid.generate.generator import Generator
from synreid.generate.options import GanOptions
from synreid.generate.persons import layer_group
from synreid.generate.sample import StyleSampler
from synreid.invert.layer_options import LayerOptions
from synreid.invert.layer_roles import Change, compare, contiguous_groups, cost, measure_layers
from synreid.invert.layer_stage import read_layers, show_layers
from synreid.stage.errors import UserError

HEIGHT, WIDTH = 32, 16
OPTIONS = LayerOptions(persons=24)


class Known(Generator):
    """Layer 0 moves the figure down, layer 1 colours the border, layer 2 the torso; layer 3 does nothing."""

    num_ws = 4

    def __init__(self) -> None:
        super().__init__(GanOptions(height=HEIGHT, width=WIDTH, w_dim=4, map_depth=1))

    def synthesize(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
        w = torch.tanh(w)
        x = torch.zeros(len(w), 3, HEIGHT, WIDTH)
        x += w[:, 1, 0, None, None, None]
        x[:, :, 7:19, 4:12] = w[:, 2, 0, None, None, None]
        for k in range(len(w)):
            x[k, :, 24 + round(3 * float(w[k, 0, 0])), 8] = 0.9  # a mark that Marks finds
        return x


class Marks:
    """Finds the mark of `Known`: all key points but the torso's, which it is not sure of, lie there."""

    name = fingerprint = "marks"

    def find(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.array([int(np.argmax(np.abs(picture[20:28, 8, 0].astype(int) - 242) == 0)) for picture in pictures])
        found = np.zeros((len(pictures), len(POINTS), 2), dtype=np.float32)
        found[..., 0] = ((20 + rows) / HEIGHT)[:, None]
        found[..., 1] = 0.5
        confidence = np.ones((len(pictures), len(POINTS)), dtype=np.float32)
        confidence[:, TORSO] = 0.1
        return found, confidence


class Middle:
    """Knows persons by one number of the torso, as a direction."""

    name = fingerprint = "middle"

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        angle = pictures[:, 12, 8, 0].astype(np.float64) / 255
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def known() -> StyleSampler:
    torch.manual_seed(0)
    return StyleSampler(Known(), "known")


def test_each_layer_changes_what_it_is_known_to(known: StyleSampler) -> None:
    roles = measure_layers(known, Middle(), OPTIONS, Marks())
    shares = [{name: change.share for name, change in layer.items()} for layer in roles.layers]
    for layer, name in ((0, "pose"), (1, "background"), (2, "identity"), (2, "colour")):
        assert shares[layer][name] == pytest.approx(1, abs=0.25)
        assert all((shares[other][name] or 0) < 0.2 for other in range(4) if other != layer), name
    assert all(share == pytest.approx(0, abs=1e-6) for share in shares[3].values())
    assert roles.safe() == (0, 1)
    assert roles.posed == 1.0 and roles.pose_by == "marks" and roles.persons == 24
    text = roles.as_text()
    assert "layers safe to change" in text.lower() and ": 0, 1." in text


def test_numbers_are_the_plain_loops(known: StyleSampler) -> None:
    roles = measure_layers(known, Middle(), OPTIONS, None)
    own, other = known.latents(range(24)), known.latents(range(24, 48))
    swapped = own.clone()
    swapped[:, 2] = other[:, 2]
    pairs = list(zip(known.synthesize(own, [0] * 24), known.synthesize(swapped, [0] * 24), strict=True))
    colours = [np.abs(a[8:16, 6:10].mean((0, 1)) - b[8:16, 6:10].mean((0, 1))).mean() for a, b in pairs]
    change = roles.layers[2]["colour"]
    assert change.mean == pytest.approx(np.mean(colours), rel=1e-6)
    assert change.error == pytest.approx(np.std(colours, ddof=1) / 24**0.5, rel=1e-6)
    features = [Middle().embed(np.stack(pair)) for pair in pairs]
    cosines = [1 - float(f[0] @ f[1]) for f in features]
    assert roles.layers[2]["identity"].mean == pytest.approx(np.mean(cosines), abs=1e-6)
    assert "pose" not in roles.layers[0] and roles.posed is None


def test_pairs_that_do_not_show_enough_points_do_not_count_for_pose() -> None:
    class Unsure(Marks):
        def find(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            points, confidence = super().find(pictures)
            confidence[2::3] = 0.1
            return points, confidence

    pictures = np.random.default_rng(0).integers(0, 256, (4, 3, HEIGHT, WIDTH, 3), dtype=np.uint8)
    found = compare(pictures, Middle(), Unsure())
    assert np.isnan(found[:, 1, 1]).all() and np.isfinite(found[:, 0, 1]).all()
    assert np.isfinite(found[:, :, [0, 2, 3]]).all()


def test_cuts_are_the_best_of_all() -> None:
    rng = np.random.default_rng(3)
    profiles = np.concatenate([rng.normal(k, 0.3, (count, 4)) for k, count in ((0, 3), (2, 2), (5, 4))])

    def within(cuts: tuple[int, int]) -> float:
        parts = np.split(profiles, cuts)
        return sum(((row - part.mean(0)) ** 2).sum() for part in parts for row in part)

    best = min(itertools.combinations(range(1, 9), 2), key=within)
    groups = contiguous_groups(profiles)
    assert [part[0] for part in groups[1:]] == list(best) == [3, 5]
    assert [layer for part in groups for layer in part] == list(range(9))
    assert contiguous_groups(profiles[:2]) == ((0,), (1,))
    blind = profiles.copy()
    blind[:, 1] = np.nan
    assert contiguous_groups(blind) == contiguous_groups(np.delete(profiles, 1, axis=1))


def test_stage_writes_numbers_and_pictures(tiny_gan: Path, tmp_path: Path) -> None:
    out = show_layers(tiny_gan, tmp_path / "layers", LayerOptions(persons=4), None)
    roles = read_layers(out)
    assert json.loads((out / "layers.json").read_text())["persons"] == 4
    for name in ("layers.png", "layers-pictures.png"):
        assert np.asarray(Image.open(out / name)).std() > 0
    num_ws = len(roles.layers)
    assert [layer for group in roles.groups for layer in layer_group(group.layers, num_ws)] == list(range(num_ws))
    assert show_layers(tiny_gan, out, LayerOptions(persons=4), None) == out
    whole = json.loads((out / "layers.json").read_text())
    for damaged in ([], whole | {"groups": [3]}, whole | {"posed": "a"}, whole | {"layers": [{"pose": {"mean": 1}}]}):
        (out / "layers.json").write_text(json.dumps(damaged))
        with pytest.raises(UserError, match=r"layers\.json is damaged: it does not hold what its stage writes"):
            read_layers(out)


def test_cost_is_identity_over_the_larger_gain() -> None:
    def changes(**shares: float | None) -> dict[str, Change]:
        return {name: Change(None, None, share, None) for name, share in shares.items()}

    assert cost(changes(identity=0.2, pose=0.4, background=0.1)) == pytest.approx(0.5)
    assert cost(changes(identity=0.2, background=0.8)) == pytest.approx(0.25)
    assert cost(changes(identity=0.2, pose=0.2, background=0.1)) is None  # as little as key points wander
    assert cost(changes(identity=None, pose=0.9, background=0.1)) is None


def test_a_generator_without_layers_is_refused(known: StyleSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "num_ws", 1)
    with pytest.raises(UserError, match="no style layers"):
        measure_layers(known, Middle(), OPTIONS, None)
    with pytest.raises(UserError, match="persons is 1"):
        LayerOptions(persons=1)
