"""What a new trial costs: the documented way against warm gangs, on the same resources.

(a) is the way that Ray documents: a Tune function that makes a `TorchTrainer` in every trial.
(b) leases a warm gang. Both train the same tiny trial, with the same code, on the same data with
two DDP workers, under Ray Tune, one trial at a time, in one call of this script: (a) (b) (a) (b) …
Each of them gets a Ray of its own.

Printed as median [min, max]: from the last step of a trial to the first step of the next, from
the start of Tune to the first step of all, and for (b) PBT's exploit: from the last step of the
gang's last trial to the first step with the donor's weights, for a ResNet-18 (11 million weights
and their momentum).
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import ray
import ray.train
import ray.train.torch
from efficiency import spread
from ray import tune
from ray.tune.integration.ray_train import TuneReportCallback

from sweeps.cluster import local_cluster
from sweeps.gangs import hold_gangs
from sweeps.resources import GangPlan
from sweeps.trial_feed import TrialFeed
from trainables.data.dataset import SplitData
from trainables.data.load import load_dataset
from trainables.epoch_result import unpack
from trainables.gang_trial import TRIAL_SLOT, GangTrial, TrialSettings
from trainables.trial_config import TrialConfig

PLAN = GangPlan(
    num_gangs=1, workers_per_gang=2, cpus_per_worker=1, gpus_per_worker=0, threads_per_worker=1
)
EPOCHS = 3
Times = list[tuple[float, float]]  # first and last step of each trial


def configs(num_trials: int, **changes: Any) -> list[dict[str, Any]]:
    """Return the configs of the trials, equal but for the seed."""
    values = {"width": 4, "batch_size": 32, "num_epochs": EPOCHS, **changes}
    return [TrialConfig.from_dict({**values, "seed": i}).to_dict() for i in range(num_trials)]


# --- (a) the documented way ----------------------------------------------------------------------


def train_worker(settings: Mapping[str, Any]) -> None:
    """Train one trial in a fresh worker: Ray Train's loop."""
    import torch
    import torch.distributed as dist

    from trainables.ranks import Ranks
    from trainables.train_loop import Training

    torch.set_num_threads(1)
    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    data = ray.get(settings["data"][0]).on_device(device)
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), device, dist.group.WORLD)
    training = Training(TrialConfig.from_dict(settings["config"]), data, ranks)
    for _ in range(EPOCHS):
        result = training.train_epoch()
        ray.train.report(result.to_dict())


def documented_trial(config: dict[str, Any]) -> None:
    """Run a TorchTrainer inside a Tune function, as Ray's guide on tuning Ray Train shows."""
    trainer = ray.train.torch.TorchTrainer(
        train_worker,
        train_loop_config={"config": config["config"], "data": config["data"]},
        scaling_config=ray.train.ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
        run_config=ray.train.RunConfig(
            name=f"train-{config['config']['seed']}-{time.time_ns()}",
            storage_path=config["storage"],
            callbacks=[TuneReportCallback()],
        ),
    )
    trainer.fit()


def run_documented(data: SplitData, num_trials: int, folder: str) -> tuple[Times, float]:
    """Return the steps' times, and seconds from the start of Tune to the first step."""
    with local_cluster(PLAN) as cluster:
        reference = ray.put(data)
        started_unix_s = time.time()
        results = tune.Tuner(
            tune.with_resources(documented_trial, {"CPU": 0, TRIAL_SLOT: 1}),
            param_space={
                "config": tune.grid_search(configs(num_trials)),
                "data": [reference],
                "storage": cluster.scratch,
            },
            tune_config=tune.TuneConfig(max_concurrent_trials=1),
            run_config=tune.RunConfig(
                storage_path=folder, verbose=0, callbacks=[(watch := StepTimes())]
            ),
        ).fit()
        assert not results.errors, results.errors
    return watch.times(), watch.times()[0][0] - started_unix_s


# --- (b) warm gangs ------------------------------------------------------------------------------


