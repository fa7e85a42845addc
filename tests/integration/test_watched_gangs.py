"""Gangs on a real Ray that hang, or whose node goes away."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster as Nodes
from ray.core.generated import autoscaler_pb2

from sweeps.cluster import Cluster, running_cluster
from sweeps.gangs import hold_gangs
from sweeps.resources import GangPlan
from tests.integration.conftest import Lessee, make_config
from trainables.gang_trial import TRIAL_SLOT
from trainables.orders import Finished, Lost, Start, TrainEpoch

pytestmark = [pytest.mark.ray, pytest.mark.long]

TWO_NODES = GangPlan(
    num_gangs=1, workers_per_gang=2, cpus_per_worker=0.5, gpus_per_worker=0, threads_per_worker=1
)


def await_generation(desk: Any, generation: int) -> None:
    deadline_s = time.monotonic() + 150
    while True:
        state = ray.get(desk.snapshot.remote())[0]
        if state["is_ready"] and state["generation"] == generation:
            return
        assert time.monotonic() < deadline_s, state
        time.sleep(0.2)


def train(lessee: Lessee, num_epochs: int) -> Any:
    lessee.order(Start(make_config(seed=3, num_epochs=2000)))
    replies = [lessee.order(TrainEpoch()) for _ in range(num_epochs)]
    assert all(isinstance(reply, Finished) for reply in replies), replies
    return replies[-1]


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    nodes = Nodes(
        initialize_head=True, head_node_args={"num_cpus": 0, "resources": {TRIAL_SLOT: 1}}
    )
    nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


@pytest.fixture
def cluster(nodes: Nodes) -> Iterator[Cluster]:
    with running_cluster(nodes.address) as cluster:
        yield cluster


def test_a_stopped_worker_and_a_node_that_goes_away(
    nodes: Nodes, cluster: Cluster, digits: Any, tmp_path: Path
) -> None:
    with hold_gangs(TWO_NODES, digits, cluster, str(tmp_path)) as desk:
        lessee = Lessee(desk, "a")
        first = lessee.ticket.generation
        undisturbed = train(lessee, 2).result["val_loss"]

        pid = ray.get(desk.snapshot.remote())[0]["workers"][1][1]
        os.kill(pid, signal.SIGSTOP)
        lost = lessee.order(TrainEpoch())
        assert isinstance(lost, Lost), lost
        assert "worker 1 has said nothing" in lost.reason
        await_generation(desk, first + 1)
        assert any("hangs" in line for line in ray.get(desk.take_notices.remote()))
        lessee = Lessee(desk, "a")
        assert train(lessee, 2).result["val_loss"] == undisturbed

        (old,) = {node["NodeID"] for node in ray.nodes() if node["Resources"].get("CPU")}
        nodes.add_node(num_cpus=1)
        accepted, _ = ray._raylet.GcsClient(address=nodes.address).drain_node(
            old,
            autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
            "the test wants it",
            time.time_ns() // 1_000_000 + 120_000,
        )
        assert accepted
        deadline_s = time.monotonic() + 20
        while not lessee.order(TrainEpoch()).is_to_move:
            assert time.monotonic() < deadline_s
        lessee.release()
        await_generation(desk, first + 2)
        lessee = Lessee(desk, "a")
        last = train(lessee, 2)
        assert last.result["val_loss"] == undisturbed
        assert not last.is_to_move  # it is elsewhere now
        assert any("goes away in" in line for line in ray.get(desk.take_notices.remote()))
