"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from synreid.data.scan import open_data
from synreid.data.street.options import StreetOptions
from synreid.data.street.write import draw_street
from synreid.data.table import pick
from synreid.generate.options import GanOptions
from synreid.generate.train import train_gan

REPOSITORY = Path(__file__).parent.parent
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep decoded pixels of tests out of the user's cache."""
    os.environ["SYNREID_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def pku() -> Path:
    """The folder of real pictures; tests that need it are skipped where it is absent."""
    folder = SHARED / "data" / "pku-reid"
    if not folder.is_dir():
        pytest.skip("the real pictures of PKU-Reid are not on this machine")
    return folder


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder of pretrained weights; tests that need it are skipped where it is absent."""
    folder = SHARED / "weights"
    if not folder.is_dir():
        pytest.skip("pretrained weights are not on this machine")
    return folder


@pytest.fixture(scope="session")
def tiny_street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in Market-1501 layout with 12 training and 6 test persons of the embedded set."""
    return draw_street(
        tmp_path_factory.mktemp("data") / "street", StreetOptions(persons=12, test_persons=6, pictures=8)
    )


@pytest.fixture(scope="session")
def train_table(tiny_street: Path) -> pa.Table:
    """The training pictures of the tiny set."""
    return pick(open_data(tiny_street), split="train")


@pytest.fixture(scope="session")
def tiny_options() -> GanOptions:
    """A generator that trains 20 steps in a second."""
    return GanOptions(
        height=16,
        width=8,
        kimg=0.16,
        batch=8,
        cmax=8,
        cbase=128,
        w_dim=8,
        tick=0.08,
        snap=1,
        metrics="none",
        ada_kimg=0.05,
        r1_every=4,
        vision_aid=0,
    )


@pytest.fixture(scope="session")
def tiny_gan(tmp_path_factory: pytest.TempPathFactory, train_table: pa.Table, tiny_options: GanOptions) -> Path:
    """A generator trained on the tiny set."""
    return train_gan(train_table, tmp_path_factory.mktemp("gan") / "gan", tiny_options)
