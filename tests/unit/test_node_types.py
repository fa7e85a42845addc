import pytest
import yaml

from sweeps.node_types import (
    choose_nodes,
    nodes_to_come,
    read_node_types,
    read_nodes_to_come,
)
from sweeps.resources import Node, plan_gangs
from trainables.errors import InputError
from trainables.node_turns import NodeType

SMALL, LARGE = Node(1.0), Node(8.0, 4.0, "L4")
CONFIG = {
    "max_workers": 4,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0, "trial_slot": 8}, "max_workers": 0},
        "large": {"resources": {"CPU": 8, "GPU": 4, "accelerator_type:L4": 1}, "max_workers": 2},
        "small": {"resources": {"CPU": 1}, "max_workers": 3},
        "bench": {"resources": {"CPU": 0, "latency_bench": 1}, "max_workers": 1},
    },
}


def chosen(present, to_come, gangs, workers=1, gpus=None):
    return choose_nodes(
        present, to_come, gangs=gangs, workers_per_gang=workers, gpus_per_worker=gpus
    )


def test_what_may_come_is_what_the_file_allows_beside_the_nodes_that_are_up():
    assert nodes_to_come(CONFIG, []) == [LARGE, LARGE, SMALL, SMALL]
    assert nodes_to_come(CONFIG, [LARGE]) == [LARGE, SMALL, SMALL]
    assert nodes_to_come(CONFIG, [SMALL, SMALL, SMALL]) == [LARGE]
    assert nodes_to_come(CONFIG, [SMALL] * 4) == []


def test_nodes_whose_size_is_not_known_before_they_are_up_are_not_counted_on():
    types = {"head": {"resources": {}}, "local": {"resources": {}, "max_workers": 2}}
    assert nodes_to_come(CONFIG | {"available_node_types": types}, []) == []


def test_no_more_nodes_are_taken_than_the_gangs_need():
    assert chosen([], [SMALL] * 4, gangs=2) == [SMALL] * 2
    assert chosen([SMALL], [SMALL] * 4, gangs=3) == [SMALL] * 3
    assert chosen([SMALL] * 3, [SMALL], gangs=2) == [SMALL] * 3
    assert chosen([], [LARGE, LARGE], gangs=1, workers=4) == [LARGE]
    assert chosen([], [LARGE, LARGE], gangs=2, workers=4) == [LARGE] * 2


def test_without_a_number_of_gangs_there_are_the_nodes_that_are_up_or_all_that_can_be():
    assert chosen([SMALL], [SMALL], gangs=None) == [SMALL]
    assert chosen([], [SMALL, SMALL], gangs=None) == [SMALL, SMALL]


def test_a_sweep_bigger_than_the_cluster_can_ever_be_is_refused():
    nodes = chosen([LARGE], [LARGE], gangs=3, workers=4)
    assert nodes == [LARGE, LARGE]
    with pytest.raises(InputError, match="12 workers that need 1 GPUs each, and there is 8 GPUs"):
        plan_gangs(nodes, gangs=3, workers_per_gang=4)


def test_the_file_of_ray_up_is_taken_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_nodes_to_come(None, []) == []
    (tmp_path / "ray_bootstrap_config.yaml").write_text(yaml.safe_dump(CONFIG))
    assert read_nodes_to_come(None, [LARGE, LARGE, SMALL]) == [SMALL]


LABELLED = CONFIG | {
    "available_node_types": {
        "head": {"resources": {"CPU": 0, "trial_slot": 8}, "labels": {"market": "sure"}},
        "spot": {"resources": {"CPU": 1}, "labels": {"market": "spot"}, "max_workers": 2},
        "sure": {"resources": {"CPU": 1}, "labels": {"market": "sure"}, "max_workers": 3},
        "sure_too": {"resources": {"CPU": 1}, "labels": {"market": "sure", "disk": 1}},
        "bare": {"resources": {"CPU": 1}},
    }
}


def test_types_are_asked_for_by_the_labels_that_only_their_nodes_carry(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(LABELLED))
    assert read_node_types(str(path), ["sure_too", "spot"]) == (
        NodeType("sure_too", {"market": "sure", "disk": "1"}),
        NodeType("spot", {"market": "spot"}),
    )
    with pytest.raises(
        InputError, match=r"types of workers in .*, got head; choose from bare, spot"
    ):
        read_node_types(str(path), ["head"])
    with pytest.raises(InputError, match=r"got sure, whose labels .* fit sure_too too"):
        read_node_types(str(path), ["sure"])
    with pytest.raises(InputError, match="got bare, whose labels are none fit spot, sure"):
        read_node_types(str(path), ["spot", "bare"])
    with pytest.raises(InputError, match="--cluster-file must be the file"):
        read_node_types(str(tmp_path / "none.yaml"), ["spot"])


def test_only_types_that_were_named_may_come():
    assert nodes_to_come(CONFIG, [], ["small"]) == [SMALL] * 3
    assert nodes_to_come(CONFIG, [], ["small", "large"]) == [SMALL] * 3 + [LARGE]


@pytest.mark.parametrize("text", ["", "a: [", "max_workers: 2", "- 1"])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="--cluster-file must be the file"):
        read_nodes_to_come(str(path), [])
    with pytest.raises(InputError, match="--cluster-file must be the file"):
        read_nodes_to_come(str(tmp_path / "none.yaml"), [])
