"""Features in the cache: taken from there only for the same pixels and the same embedder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synreid.quality import cached


class Means:
    """Each picture's mean colour; counts what it is shown."""

    def __init__(self, name: str = "means", fingerprint: str = "1") -> None:
        self.name, self.fingerprint = name, fingerprint
        self.shown: list[int] = []

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        self.shown.append(len(pictures))
        return pictures.mean((1, 2))  # float64: stored as float32


def noise(n: int = 10, height: int = 4, width: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNREID_CACHE", str(tmp_path))
    monkeypatch.setattr(cached, "BLOCK", 4)
    return tmp_path / "features"


def test_a_second_call_does_not_embed(cache: Path) -> None:
    first, again = Means(), Means()
    found = cached.cached_features(noise(), first)
    np.testing.assert_allclose(found, noise().mean((1, 2)), rtol=1e-6)
    assert first.shown == [4, 4, 2]
    np.testing.assert_array_equal(cached.cached_features(noise(), again), found)
    assert again.shown == []
    assert len(list(cache.glob("*.npy"))) == 1


def test_a_view_counts_as_the_pictures_that_it_shows() -> None:
    pictures = noise()
    cached.cached_features(pictures, Means())
    again = Means()
    view = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    cached.cached_features(view, again)
    assert again.shown == []


def one_pixel_changed() -> np.ndarray:
    pictures = noise()
    pictures[9, 3, 1, 2] ^= 1
    return pictures


@pytest.mark.parametrize(
    ("pictures", "embedder"),
    [
        (one_pixel_changed(), Means()),
        (noise()[::-1], Means()),
        (noise()[:9], Means()),
        (noise().reshape(10, 2, 4, 3), Means()),
        (noise(), Means(name="others")),
        (noise(), Means(fingerprint="2")),
    ],
)
def test_other_pictures_or_another_embedder_embed_anew(pictures: np.ndarray, embedder: Means) -> None:
    cached.cached_features(noise(), Means())
    found = cached.cached_features(pictures, embedder)
    assert sum(embedder.shown) == len(pictures)
    np.testing.assert_allclose(found, pictures.mean((1, 2)), rtol=1e-6)


def test_features_that_cannot_be_kept_are_worked_out_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SYNREID_CACHE", str(tmp_path / "file" / "cache"))
    embedder = Means()
    for _ in range(2):
        np.testing.assert_allclose(cached.cached_features(noise(), embedder), noise().mean((1, 2)), rtol=1e-6)
    assert sum(embedder.shown) == 20
    assert capsys.readouterr().err.count("SYNREID_CACHE to a folder") == 1


def test_a_damaged_file_is_made_again(cache: Path) -> None:
    whole = cached.cached_features(noise(), Means())
    (path,) = cache.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-5])
    again = Means()
    np.testing.assert_array_equal(cached.cached_features(noise(), again), whole)
    assert sum(again.shown) == 10
    assert cached._open(path, 10) is not None
