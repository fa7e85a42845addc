"""Asks every node of a running cluster for its versions, its clock and its shared memory."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.doctor.machine import NodeReport
from sweeps.doctor.probe import own_versions, shm_free_bytes


def _report() -> tuple[float, dict[str, str | None], int]:
    """Run on a node."""
    return time.time(), own_versions(), shm_free_bytes()


def ask_nodes() -> list[NodeReport]:
    """Return what every living node of the connected cluster says; of each, one after the other."""
    reports = []
    for node in ray.nodes():
        if not node["Alive"]:
            continue
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = ray.remote(num_cpus=0, scheduling_strategy=strategy)(_report)
        ray.get(task.remote())  # a worker that is started for it would be taken for an offset
        asked_s = time.time()
        clock_s, versions, free_bytes = ray.get(task.remote())
        error_s = (time.time() - asked_s) / 2
        reports.append(
            NodeReport(
                node["NodeManagerAddress"],
                versions,
                clock_s - (asked_s + error_s),
                error_s,
                free_bytes,
            )
        )
    return reports


def placement_groups_of(job_id: str) -> list[str]:
    """Return the placement groups of a job that still stand, on the connected cluster."""
    from ray.util.state import list_placement_groups

    groups: list[Any] = list_placement_groups(
        filters=[("creator_job_id", "=", job_id), ("state", "!=", "REMOVED")], limit=1000
    )
    return [group.placement_group_id for group in groups]
