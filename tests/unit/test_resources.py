import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.resources import MIN_CPUS_PER_WORKER, GangPlan, Node, plan_gangs
from trainables.errors import InputError


def as_tuple(plan: GangPlan) -> tuple[float, ...]:
    return (plan.num_gangs, plan.workers_per_gang, plan.cpus_per_worker,
            plan.gpus_per_worker, plan.threads_per_worker)  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "asked", "expected"),  # gangs, workers, CPUs and GPUs a worker, threads
    [
        ([Node(1)], {}, (1, 1, 1, 0, 1)),
        ([Node(2)], {}, (1, 2, 1, 0, 1)),
        ([Node(4)], {}, (1, 2, 2, 0, 2)),
        ([Node(8)], {}, (2, 2, 2, 0, 2)),
        ([Node(9)], {}, (2, 2, 2, 0, 2)),
        ([Node(64)], {}, (16, 2, 2, 0, 2)),
        ([Node(4, 1)], {}, (1, 1, 1, 1, 4)),
        ([Node(1, 2)], {}, (1, 2, 0.5, 1, 1)),
        ([Node(64, 8)], {}, (4, 2, 1, 1, 8)),
        ([Node(32, 4), Node(32, 4)], {}, (4, 2, 1, 1, 8)),
        ([Node(8), Node(16, 2), Node(16, 2)], {}, (2, 2, 1, 1, 10)),
        ([Node(8), Node(8), Node(8)], {}, (6, 2, 2, 0, 2)),
        # What was asked for is kept.
        ([Node(2)], {"gangs": 2}, (2, 2, 0.5, 0, 1)),
        ([Node(2)], {"gangs": 2, "workers_per_gang": 2}, (2, 2, 0.5, 0, 1)),
        ([Node(2)], {"gangs": 4, "workers_per_gang": 2}, (4, 2, 0.25, 0, 1)),
        ([Node(16)], {"workers_per_gang": 1}, (4, 1, 4, 0, 4)),
        ([Node(64, 8)], {"workers_per_gang": 8}, (1, 8, 1, 1, 8)),
        ([Node(64, 8)], {"workers_per_gang": 1}, (8, 1, 1, 1, 8)),
        ([Node(64, 8)], {"gpus_per_worker": 0}, (16, 2, 2, 0, 2)),
        ([Node(4, 1)], {"gpus_per_worker": 0.25}, (2, 2, 1, 0.25, 1)),
        ([Node(4, 1)], {"gpus_per_worker": 0.5, "gangs": 1}, (1, 2, 1, 0.5, 2)),
    ],
)
def test_a_plan_for_each_hardware(nodes, asked, expected):
    assert as_tuple(plan_gangs(nodes, **asked)) == expected


def test_a_gangs_gpus_are_those_of_its_workers():
    assert plan_gangs([Node(64, 8)]).gpus_per_gang == 2
    assert plan_gangs([Node(8)]).gpus_per_gang == 0


@pytest.mark.parametrize(
    ("nodes", "asked", "arithmetic"),
    [
        (
            [Node(2)],
            {"gangs": 5, "workers_per_gang": 2},
            "5 gangs x 2 workers = 10 workers that need 0.25 CPUs each, and there is 2 CPUs",
        ),
        (
            [Node(64, 8)],
            {"gangs": 3, "workers_per_gang": 3},
            "3 gangs x 3 workers = 9 workers that need 1 GPUs each, and there is 8 GPUs",
        ),
        (
            [Node(8)],
            {"gpus_per_worker": 1, "gangs": 1},
            "1 gangs x 1 workers = 1 workers that need 1 GPUs each, and there is 0 GPUs",
        ),
        (
            [Node(8, 3), Node(8, 3)],
            {"gpus_per_worker": 2, "gangs": 3, "workers_per_gang": 1},
            "3 workers that need 0.25 CPUs and 2 GPUs each, whole on one node, and there is "
            "room for 2 on 2 nodes",
        ),
    ],
)
def test_a_refusal_shows_its_arithmetic(nodes, asked, arithmetic):
    with pytest.raises(InputError) as caught:
        plan_gangs(nodes, **asked)
    message = str(caught.value)
    assert arithmetic in message
    assert message.startswith("gangs x workers must fit the hardware, got ")
    assert message.endswith("; lower --gangs or --workers-per-trial")
    assert "\n" not in message


@pytest.mark.parametrize("nodes", [[], [Node(0, 4)]])
def test_a_cluster_without_cpus_is_refused(nodes):
    with pytest.raises(InputError, match=r"must have nodes with CPUs .* got none; raise min_work"):
        plan_gangs(nodes)


def fits(nodes: list[Node], plan: GangPlan) -> bool:
    """Place the workers one after the other, each on the first node with room."""
    free = [[node.num_cpus, node.num_gpus] for node in nodes]
    for _ in range(plan.num_gangs * plan.workers_per_gang):
        for room in free:
            if room[0] >= plan.cpus_per_worker - 1e-6 and room[1] >= plan.gpus_per_worker - 1e-6:
                room[0] -= plan.cpus_per_worker
                room[1] -= plan.gpus_per_worker
                break
        else:
            return False
    return True


nodes_lists = st.lists(
    st.builds(Node, st.integers(1, 96), st.sampled_from([0, 0, 1, 2, 4, 8])),
    min_size=1,
    max_size=5,
)


@given(
    nodes=nodes_lists,
    gangs=st.none() | st.integers(1, 20),
    workers=st.none() | st.integers(1, 9),
    gpus=st.none() | st.sampled_from([0, 0.25, 0.5, 1, 2]),
)
def test_what_is_planned_always_fits(nodes, gangs, workers, gpus):
    asked = {"gangs": gangs, "workers_per_gang": workers, "gpus_per_worker": gpus}
    try:
        plan = plan_gangs(nodes, **asked)
    except InputError:
        return
    assert fits(nodes, plan)
    assert plan.cpus_per_worker >= MIN_CPUS_PER_WORKER
    assert plan.threads_per_worker >= 1
    assert plan.num_gangs == gangs or gangs is None
    assert plan.workers_per_gang == workers or workers is None
    assert plan.gpus_per_worker == gpus or gpus is None


@given(num_cpus=st.integers(1, 256), num_gpus=st.sampled_from([0, 1, 2, 3, 4, 8]))
def test_one_machine_always_has_a_plan_of_its_own(num_cpus, num_gpus):
    if num_cpus < num_gpus * MIN_CPUS_PER_WORKER:
        num_cpus = math.ceil(num_gpus * MIN_CPUS_PER_WORKER)
    node = Node(num_cpus, num_gpus)
    plan = plan_gangs([node])
    assert fits([node], plan)
    threads = plan.num_gangs * plan.workers_per_gang * plan.threads_per_worker
    assert threads <= max(num_cpus, plan.num_gangs * plan.workers_per_gang)
