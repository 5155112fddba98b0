"""Which pictures of a data set a command learns from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def to_learn_from(
    data: Path, out: Path, subset: float, subset_seed: int, resume: bool, camera_pattern: str | None
) -> pa.Table:
    """Return the pictures of a share of the persons; raises UserError where there is no run to `resume`."""
    from synreid.stage.errors import UserError

    if resume and not (out / "run.json").exists():
        raise UserError(f"{out} holds no run to resume; leave --resume out to start one.")
    return part_of(data, subset, subset_seed, camera_pattern)


def part_of(data: Path, subset: float, subset_seed: int, camera_pattern: str | None) -> pa.Table:
    """Return the pictures of a share of the training persons, and all of the test's."""
    from synreid.data.scan import open_data
    from synreid.data.splits import subset as share

    return share(open_data(data, camera_pattern), fraction=subset, seed=subset_seed)
