"""The cluster files against Ray's own checks and KubeRay's fields, without a cloud."""

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
CLOUDS = ("cluster.yaml", "clusters/gcp.yaml")
LAUNCHED = (*CLOUDS, "clusters/onprem.yaml")
ALL = (*LAUNCHED, "clusters/kuberay.yaml")

each_cloud = pytest.mark.parametrize("path", CLOUDS)
each_launched = pytest.mark.parametrize("path", LAUNCHED)
each_file = pytest.mark.parametrize("path", ALL)


def text(path):
    return (ROOT / path).read_text()


def written(path):
    return yaml.safe_load(text(path))


def prepared(path):
    """The config as `ray up` prepares it, with Ray's defaults filled in."""
    return prepare_config(copy.deepcopy(written(path)))


def node_types(config):
    types = dict(config["available_node_types"])
    return types.pop(config["head_node_type"]), types


@each_launched
def test_ray_accepts_it(path):
    validate_config(prepared(path))


@each_launched
def test_rays_check_would_see_a_wrong_key(path):
    config = prepared(path)
    config["idle_minutes"] = 5
    with pytest.raises(jsonschema.ValidationError, match="idle_minutes"):
        validate_config(config)


@each_cloud
def test_only_the_head_carries_trial_slots_and_it_trains_nothing(path):
    head, workers = node_types(prepared(path))
    assert head["resources"] == {"CPU": 0, TRIAL_SLOT: 64}
    assert workers
    for worker in workers.values():
        assert TRIAL_SLOT not in worker["resources"]


@each_cloud
def test_head_and_bench_are_on_demand_and_gangs_run_on_spot(path):
    head, workers = node_types(prepared(path))
    spot = {name for name, node in workers.items() if is_spot(node["node_config"])}
    assert spot == {"gpu_spot"}
    assert not is_spot(head["node_config"])
    assert head["max_workers"] == 0
    for node in (head, *workers.values()):
        market = "spot" if is_spot(node["node_config"]) else "on-demand"
        assert node["labels"] == {"market": market}


def is_spot(node):
    aws = node.get("InstanceMarketOptions") == {"MarketType": "spot"}
    return aws or node.get("scheduling", {}).get("provisioningModel") == "SPOT"


@each_cloud
def test_what_can_run_at_a_time_is_bounded_and_idle_workers_go(path):
    config = prepared(path)
    _, workers = node_types(config)
    for worker in workers.values():
        assert worker["min_workers"] == 0
        assert worker["max_workers"] >= 1
    assert config["max_workers"] == sum(worker["max_workers"] for worker in workers.values())
    assert 0 < config["idle_timeout_minutes"] <= 60
    assert "--budget-usd" in text(path)


@each_cloud
def test_a_node_for_latencies_measures_one_at_a_time_and_trains_nothing(path):
    _, workers = node_types(prepared(path))
    resources = workers["latency_bench"]["resources"]
    assert {name: resources[name] for name in ("CPU", "GPU", LATENCY_BENCH)} == {
        "CPU": 0,
        "GPU": 0,
        LATENCY_BENCH: 1,
    }


@each_launched
def test_every_node_installs_this_package_and_has_rays_token(path):
    config = prepared(path)
    (remote,) = (name for name, local in config["file_mounts"].items() if local == ".")
    assert f"pip install -e {remote}" in config["head_setup_commands"]
    assert f"pip install -e {remote}" in config["worker_setup_commands"]
    home = remote.removesuffix("/paretune")
    assert config["file_mounts"][f"{home}/.ray/auth_token"] == "~/.ray/auth_token"


@each_cloud
def test_every_node_runs_the_same_ray(path):
    docker = written(path)["docker"]
    tags = [docker[key].partition(":")[2] for key in ("head_image", "worker_image")]
    assert tags[1] == f"{tags[0]}-gpu"


