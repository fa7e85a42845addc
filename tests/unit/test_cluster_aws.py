"""`ray up cluster.yaml` as far as AWS answers it: a dry run against moto's fake of AWS."""

from pathlib import Path

import boto3
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

from sweeps.node_types import nodes_to_come
from sweeps.resources import Node

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """The file as Ray's launcher leaves it, and an instance of every node type by its name."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir()  # Ray keeps the key pair that it makes there
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        environment.setenv("HOME", str(home))
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "none")
        yield launch()


def launch():
    for profile in ("paretune-head", "paretune-worker"):
        boto3.client("iam").create_instance_profile(InstanceProfileName=profile)
    config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    config = AWSNodeProvider.fillout_available_node_types_resources(config)
    config = bootstrap_aws(config)
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for name, node_type in config["available_node_types"].items():
        kind = "head" if name == config["head_node_type"] else "worker"
        tags = {TAG_RAY_NODE_KIND: kind, TAG_RAY_USER_NODE_TYPE: name}
        provider.create_node(node_type["node_config"], tags, 1)
    found = boto3.client("ec2").describe_instances()["Reservations"]
    instances = [instance for part in found for instance in part["Instances"]]
    return config, {type_of(instance): instance for instance in instances}


def type_of(instance):
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    return tags[TAG_RAY_USER_NODE_TYPE]


def test_each_type_is_launched_as_the_file_says(launched):
    config, instances = launched
    assert instances.keys() == config["available_node_types"].keys()
    for name, instance in instances.items():
        asked = config["available_node_types"][name]["node_config"]
        assert instance["InstanceType"] == asked["InstanceType"]
        assert instance.get("InstanceLifecycle") == ("spot" if name == "gpu_spot" else None)
        profile = "head" if name == "head" else "worker"
        assert instance["IamInstanceProfile"]["Arn"].endswith(f"/paretune-{profile}")
        assert instance["MetadataOptions"]["HttpTokens"] == "required"


def test_a_sweep_knows_from_the_file_on_the_head_what_may_come(launched):
    config, _ = launched
    assert nodes_to_come(config, []) == [Node(48.0, 4.0, "L4")] * 8
