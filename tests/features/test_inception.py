"""FID's Inception: the loading code, on a file of the same structure with random values."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from synreid.features import inception, registry
from synreid.features.embedders import embedder_by_name
from synreid.stage.errors import UserError

FILE = "weights-inception-2015-12-05-6726825d.pth"


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """torch-fidelity's own network with random weights, in place of the download that it would make."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    network = module.FeatureExtractorInceptionV3
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda url, progress=False: {})
        patch.setattr(network, "load_state_dict", lambda self, state: None)
        made: torch.nn.Module = network("inception", ["2048"])
    for name, value in made.named_buffers():  # statistics that keep the features from vanishing
        if name.endswith("running_var"):
            value.fill_(0.1)
    return made


@pytest.fixture
def folder(theirs: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights that holds a file of that structure, under the real file's name and its own digest."""
    torch.save(theirs.state_dict(), tmp_path / FILE)
    digest = hashlib.sha256((tmp_path / FILE).read_bytes()).hexdigest()
    real = registry.REGISTRY["inception"]
    monkeypatch.setitem(registry.REGISTRY, "inception", registry.Weights(real.name, FILE, digest, real.source, "none"))
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path))
    return tmp_path


def noise(n: int, height: int = 16, width: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def test_features_are_those_of_torch_fidelity(
    theirs: torch.nn.Module, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception, "BATCH", 2)
    assert inception.missing() is None
    embedder = embedder_by_name("inception")
    assert embedder.name == inception.INCEPTION
    found = embedder.embed(noise(3))
    assert found.shape == (3, 2048)
    assert found.dtype == np.float32
    with torch.no_grad():
        expected = theirs(torch.from_numpy(noise(3)).permute(0, 3, 1, 2))[0].numpy()
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    assert embedder.embed(noise(0)).shape == (0, 2048)


def test_a_file_that_runs_code_is_refused(folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (folder / "ran",))

    torch.save({"fc.bias": Evil()}, folder / FILE)
    entry = registry.REGISTRY["inception"]
    digest = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    registry.REGISTRY["inception"] = registry.Weights(entry.name, FILE, digest, entry.source, "none")
    with pytest.raises(UserError, match=r"pth does not hold the weights of FID's Inception"):
        inception.inception()
    assert not (folder / "ran").exists()


def test_weights_of_another_network_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"fc.bias": torch.zeros(3)}, folder / FILE)
    monkeypatch.setattr(registry, "_verified", lambda entry, path: path)
    with pytest.raises(UserError, match=r"pth does not hold the weights of FID's Inception \(Error.*replace it"):
        inception.inception()


def test_missing_weights_name_file_source_and_variable(without_weights: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_fidelity")

    def no_network(*args: object, **named: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(registry.pooch, "retrieve", no_network)
    with pytest.raises(UserError) as caught:
        embedder_by_name("inception")
    for text in (str(caught.value), inception.missing()):
        assert text is not None
        for part in (FILE, "torch-fidelity's release v0.2.0", "SYNREID_WEIGHTS"):
            assert part in text


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception, "PACKAGE", "no_such_package")
    assert "pip install 'synreid[fid]'" in str(inception.missing())
    monkeypatch.setitem(__import__("sys").modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(UserError, match=r"pip install 'synreid\[fid\]'"):
        inception.inception()


def test_the_digest_is_the_one_in_the_files_name() -> None:
    entry = registry.REGISTRY["inception"]
    assert entry.file.split("-")[-1].removesuffix(".pth") == entry.sha256[:8]
    assert inception.InceptionEmbedder.fingerprint == entry.sha256[:16]
