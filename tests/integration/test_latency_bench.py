"""Latencies on nodes of their own, on a real Ray."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import ray

from sweeps.bench_nodes import LATENCY_BENCH, NodeBench, choose_bench
from sweeps.latency_bench import DriverBench, Request, identify_here
from trainables.errors import InputError
from trainables.latency.blocks import Limits
from trainables.latency.measure import Subject
from trainables.latency.serving import Serving
from trainables.models import architecture_fingerprint
from trainables.task import Task
from trainables.trial_config import TrialConfig

pytestmark = pytest.mark.ray

TASK = Task(kind="image", input_shape=(1, 8, 8), num_classes=10)
CONFIGS = [TrialConfig(width=4), TrialConfig(width=8)]


@pytest.fixture(scope="module")
def bench() -> Iterator[NodeBench]:
    ray.init(
        address="local",
        num_cpus=1,
        resources={LATENCY_BENCH: 1},
        include_dashboard=False,
        log_to_driver=False,
    )
    chosen = choose_bench(lambda: None)
    assert isinstance(chosen, NodeBench)
    yield chosen
    ray.shutdown()


def request(subjects: list[Subject], serving: Serving) -> Request:
    return Request(subjects, TASK, serving, None, Limits(0.1, 0.2))


def test_each_model_is_measured_in_a_task_of_its_own(bench: NodeBench) -> None:
    figures: list[Any] = []
    bench.measure(request([Subject(c) for c in CONFIGS], Serving()), figures.append)
    expected = {architecture_fingerprint(config, TASK) for config in CONFIGS}
    assert {figure.architecture for figure in figures} == expected
    assert all(figure.latency_ms > 0 for figure in figures)
    assert bench.identify(Serving()) == identify_here(Serving())


def test_what_a_node_cannot_serve_is_said_here(bench: NodeBench) -> None:
    with pytest.raises(InputError, match="runtime must be one of"):
        bench.identify(Serving(runtime="abacus"))


def test_without_such_nodes_this_machine_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    assert isinstance(choose_bench(lambda: None), DriverBench)