def test_nodes_on_aws_use_instance_profiles():
    head, workers = node_types(written("cluster.yaml"))
    for node in (head, *workers.values()):
        assert node["node_config"]["IamInstanceProfile"]["Name"]
        assert node["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}


def test_workers_on_gcp_use_a_service_account():
    _, workers = node_types(written("clusters/gcp.yaml"))
    for worker in workers.values():
        (account,) = worker["node_config"]["serviceAccounts"]
        assert account["email"].startswith("paretune-worker@")


@each_file
def test_it_holds_no_secret(path):
    lowered = text(path).lower()
    for word in ("aws_access_key", "aws_secret", "akia", "keyname", "password", "begin private"):
        assert word not in lowered


@each_launched
def test_dashboard_is_not_open_to_the_network(path):
    (start,) = (line for line in prepared(path)["head_start_ray_commands"] if "--head" in line)
    assert "--dashboard-host=127.0.0.1" in start
    assert "--autoscaling-config" in start


@each_cloud
def test_the_resources_of_the_head_stand_in_one_place(path):
    (start,) = (line for line in prepared(path)["head_start_ray_commands"] if "--head" in line)
    assert "--num-cpus" not in start
    assert "--resources" not in start


def test_the_head_of_ones_own_machines_trains_nothing():
    """Ray takes no resources from a file with the provider `local`."""
    commands = prepared("clusters/onprem.yaml")["head_start_ray_commands"]
    (start,) = (line for line in commands if "--head" in line)
    assert "--num-cpus=0" in start
    assert f"""--resources='{{"{TRIAL_SLOT}": 64}}'""" in start
    assert "RAY_enable_autoscaler_v2=0" in start


@each_launched
def test_rsync_leaves_out_run_folders_but_none_of_our_code(path):
    patterns = written(path)["rsync_exclude"]
    assert {"/.git/", "/runs/", "/data/"} <= set(patterns)
    floating = [pattern.strip("/") for pattern in patterns if not pattern.startswith("/")]
    ours = [
        path.relative_to(ROOT)
        for package in ("sweeps", "trainables", "analysis")
        for path in (ROOT / package).rglob("*.py")
    ]
    assert ours
    for own in ours:
        assert f"/{own.parts[0]}/" not in patterns
        assert not any(fnmatch(part, pattern) for part in own.parts for pattern in floating)


@each_file
def test_it_says_where_shared_storage_goes_and_what_to_edit(path):
    assert "--storage" in text(path)
    assert text(path).count("EDIT") >= 3


# --- KubeRay: no operator and no CRD is at hand, so the fields are those of ray.io/v1 of KubeRay
# 1.6 and 1.7, written down here; against their CRDs the file was checked once by hand.

RAY_JOB = {
    "entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
    "activeDeadlineSeconds", "preRunningDeadlineSeconds", "rayClusterSpec", "submissionMode",
    "runtimeEnvYAML", "entrypointNumCpus", "entrypointNumGpus", "submitterPodTemplate",
}  # fmt: skip
RAY_CLUSTER = {
    "rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec",
    "workerGroupSpecs", "gcsFaultToleranceOptions",
}  # fmt: skip
HEAD_GROUP = {"labels", "rayStartParams", "template", "resources", "serviceType"}
WORKER_GROUP = HEAD_GROUP - {"serviceType"} | {
    "groupName", "replicas", "minReplicas", "maxReplicas", "idleTimeoutSeconds", "numOfHosts",
}  # fmt: skip


def test_kuberay_knows_every_field():
    job = written("clusters/kuberay.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert spec.keys() <= RAY_JOB
    assert cluster.keys() <= RAY_CLUSTER
    assert cluster["headGroupSpec"].keys() <= HEAD_GROUP
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() <= WORKER_GROUP
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert cluster["rayVersion"] in container["image"]
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_kuberays_head_trains_nothing_and_the_cluster_goes_with_the_job():
    spec = written("clusters/kuberay.yaml")["spec"]
    parameters = spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]
    assert parameters["num-cpus"] == "0"
    assert yaml.safe_load(yaml.safe_load(parameters["resources"])) == {TRIAL_SLOT: 64}
    assert spec["shutdownAfterJobFinishes"]
    assert spec["backoffLimit"] == 0
    assert spec["activeDeadlineSeconds"] > 0
