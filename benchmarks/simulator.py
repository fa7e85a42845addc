"""How many reports a second the simulator takes, and what part of it the scheduler is.

10,000 trials on 1,000 workers, drawn curves of up to 27 epochs of two objectives. The scheduler's
part is the time inside our adapter, the scheduler's included.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from drawn_table import table_of

from analysis.records import Objective
from sweeps.schedulers.mo_asha import ORDERS, HalvingOptions, MoAsha
from sweeps.schedulers.tune_adapter import TuneAdapter
from sweeps.searchers.random_order import RandomSearcher
from sweeps.simulate.recorded_table import CONFIG_ID, RecordedTable
from sweeps.simulate.replay import Setup, replay

NUM_EPOCHS = 27


class TimedAdapter(TuneAdapter):
    """Counts the seconds spent in it."""

    seconds = 0.0

    def on_trial_result(self, *arguments: Any) -> str:
        """See `TuneAdapter`."""
        started_s = time.perf_counter()
        decision = super().on_trial_result(*arguments)
        self.seconds += time.perf_counter() - started_s
        return decision

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """See `TuneAdapter`."""
        started_s = time.perf_counter()
        chosen = super().choose_trial_to_run(tune_controller)
        self.seconds += time.perf_counter() - started_s
        return chosen


def drawn_table(num_configs: int, seed: int) -> RecordedTable:
    """Return a table of curves that fall, the larger models' more slowly and further."""
    draw = np.random.default_rng(seed)
    latency = draw.uniform(1, 50, num_configs)
    final = 0.5 - 0.1 * np.log(latency) + 0.1 * draw.random(num_configs)
    epochs = np.arange(1, NUM_EPOCHS + 1)
    values = final[:, None] + np.exp(-epochs / (1 + latency[:, None] / 10))
    values = values + 0.01 * draw.standard_normal(values.shape)
    return table_of(latency, final, values, latency[:, None] * epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    objectives = [Objective("error", "min"), Objective("latency_ms", "min")]
    print(f"{asked.trials} trials on {asked.workers} workers")
    for name in ORDERS:
        rates, shares, num_reports = [], [], 0
        for seed in range(asked.rounds):
            table = drawn_table(asked.trials, seed)
            ours = TimedAdapter(
                MoAsha(objectives, table.known, HalvingOptions(NUM_EPOCHS, order=name)),
                lambda config, table=table: table.known_of(config[CONFIG_ID]),
            )
            started_s = time.perf_counter()
            run = replay(
                table,
                ours,
                RandomSearcher(asked.trials, seed),
                Setup(asked.workers, asked.trials),
            )
            seconds = time.perf_counter() - started_s
            num_reports = len(run.reports)
            rates.append(num_reports / seconds)
            shares.append(ours.seconds / seconds)
        print(
            f"  {name:10} {num_reports} reports, {np.median(rates):.0f} [{min(rates):.0f}, "
            f"{max(rates):.0f}] a second, scheduler {np.median(shares):.0%} "
            f"[{min(shares):.0%}, {max(shares):.0%}]",
            flush=True,
        )


if __name__ == "__main__":
    main()
