"""The environment of a fresh Python process that computes for this one."""

from __future__ import annotations

import os
from pathlib import Path


def child_environment(num_threads: int) -> dict[str, str]:
    """Return ours, with threads set on purpose and this package on the path."""
    package_root = str(Path(__file__).resolve().parents[1])
    python_path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        "PYTHONPATH": python_path,
        "OMP_NUM_THREADS": str(num_threads),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
