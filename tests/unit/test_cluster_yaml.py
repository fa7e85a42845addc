"""cluster.yaml against Ray's own checks, without AWS."""

import copy
from fnmatch import fnmatch
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from sweeps.bench_nodes import LATENCY_BENCH
from trainables.gang_trial import TRIAL_SLOT

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "cluster.yaml").read_text()


@pytest.fixture
def written():
    return yaml.safe_load(TEXT)


@pytest.fixture
def prepared(written):
    """The config as `ray up` prepares it, with Ray's defaults filled in."""
    return prepare_config(copy.deepcopy(written))


def node_types(config):
    types = dict(config["available_node_types"])
    return types.pop(config["head_node_type"]), types


def test_ray_accepts_it(prepared):
    validate_config(prepared)


def test_rays_check_would_see_a_wrong_key(prepared):
    prepared["idle_minutes"] = 5
    with pytest.raises(jsonschema.ValidationError, match="idle_minutes"):
        validate_config(prepared)


def test_only_the_head_carries_trial_slots_and_it_trains_nothing(prepared):
    head, workers = node_types(prepared)
    assert head["resources"] == {"CPU": 0, TRIAL_SLOT: 64}
    assert workers
    for worker in workers.values():
        assert TRIAL_SLOT not in worker["resources"]


def test_head_is_on_demand_and_workers_are_spot_and_start_from_none(prepared):
    head, workers = node_types(prepared)
    assert "InstanceMarketOptions" not in head["node_config"]
    assert head["max_workers"] == 0
    for worker in workers.values():
        assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert worker["min_workers"] == 0
        assert 1 <= worker["max_workers"] <= prepared["max_workers"]
    assert 0 < prepared["idle_timeout_minutes"] <= 60


def test_every_node_installs_this_package_on_the_same_ray(written, prepared):
    (remote,) = prepared["file_mounts"]
    assert prepared["file_mounts"][remote] == "."
    assert f"pip install -e {remote}" in prepared["head_setup_commands"]
    assert f"pip install -e {remote}" in prepared["worker_setup_commands"]
    docker = written["docker"]
    tags = [docker[key].partition(":")[2] for key in ("head_image", "worker_image")]
    assert tags[1] == f"{tags[0]}-gpu"


def test_nodes_use_instance_profiles_and_the_file_holds_no_secret(written):
    head, workers = node_types(written)
    for node in (head, *workers.values()):
        assert node["node_config"]["IamInstanceProfile"]["Name"]
        assert node["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}
    lowered = TEXT.lower()
    for word in ("aws_access_key", "aws_secret", "ssh_private_key", "akia", "keyname"):
        assert word not in lowered


def test_dashboard_is_not_open_to_the_network(prepared):
    (start,) = (line for line in prepared["head_start_ray_commands"] if "--head" in line)
    assert "--dashboard-host=127.0.0.1" in start
    assert "--autoscaling-config" in start
    # Both would be a second place for what stands in the node type's resources.
    assert "--num-cpus" not in start
    assert "--resources" not in start


def test_rsync_leaves_out_run_folders_but_none_of_our_code(written):
    patterns = written["rsync_exclude"]
    assert {"/.git/", "/runs/", "/data/"} <= set(patterns)
    floating = [pattern.strip("/") for pattern in patterns if not pattern.startswith("/")]
    ours = [
        path.relative_to(ROOT)
        for package in ("sweeps", "trainables", "analysis")
        for path in (ROOT / package).rglob("*.py")
    ]
    assert ours
    for path in ours:
        assert f"/{path.parts[0]}/" not in patterns
        assert not any(fnmatch(part, pattern) for part in path.parts for pattern in floating)


def test_it_says_where_shared_storage_goes_and_what_to_edit():
    assert "--storage s3://" in TEXT
    assert TEXT.count("EDIT") > 5


def test_ray_accepts_it_with_the_node_for_latencies():
    head, _, rest = TEXT.partition("  # latency_bench:\n")
    block, _, tail = rest.partition("\n\n")
    lines = ["latency_bench:", *(line.removeprefix("  # ") for line in block.splitlines())]
    whole = head + "\n".join(f"  {line}" for line in lines) + "\n\n" + tail
    config = prepare_config(yaml.safe_load(whole))
    validate_config(config)
    resources = config["available_node_types"]["latency_bench"]["resources"]
    assert resources == {"CPU": 0, LATENCY_BENCH: 1}
