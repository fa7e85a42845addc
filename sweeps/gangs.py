"""The gangs of a sweep, held from before its first trial until after its last."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Final

import ray

from sweeps.cluster import Cluster, cluster_nodes
from sweeps.resources import GangPlan, num_gangs_on
from trainables.data.dataset import SplitData
from trainables.gang import Gang, GangSettings, start_desk
from trainables.gang_callbacks import limit_group_start
from trainables.gate import Gate

END_TIMEOUT_S: Final = 12.0
"""Seconds that workers have to finish their order at the end before they are killed."""

KILL_TIMEOUT_S: Final = 2.0
"""Seconds in which a killed gang is gone; its processes end within a few hundredths."""


@contextlib.contextmanager
def hold_gangs(
    plan: GangPlan,
    data: SplitData,
    cluster: Cluster,
    storage: str,
    gate: Gate | None = None,
    first_lease: int = 1,
) -> Iterator[ray.actor.ActorHandle]:
    """Start the desk and every gang; send them home at the end, and close the ledger."""
    if cluster.node_types:
        limit_group_start(cluster.node_wait_s)
    held_from_s = time.monotonic()
    # The test part stays here: no worker has its samples or labels during the search.
    desk = start_desk(
        [plan.workers_per_gang] * plan.num_gangs,
        data.without_test(),
        held_from_s,
        gate,
        first_lease,
        num_gangs_there(plan, cluster),
    )
    settings = GangSettings(
        num_workers=plan.workers_per_gang,
        cpus_per_worker=plan.cpus_per_worker,
        gpus_per_worker=plan.gpus_per_worker,
        threads_per_worker=plan.threads_per_worker,
        storage_path=cluster.scratch if cluster.is_local else f"{storage}/gangs",
        node_types=cluster.node_types,
        node_wait_s=cluster.node_wait_s,
    )
    gangs = [Gang(index, settings, desk) for index in range(plan.num_gangs)]
    try:
        yield desk
    finally:
        for gang in gangs:
            gang.closing()
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(desk.close.remote())
        deadline_s = time.monotonic() + END_TIMEOUT_S
        has_ended = [gang.join(max(0.0, deadline_s - time.monotonic())) for gang in gangs]
        if not all(has_ended):
            kill_gangs(desk)
            for gang in gangs:
                gang.join(KILL_TIMEOUT_S)


def num_gangs_there(plan: GangPlan, cluster: Cluster) -> int:
    """Return of how many gangs the nodes are there."""
    if cluster.is_local:
        return plan.num_gangs
    return num_gangs_on(cluster_nodes(cluster.node_types), plan)


def kill_gangs(desk: ray.actor.ActorHandle) -> None:
    """End the workers of all gangs at once, whatever they do, after the desk was closed."""
    with contextlib.suppress(ray.exceptions.RayError):
        for actor in ray.get(desk.actors.remote()):
            ray.kill(actor)
