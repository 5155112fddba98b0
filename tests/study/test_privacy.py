"""The stage `privacy`: what it audits, against which pictures, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from synreid.cli.main import main
from synreid.data.pixels import picture_sha256, pixels
from synreid.data.scan import open_data
from synreid.data.sheets import write_picture
from synreid.data.table import TABLE, column, from_columns, pick, read_table, rows, write_table
from synreid.features import registry
from synreid.generate.place import LearnedPictures, learned_pictures, save_learned
from synreid.generate.sample import StyleSampler
from synreid.quality.privacy import too_near
from synreid.stage.errors import UserError
from synreid.stage.folder import StageFolder
from synreid.study.privacy import as_text, audit_privacy, read_privacy

HEIGHT, WIDTH = 32, 16
COPIES = 6


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge by what is always there: plain pixels."""
    monkeypatch.delenv(registry.VARIABLE, raising=False)
    monkeypatch.setattr(registry, "find", lambda name: None)


@pytest.fixture(scope="module")
def data(tiny_street: Path) -> pa.Table:
    return open_data(tiny_street)


Folder = Callable[[str], Path]


@pytest.fixture
def folder(tmp_path: Path, data: pa.Table) -> Folder:
    """folder(origin): 30 pictures of noise, before them six copies of training pictures, the odd ones mirrored."""
    copies = np.array(pixels(rows(pick(data, split="train"), range(COPIES)), HEIGHT, WIDTH))
    copies[1::2] = copies[1::2, :, ::-1]
    noise = np.random.default_rng(0).integers(0, 256, (30, HEIGHT, WIDTH, 3), dtype=np.uint8)
    pictures = np.concatenate([copies, noise])

    def write(origin: str) -> Path:
        out = tmp_path / origin
        with StageFolder(out, "persons", 1, {}, {}) as stage:
            names = [f"pictures/{number:04d}.png" for number in range(len(pictures))]
            for name, picture in zip(names, pictures, strict=True):
                write_picture(out / name, picture)
            digests, pids = map(picture_sha256, pictures), [f"made/{number // 3}" for number in range(len(pictures))]
            table = from_columns(root=str(out), path=names, sha256=list(digests), pid=pids, origin=origin)
            write_table(table, out / TABLE)
            stage.finish()
        return out

    return write


