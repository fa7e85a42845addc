"""Start two gangs of two workers on two CPUs again and again: every start must train.

Each start is a Ray of its own; the time is from its beginning until every gang has trained an
epoch.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import ray

from sweeps.cluster import local_cluster
from sweeps.gangs import hold_gangs
from sweeps.resources import Node, plan_gangs
from trainables.data.load import load_dataset
from trainables.orders import Finished, Start, TrainEpoch
from trainables.trial_config import TrialConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=20)
    arguments = parser.parse_args()
    plan = plan_gangs([Node(num_cpus=2)], gangs=2, workers_per_gang=2, gpus_per_worker=0)
    data, _ = load_dataset("digits", "data", seed=0, limit_train=128)
    config = TrialConfig(width=4, batch_size=32, num_epochs=1).to_dict()
    seconds = []
    for number in range(1, arguments.starts + 1):
        started_s = time.monotonic()
        with tempfile.TemporaryDirectory() as storage, local_cluster(plan) as cluster:
            with hold_gangs(plan, data, cluster, storage) as desk:
                tickets = ray.get([desk.lease.remote(f"trial_{i}") for i in range(2)])
                for order in (Start(config), TrainEpoch()):
                    replies = ray.get([desk.order.remote(t, order) for t in tickets])
                    assert all(isinstance(reply, Finished) for reply in replies), replies
                seconds.append(time.monotonic() - started_s)
        print(f"start {number}: both gangs trained after {seconds[-1]:.1f} s", flush=True)
    print(
        f"{len(seconds)} of {arguments.starts} starts trained on both gangs; median "
        f"{statistics.median(seconds):.1f} s [{min(seconds):.1f}, {max(seconds):.1f}]"
    )


if __name__ == "__main__":
    main()
