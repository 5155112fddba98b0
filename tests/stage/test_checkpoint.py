from __future__ import annotations

from pathlib import Path

import torch

from synreid.stage.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint


def test_what_killed_processes_left_goes_with_the_next_checkpoint_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    (tmp_path / ".checkpoint.123.part.pt").write_bytes(b"cut")
    (tmp_path / ".model.123.part.pt").write_bytes(b"another's")
    save_checkpoint(path, {"weights": torch.arange(3)})
    assert {one.name for one in tmp_path.iterdir()} == {"checkpoint.pt", ".model.123.part.pt"}
    found: dict[str, torch.Tensor] = {}
    load_checkpoint(path, found.update)
    assert found["weights"].tolist() == [0, 1, 2]
    (tmp_path / ".checkpoint.124.part.pt").write_bytes(b"cut")
    remove_checkpoint(path)
    assert [one.name for one in tmp_path.iterdir()] == [".model.123.part.pt"]
