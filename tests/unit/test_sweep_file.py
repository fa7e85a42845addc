import json

import pytest
from sample_data import random_data
from sample_sweep import make_plan

from analysis.records import SCHEMA_VERSION
from sweeps.resources import Node
from sweeps.spec import SweepSpec
from sweeps.sweep_file import PACKAGES, describe_sweep


@pytest.fixture
def content():
    plan = make_plan(scheduler="pbt", seed=3, price_usd_per_hour=0.5, trials=4)
    return describe_sweep(plan, random_data(), "random images", [Node(2)], 12.5)


def test_it_survives_json(content):
    assert json.loads(json.dumps(content)) == json.loads(json.dumps(content, default=str))


def test_it_tells_what_was_searched_on_what(content):
    assert (content["schema_version"], content["status"]) == (SCHEMA_VERSION, "running")
    assert (content["scheduler"], content["seed"], content["num_trials"]) == ("pbt", 3, 4)
    assert content["objectives"] == ["val_accuracy:max", "latency_ms:min", "cost_usd:min"]
    data = random_data()
    assert content["dataset"]["fingerprint"] == data.fingerprint
    assert (content["dataset"]["num_train"], content["dataset"]["num_classes"]) == (90, 3)
    assert set(content["mutable"]) < {entry["name"] for entry in content["space"]}
    assert content["gangs"]["workers_per_gang"] == 2
    assert content["hardware"]["nodes"] == [{"num_cpus": 2, "num_gpus": 0.0, "accelerator": None}]
    assert (content["started_unix_s"], content["ended_unix_s"]) == (12.5, None)


def test_it_names_every_version(content):
    assert set(content["versions"]) == {"python", *PACKAGES}
    assert all(content["versions"].values())


def test_the_spec_can_be_built_again(content):
    stored = json.loads(json.dumps(content))["spec"]
    lists = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
    assert SweepSpec(**{**stored, **lists}).to_dict() == content["spec"]