def run_gangs(data: SplitData, num_trials: int, folder: str) -> tuple[Times, float]:
    """As `run_documented`, on one gang that outlives the trials."""
    with local_cluster(PLAN) as cluster:
        started_unix_s = time.time()
        with hold_gangs(PLAN, data, cluster, folder) as desk:
            settings = TrialSettings(desk, f"{folder}/checkpoints")
            trials = [(f"trial_{i}", config) for i, config in enumerate(configs(num_trials))]
            tune.run(
                tune.with_resources(
                    tune.with_parameters(GangTrial, settings=settings),
                    tune.PlacementGroupFactory([{TRIAL_SLOT: 1}]),
                ),
                storage_path=cluster.scratch,
                search_alg=TrialFeed(trials),
                callbacks=[(watch := StepTimes())],
                reuse_actors=True,
                verbose=0,
            )
    return watch.times(), watch.times()[0][0] - started_unix_s


class StepTimes(tune.Callback):
    """Keeps the first and the last step of every trial."""

    def __init__(self) -> None:
        self._by_trial: dict[str, tuple[float, float]] = {}

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        """Widen the trial's span by an epoch."""
        row = unpack(result)
        first, _last = self._by_trial.get(trial.trial_id, (row["started_unix_s"], 0.0))
        self._by_trial[trial.trial_id] = (first, row["ended_unix_s"])

    def times(self) -> Times:
        """Return first and last step, trial by trial in the order they ran."""
        return sorted(self._by_trial.values())


# --- exploit -------------------------------------------------------------------------------------


def run_exploits(folder: Path) -> list[float]:
    """Run PBT over ResNet-18s on one gang; return what each exploit cost."""
    from sweeps.launch import launch
    from sweeps.spec import SweepSpec

    run = folder / "exploits"
    spec = SweepSpec(
        name="exploits", scheduler="pbt", dataset="digits", limit_train=64, batch_size=32,
        models=("resnet18",), widths=(64,), trials=4, epochs=10, perturbation_epochs=1,
        gangs=1, workers_per_trial=2, out=str(run),
    )  # fmt: skip
    launch(spec)
    rows = pq.read_table(run / "results.parquet").to_pylist()
    rows.sort(key=lambda row: row["started_unix_s"])
    return [
        row["started_unix_s"] - before["ended_unix_s"]
        for before, row in itertools.pairwise(rows)
        if row["parent_trial_id"] is not None
    ]


def gaps(times: Times) -> list[float]:
    """Return the seconds from each trial's last step to the next one's first."""
    return [after[0] - before[1] for before, after in itertools.pairwise(times)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=4, help="per round")
    arguments = parser.parse_args()
    data, _ = load_dataset("digits", "data", seed=0, limit_train=128)
    ways: dict[str, Callable[..., tuple[Times, float]]] = {
        "(a) documented way": run_documented,
        "(b) warm gangs": run_gangs,
    }
    turnarounds: dict[str, list[float]] = {name: [] for name in ways}
    first_steps: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            for index, (name, run) in enumerate(ways.items()):
                times, first_s = run(data, arguments.trials, f"{folder}/{number}{index}")
                turnarounds[name] += gaps(times)
                first_steps[name].append(first_s)
                print(f"{name}: new trial {gaps(times)}, first step {first_s:.2f} s", flush=True)
        exploits = run_exploits(Path(folder))
    for name in ways:
        print(f"{name}: new trial {spread(turnarounds[name])}")
        print(f"{name}: first step of all {spread(first_steps[name])}")
    print(f"(b) warm gangs: exploit of a ResNet-18 {spread(exploits)}")
    documented, warm = (statistics.median(turnarounds[name]) for name in ways)
    first_ratio = statistics.median(
        b / a for a, b in zip(*(first_steps[name] for name in ways), strict=True)
    )
    print(
        f"new trial: (a) / (b) = {documented / warm:.0f}; first step: (b) / (a) = {first_ratio:.2f}"
    )


if __name__ == "__main__":
    main()
