"""A real local Ray with gangs of two workers, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from sweeps.cluster import Cluster, local_cluster
from sweeps.gangs import hold_gangs
from sweeps.resources import GangPlan
from tests.known_latencies import know_latencies
from trainables.data.dataset import ImageData
from trainables.data.load import load_dataset
from trainables.trial_config import TrialConfig

# Two gangs of two workers on two CPUs: the sharpest fit.
PLAN = GangPlan(
    num_gangs=2, workers_per_gang=2, cpus_per_worker=0.5, gpus_per_worker=0, threads_per_worker=1
)


@pytest.fixture(scope="session")
def digits() -> ImageData:
    return load_dataset("digits", "unused", seed=0, limit_train=256)[0]


@pytest.fixture(scope="session", autouse=True)
def known_latencies(digits: ImageData) -> None:
    """Figures of what these sweeps train: none measures unless it has a cache of its own."""
    small = TrialConfig(model="resnet8", width=4)
    slow = TrialConfig(model="resnet56", width=160)
    know_latencies([small, slow], digits.task)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with local_cluster(PLAN) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def desk(cluster: Cluster, digits: ImageData, tmp_path_factory: Any) -> Iterator[Any]:
    storage = str(tmp_path_factory.mktemp("storage"))
    with hold_gangs(PLAN, digits, cluster, storage) as desk:
        yield desk


def make_config(**changes: Any) -> dict[str, Any]:
    values = {"width": 4, "batch_size": 64, "num_epochs": 4, "learning_rate": 0.05, **changes}
    return TrialConfig.from_dict(values).to_dict()


def load_state(location: str | Path) -> dict[str, Any]:
    from trainables import checkpoint

    return checkpoint.load(Path(location) / "state.pt")


def equal_states(first: Any, second: Any) -> bool:
    """Tell whether two nested states hold the same values, tensors bit for bit."""
    import torch

    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            equal_states(first[key], second[key]) for key in first
        )
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    return bool(np.all(first == second))


class Lessee:
    """A trial's side of the protocol, without Ray Tune."""

    def __init__(self, desk: Any, trial_id: str) -> None:
        self.desk = desk
        self.ticket = ray.get(desk.lease.remote(trial_id))

    def order(self, order: Any) -> Any:
        return ray.get(self.desk.order.remote(self.ticket, order))

    def release(self) -> None:
        ray.get(self.desk.release.remote(self.ticket))
