from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

CODE = """
import sys
from pathlib import Path
from synreid.data.scan import open_data
from synreid.generate import train
from synreid.generate.options import GanOptions
train.CHECKPOINT_SECONDS = 0.2
options = GanOptions(height=16, width=8, kimg=2, batch=8, cmax=8, cbase=128, w_dim=8, tick=0.5, snap=1, metrics="none",
                     vision_aid=0)
train.train_gan(open_data(Path(sys.argv[1])), Path(sys.argv[2]), options)
"""


def start(data: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CODE, str(data), str(out)], stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_the_same_command_ends_with_the_same_weights(
    seed: int, tiny_street: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    assert start(tiny_street, tmp_path / "whole").wait() == 0
    kills = 0
    for _ in range(4):
        process = start(tiny_street, tmp_path / "killed")
        time.sleep(rng.uniform(4, 9))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() != 0
    assert start(tiny_street, tmp_path / "killed").wait() == 0
    assert kills > 0
    for name in ("generator.safetensors", "discriminator.safetensors"):
        whole, killed = (load_file(tmp_path / run / name) for run in ("whole", "killed"))
        assert all(torch.equal(whole[key], killed[key]) for key in whole)
