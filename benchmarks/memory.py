"""What a worker's memory grows by with the size of the data: a node holds one copy.

Two gangs of two workers each start a trial, once on little data and once on a lot, in a Ray of
their own each time. Compared are the bytes that belong to each worker's process alone (not shared
with any other), as Linux counts them in /proc/PID/smaps_rollup.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import ray

from sweeps.cluster import local_cluster
from sweeps.gangs import hold_gangs
from sweeps.resources import Node, plan_gangs
from trainables.data.dataset import ImageData, Part, Source
from trainables.data.splits import split_source
from trainables.orders import Finished, Start, TrainEpoch
from trainables.trial_config import TrialConfig


def random_images(num_samples: int) -> ImageData:
    """Return random images of CIFAR's shape, none of them in the test part."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (num_samples, 3, 32, 32), dtype=np.uint8)
    part = Part(images, np.arange(num_samples, dtype=np.int64) % 10)
    return split_source(Source("random", part, None, tuple("0123456789")), seed=0)


def private_bytes(pid: int) -> int:
    """Return the memory that only this process has."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(kilobytes) * 1024


def measure(data: ImageData) -> list[int]:
    """Return the private bytes of every worker after an epoch of a trial on each gang."""
    plan = plan_gangs([Node(num_cpus=2)], gangs=2, workers_per_gang=2, gpus_per_worker=0)
    config = TrialConfig(model="small_cnn", width=4, batch_size=128)
    with tempfile.TemporaryDirectory() as storage, local_cluster(plan) as cluster:
        with hold_gangs(plan, data, cluster, storage) as desk:
            tickets = ray.get([desk.lease.remote(f"trial_{i}") for i in range(2)])
            for order in (Start(config.to_dict()), TrainEpoch()):
                replies = ray.get([desk.order.remote(t, order) for t in tickets])
                assert all(isinstance(reply, Finished) for reply in replies), replies
            gangs = ray.get(desk.snapshot.remote())
            return [private_bytes(pid) for gang in gangs for _, pid in gang["workers"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, nargs=2, default=[1000, 60000])
    arguments = parser.parse_args()
    found = []
    for num_samples in arguments.samples:
        data = random_images(num_samples)
        mb = sorted(value / 1e6 for value in measure(data))
        found.append(statistics.median(mb))
        size_mb = sum(part.inputs.nbytes for part in (data.train, data.val)) / 1e6
        print(
            f"{size_mb:.0f} MB of data: private memory of a worker {found[-1]:.0f} MB "
            f"[{mb[0]:.0f}, {mb[-1]:.0f}], {len(mb)} workers",
            flush=True,
        )
    print(f"more data adds {found[1] - found[0]:.1f} MB to a worker")


if __name__ == "__main__":
    main()
