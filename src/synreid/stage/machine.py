"""What a result was made on: machine, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "synreid",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "numba",
    "opencv-python-headless",
    "onnxruntime",
    "pyarrow",
)


@cache
def machine() -> dict[str, Any]:
    """Return processor, cores, memory in GiB, platform, versions and the commit (null outside a checkout)."""
    return {
        "cpu": _cpu_name(),
        "cores": cores(),
        "memory_gib": round(found / 2**30, 1) if (found := _physical_memory()) else None,
        "gpu": _gpu_name(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "commit": _commit(),
    }


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int | None:
    """Return how many bytes of memory this process may use: the machine's, or its control group's where that is less.

    The group's limit is that of Linux's cgroups, version 2, which containers and batch systems set. None where the
    system does not say, as on Windows.
    """
    if (physical := _physical_memory()) is None:
        return None
    found = [physical]
    own = Path("/proc/self/cgroup")
    groups = [line.removeprefix("0::/") for line in _lines(own) if line.startswith("0::/")]
    for group in groups:
        place = Path("/sys/fs/cgroup") / group
        limits = (_lines(folder / "memory.max") for folder in (place, *place.parents))
        found += [int(line) for lines in limits for line in lines if line.isdigit()]
    return min(found)


def _physical_memory() -> int | None:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # not Linux, or not such a file
        return []


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _gpu_name() -> str | None:
    import torch  # here, because this module must stay light to import

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    package = Path(__file__).parent.parent
    try:
        if Path(_git(package, "rev-parse", "--show-toplevel")) != package.parent.parent.resolve():
            return None  # installed somewhere within another repository
        return _git(package, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def _git(place: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=place, capture_output=True, text=True, timeout=10).stdout.strip()
