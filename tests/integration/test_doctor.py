"""What the doctor asks of a real cluster."""

from __future__ import annotations

import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import ray

from sweeps.cluster import Cluster
from sweeps.doctor.cluster_probe import ask_nodes, placement_groups_of
from sweeps.doctor.machine import check_clocks, check_versions
from sweeps.doctor.probe import own_versions
from sweeps.processes import describe_driver, processes_of

pytestmark = pytest.mark.ray


def test_the_nodes_of_a_cluster_say_what_they_are(cluster: Cluster) -> None:
    (node,) = ask_nodes()
    assert node.versions == own_versions()
    assert node.shm_free_bytes > 0
    findings = check_versions([node], own_versions()) + check_clocks([node])
    assert [finding.level for finding in findings] == ["ok", "ok"]


def test_a_placement_group_is_found_by_its_job(cluster: Cluster) -> None:
    job = ray.get_runtime_context().get_job_id()
    assert placement_groups_of(job) == []
    group = ray.util.placement_group([{"CPU": 0.1}])
    ray.get(group.ready())
    assert placement_groups_of(job) == [group.id.hex()]
    assert placement_groups_of("00000000") == []
    ray.util.remove_placement_group(group)


def test_the_processes_of_a_cluster_are_found_by_its_folder(cluster: Cluster) -> None:
    names = set(processes_of(describe_driver(cluster.scratch)).values())
    assert {"raylet", "gcs_server"} <= names


def test_a_cluster_of_ours_wants_its_token_and_is_seen_from_this_machine_only(
    cluster: Cluster,
) -> None:
    address = ray._private.worker.global_worker.node.webui_url
    assert address.startswith("127.0.0.1:")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://{address}/api/v0/actors", timeout=10)
    token = Path.home() / ".ray" / "auth_token"
    if token.exists():
        assert stat.S_IMODE(token.stat().st_mode) & 0o077 == 0
