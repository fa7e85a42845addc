"""`sweep.json`: enough to know what a run was, and to run it again."""

from __future__ import annotations

import dataclasses
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from analysis.records import SCHEMA_VERSION
from sweeps.plan import SweepPlan
from sweeps.resources import Node
from sweeps.space_table import describe_space
from trainables.data.dataset import SplitData
from trainables.latency.host import processor_name

PACKAGES: Final = (
    "paretune", "torch", "torchvision", "torchmetrics", "captum", "ray", "pyarrow", "numpy",
    "scikit-learn", "tokenizers",
)  # fmt: skip


def describe_sweep(
    plan: SweepPlan,
    data: SplitData,
    note: str,
    nodes: list[Node],
    started_unix_s: float,
) -> dict[str, Any]:
    """Return the content of `sweep.json` at the start of a sweep."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": plan.spec.name,
        "status": "running",
        "command": shlex.join(["python", *sys.argv]),
        "scheduler": plan.spec.scheduler,
        "objectives": [str(objective) for objective in plan.objectives],
        "dataset": {
            "name": data.name,
            "note": note,
            "fingerprint": data.fingerprint,
            **data.task.to_dict(),
            "limit_train": plan.limit_train,
            "num_train": len(data.train),
            "num_val": len(data.val),
            "num_test": len(data.test),
        },
        "spec": plan.spec.to_dict(),
        "searcher": plan.searcher,
        "sampler": plan.sampler.name,
        "space": [dataclasses.asdict(entry) for entry in describe_space(plan.space, plan.fixed)],
        "fixed": dict(plan.fixed),
        "mutable": sorted(plan.mutable),
        "seed": plan.spec.seed,
        "num_trials": plan.num_trials,
        "num_epochs": plan.num_epochs,
        "perturbation_epochs": plan.perturbation_epochs,
        "gangs": vars(plan.gangs),
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "hardware": {
            "machine": platform.machine(),
            "processor": processor_name(),
            "nodes": [vars(node) for node in nodes],
        },
        "started_unix_s": started_unix_s,
        "ended_unix_s": None,
        "totals": {},
    }


def _versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}


def _commit() -> str | None:
    """Return the commit of the checkout this code lies in, marked if it was changed."""
    folder = Path(__file__).parent
    git = ["git", "-C", str(folder)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.decode().strip() + ("-changed" if changes.stdout else "")