def test_copies_in_a_folder_are_flagged_and_can_be_left_out(
    folder: Folder, tiny_street: Path, data: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = folder("artificial"), tmp_path / "audit"
    with pytest.raises(SystemExit) as stopped:
        main(["privacy", str(source), "--data", str(tiny_street), "--out", str(out)])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    found, audit = read_privacy(out)
    assert as_text(found) in printed
    assert "36 artificial persons at 32x16, 96 training pictures" in printed
    assert audit["flagged"].to_pylist() == [True] * COPIES + [False] * 30
    assert audit["mirrored_pixels"].to_pylist()[:COPIES] == [False, True] * 3
    originals = column(rows(pick(data, split="train"), range(COPIES)), "sha256")
    assert audit["nearest_pixels"].to_pylist()[:COPIES] == originals.tolist()
    assert np.flatnonzero(too_near(read_table(source / TABLE), audit)).tolist() == list(range(COPIES))
    assert (found["made"], found["flagged"], found["training"], found["training_persons"]) == (36, COPIES, 96, 12)
    assert found["held_out_persons"] == 6
    assert found["features"] == {"pixels": "pixels-16x8"}
    assert any("Only pixels are compared" in note for note in found["notes"])
    assert (out / "privacy.png").is_file()
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert (config["source"], config["data"]) == (str(source), str(tiny_street))


def test_variations_are_called_so(folder: Folder, data: pa.Table, tmp_path: Path) -> None:
    found, _ = read_privacy(audit_privacy(folder("variation"), data, tmp_path / "audit"))
    assert found["source"] == "variations of real persons"
    assert "shows that person by construction" in found["limits"][0]


def test_a_generator_is_judged_by_what_it_learned_from(
    tiny_gan: Path, data: pa.Table, tmp_path: Path, train_table: pa.Table
) -> None:
    found, audit = read_privacy(audit_privacy(tiny_gan, data, tmp_path / "whole", count=25))
    assert (found["source"], found["made"], found["resolution"]) == ("samples of a generator", 25, "16x8")
    assert found["training"] == len(train_table) == 96
    sampler = StyleSampler.load(tiny_gan)
    samples = sampler.synthesize(sampler.latents(range(25)), range(25))
    assert audit["sha256"].to_pylist() == [picture_sha256(picture) for picture in samples]
    assert audit["seed"].to_pylist() == list(range(25))

    part = shutil.copytree(tiny_gan, tmp_path / "gan")
    learned = [*column(train_table, "sha256")[5:15], "0" * 64]
    save_learned(part, LearnedPictures(frozenset(learned), frozenset({"other.pkl"})))
    found, audit = read_privacy(audit_privacy(part, data, tmp_path / "part", count=25))
    assert found["training"] == 10
    assert set(audit["nearest_pixels"].to_pylist()) <= set(learned)
    notes = " ".join(found["notes"])
    assert "1 pictures that the data do not hold" in notes
    assert "other.pkl, whose pictures nobody has listed" in notes


def test_a_finished_audit_is_kept_and_another_is_refused(tiny_gan: Path, data: pa.Table, tmp_path: Path) -> None:
    out = audit_privacy(tiny_gan, data, tmp_path / "audit", count=5)
    written = (out / "privacy.json").stat().st_mtime_ns
    assert audit_privacy(tiny_gan, data, out, count=5) == out
    assert (out / "privacy.json").stat().st_mtime_ns == written
    with pytest.raises(UserError, match="count was 5 and is now 6"):
        audit_privacy(tiny_gan, data, out, count=6)


def test_held_out_pictures_are_of_other_persons_and_not_learned(
    tiny_gan: Path, data: pa.Table, tmp_path: Path, train_table: pa.Table
) -> None:
    test = pick(data, split=("query", "gallery"), junk=False)
    first = column(test, "pid")[0]
    place = data.schema.get_field_index("pid")
    train_pid = column(train_table, "pid")[0]
    pids = [train_pid if pid == first else pid for pid in column(data, "pid")]  # one test person is in training, too
    data = data.set_column(place, data.schema.field(place), pa.array(pids, pa.string()))
    gan = shutil.copytree(tiny_gan, tmp_path / "gan")
    leaked = column(pick(test, pid=column(test, "pid")[-1]), "sha256")
    save_learned(gan, LearnedPictures(learned_pictures(tiny_gan).digests | {leaked[0]}))
    found, _ = read_privacy(audit_privacy(gan, data, tmp_path / "audit", count=5))
    assert found["held_out"] == len(test) - (column(test, "pid") == first).sum() - 1


def test_what_cannot_be_audited_is_refused(
    tiny_gan: Path, tiny_street: Path, data: pa.Table, tmp_path: Path, folder: Folder
) -> None:
    out = tmp_path / "audit"
    for source in (tiny_street, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="is neither a generator"):
            audit_privacy(source, data, out)
    with pytest.raises(UserError, match="count is 1"):
        audit_privacy(tiny_gan, data, out, count=1)
    with pytest.raises(UserError, match="no training picture"):
        audit_privacy(tiny_gan, pick(data, split=("query", "gallery")), out)
    with pytest.raises(UserError, match="hold 0 query and gallery pictures"):
        audit_privacy(tiny_gan, pick(data, split="train"), out)
    few = pa.concat_tables([pick(data, split="train"), pick(data, split="query").slice(0, 5)])
    with pytest.raises(UserError, match=r"hold 5 query and gallery pictures .* 20 or more are needed"):
        audit_privacy(tiny_gan, few, out)
    other = shutil.copytree(tiny_gan, tmp_path / "gan")
    save_learned(other, LearnedPictures(frozenset({"0" * 64})))
    with pytest.raises(UserError, match="none of the 96 training pictures"):
        audit_privacy(other, data, out)
    source = folder("artificial")
    write_table(rows(read_table(source / TABLE), [0]), source / TABLE)
    with pytest.raises(UserError, match="holds 1 pictures"):
        audit_privacy(source, data, out)
    assert not out.exists()
    with pytest.raises(UserError, match="privacy run"):
        read_privacy(tiny_gan)
