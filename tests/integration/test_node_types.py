"""Gangs that ask for types of nodes, on a real cluster of several raylets."""

import dataclasses
import time

import pytest
import ray
from ray.cluster_utils import Cluster as RayCluster

from sweeps.cluster import running_cluster
from sweeps.gangs import hold_gangs, num_gangs_there
from sweeps.resources import GangPlan
from trainables.gang_trial import TRIAL_SLOT
from trainables.node_turns import NodeType

TYPES = (NodeType("spot", {"market": "spot"}), NodeType("sure", {"market": "sure"}))
PLAN = GangPlan(
    num_gangs=2, workers_per_gang=1, cpus_per_worker=1, gpus_per_worker=0, threads_per_worker=1
)


@pytest.mark.ray
@pytest.mark.long
def test_gangs_fall_back_to_the_next_type_and_cost_nothing_before_their_nodes_are_there(
    digits, tmp_path
):
    head = {"num_cpus": 0, "resources": {TRIAL_SLOT: 2}, "include_dashboard": True}
    nodes = RayCluster(initialize_head=True, head_node_args=head)
    try:
        nodes.add_node(num_cpus=2, labels={"market": "other"})  # no gang may use it
        nodes.add_node(num_cpus=1, labels={"market": "sure"})
        with running_cluster(nodes.address) as running:
            cluster = dataclasses.replace(running, node_types=TYPES, node_wait_s=4.0)
            with hold_gangs(PLAN, digits, cluster, str(tmp_path)) as desk:
                wait_for(lambda: num_ready(desk) == 1)
                notices = ray.get(desk.take_notices.remote())
                assert "no spot came in 4 s: it asks for sure" in notices[0]
                assert kinds(desk) == ["awaited", "idle"]
                nodes.add_node(num_cpus=1, labels={"market": "sure"})
                wait_for(lambda: num_gangs_there(PLAN, cluster) == 2)
                ray.get(desk.arrive.remote(2))
                assert "awaited" not in kinds(desk)
                wait_for(lambda: num_ready(desk) == 2)
    finally:
        nodes.shutdown()


def num_ready(desk):
    return sum(gang["is_ready"] for gang in ray.get(desk.snapshot.remote()))


def kinds(desk):
    return sorted(gang.kind for gang in ray.get(desk.standing.remote()).gangs)


def wait_for(has_come, timeout_s=120):
    deadline_s = time.monotonic() + timeout_s
    while not has_come():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
