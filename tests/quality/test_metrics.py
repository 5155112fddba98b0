"""The field's names of measures."""

from __future__ import annotations

import pytest

from synreid.features.inception import INCEPTION
from synreid.quality.metrics import AIDED, PERHAPS_AIDED, Metrics, frechet_name, parse_metrics
from synreid.stage.errors import UserError


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        ("none", Metrics("none", 0, False)),
        ("fid50k_full", Metrics("fid", 50_000, True)),
        ("fid10k", Metrics("fid", 10_000, False)),
        ("fd1k", Metrics("fd", 1000, False)),
        ("fd400", Metrics("fd", 400, False)),
        ("fd10k_full", Metrics("fd", 10_000, True)),
        ("fd2", Metrics("fd", 2, False)),
    ],
)
def test_names_are_read(text: str, metrics: Metrics) -> None:
    assert parse_metrics(text) == metrics


@pytest.mark.parametrize(
    "text", ["", "fid", "kid50k", "fd0", "fd1", "fd01k", "fid50K", "fid50k_half", "fid50k_full ", "fd-1k"]
)
def test_other_names_are_refused_with_examples(text: str) -> None:
    with pytest.raises(UserError, match=r"names no measure.*fid50k_full.*fd1k.*none") as caught:
        parse_metrics(text)
    assert repr(text) in str(caught.value)


def test_a_distance_is_called_fid_on_its_own_inception_only() -> None:
    assert frechet_name(INCEPTION) == "FID"
    assert frechet_name("EfficientNet-Lite0") == frechet_name("EfficientNet-Lite0" + AIDED) == "FD-EfficientNet-Lite0"
    assert frechet_name("EfficientNet-Lite0" + PERHAPS_AIDED) == "FD-EfficientNet-Lite0"
    assert frechet_name("Inception-v3 of mine") == "FD-Inception-v3 of mine"
