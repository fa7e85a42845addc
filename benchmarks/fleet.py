"""How much of what a fleet of gangs is paid for is training that counts, with preemptions.

Trials are drawn: a whole training of 20 epochs takes a median of 420 s of a gang (a plain ResNet-18
recipe on CIFAR-10 on one A100), log-normally with a spread of 0.5. A gang starts in a median of
180 s (spot node, image, Ray, workers, data), starts again in 15 s where its node is there, loses
its node after 2 h and its workers after 24 h, exponentially; a trial starts on it in 0.05 s, goes
on from a checkpoint in 0.5 s, and writes one in 0.25 s after each epoch. Every figure is a flag.

The ideal is a fleet that is there at once, never lost and never idle: the seconds that the reported
epochs took, divided by the gangs. Everything is decided by Ray Tune's controller with our adapter
and scheduler, in virtual time; deciding takes no time, and all gangs are held to the very end.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from drawn_table import table_of
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from analysis.records import Objective
from sweeps.schedulers.mo_asha import HalvingOptions, MoAsha
from sweeps.schedulers.tune_adapter import TuneAdapter
from sweeps.searchers.random_order import RandomSearcher
from sweeps.simulate.fleet import FleetModel
from sweeps.simulate.recorded_table import CONFIG_ID, RecordedTable
from sweeps.simulate.replay import Setup, replay

NUM_EPOCHS: Final = 20
SPREAD: Final = 0.5
"""Standard deviation of the logarithm of how long a training takes."""

PERCENTAGES: Final = ("utilisation", "training", "start_up", "lost", "idle")


@dataclass(frozen=True)
class Found:
    """What came of one seed; fractions are of the held seconds."""

    utilisation: float
    training: float
    start_up: float
    lost: float
    idle: float
    cost_ratio: float
    makespan_h: float
    ideal_h: float
    num_preemptions: int
    num_failures: int
    num_failed_trials: int


def drawn_table(num_configs: int, training_seconds: float, seed: int) -> RecordedTable:
    """Return curves of an error that falls, further for models that take longer."""
    draw = np.random.default_rng((seed, num_configs))
    factor = np.exp(SPREAD * draw.standard_normal(num_configs))
    latency = 5 * factor
    epochs = np.arange(1, NUM_EPOCHS + 1)
    final = 0.3 - 0.05 * np.log(latency) + 0.05 * draw.random(num_configs)
    values = final[:, None] + np.exp(-epochs / 4.0)
    values = values + 0.01 * draw.standard_normal(values.shape)
    seconds = training_seconds * factor[:, None] * epochs / NUM_EPOCHS
    return table_of(latency, final, values, seconds)


class Fifo(FIFOScheduler):  # type: ignore[misc]  # Ray's classes are untyped
    """Ray's, without its look at all trials for each that starts: none is ever paused here."""

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Let Tune start the trial that comes next."""


def scheduler_of(name: str, table: RecordedTable) -> TrialScheduler:
    """Return the scheduler of a name."""
    if name == "fifo":
        return Fifo()
    objectives = [table.metric, Objective("latency_ms", "min")]
    options = HalvingOptions(NUM_EPOCHS, grace_epochs=2)
    return TuneAdapter(
        MoAsha(objectives, table.known, options),
        lambda config: table.known_of(config[CONFIG_ID]),
    )


def simulate(name: str, model: FleetModel, asked: argparse.Namespace, seed: int) -> Found:
    """Return what came of a fleet."""
    table = drawn_table(asked.trials, asked.training_seconds, seed)
    run = replay(
        table,
        scheduler_of(name, table),
        RandomSearcher(asked.trials, seed),
        Setup(model.num_gangs, asked.trials),
        model,
        seed,
    )
    assert run.fleet is not None
    account, useful_s = run.fleet.ledger.account(), run.useful_seconds
    parts = [account.by_kind.get(kind, 0.0) / account.held_seconds for kind in PERCENTAGES[1:]]
    return Found(
        useful_s / account.held_seconds,
        *parts,
        cost_ratio=account.held_seconds / useful_s,
        makespan_h=run.seconds / 3600,
        ideal_h=useful_s / model.num_gangs / 3600,
        num_preemptions=run.fleet.num_preemptions,
        num_failures=run.fleet.num_failures,
        num_failed_trials=list(run.status.values()).count("failed"),
    )


def spread(found: list[Found], name: str, factor: float = 1.0, digits: int = 1) -> str:
    """Return a median and a range."""
    values = [factor * getattr(one, name) for one in found]
    low, middle, high = min(values), float(np.median(values)), max(values)
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gangs", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--schedulers", nargs="+", default=["fifo", "mo_asha"])
    parser.add_argument("--training-seconds", type=float, default=420)
    parser.add_argument("--start-up-seconds", type=float, default=180)
    parser.add_argument("--restart-seconds", type=float, default=15)
    parser.add_argument("--preemption-hours", type=float, default=2)
    parser.add_argument("--failure-hours", type=float, default=24)
    parser.add_argument("--checkpoint-epochs", type=int, default=1)
    parser.add_argument("--checkpoint-seconds", type=float, default=0.25)
    parser.add_argument("--start-seconds", type=float, default=0.05)
    parser.add_argument("--restore-seconds", type=float, default=0.5)
    asked = parser.parse_args()
    names = ("start_up_seconds", "restart_seconds", "preemption_hours", "failure_hours")
    names += ("checkpoint_epochs", "checkpoint_seconds", "start_seconds", "restore_seconds")
    options = {name: getattr(asked, name) for name in names}
    print(", ".join(f"{name} {value:g}" for name, value in options.items()))
    for num_gangs in asked.gangs:
        for name in asked.schedulers:
            began_s = time.monotonic()
            model = FleetModel(num_gangs, **options)
            found = [simulate(name, model, asked, seed) for seed in range(asked.seeds)]
            print(f"{num_gangs} gangs, {asked.trials} trials, {name}, {asked.seeds} seeds:")
            for part in PERCENTAGES:
                print(f"  {part:12} {spread(found, part, 100)} % of what was held")
            print(f"  cost         {spread(found, 'cost_ratio', digits=3)} times the ideal")
            print(f"  makespan     {spread(found, 'makespan_h', digits=2)} h")
            print(f"  ideal        {spread(found, 'ideal_h', digits=2)} h")
            for part in ("num_preemptions", "num_failures", "num_failed_trials"):
                print(f"  {part:20} {spread(found, part, digits=0)}")
            seconds = (time.monotonic() - began_s) / asked.seeds
            print(f"  simulated in {seconds:.0f} s each", flush=True)


if __name__ == "__main__":
    main()
