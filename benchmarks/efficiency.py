"""How much of their time the gangs of a run trained: `python benchmarks/efficiency.py RUN`.

The span is from the first step of the first trial to the last step of the last, times the gangs.
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq


@dataclass(frozen=True)
class Efficiency:
    """What the gangs of a run did between its first and its last step.

    Attributes:
        span_s: from the first step to the last.
        busy_s: training and validation steps, all gangs together.
        num_gangs: that were held.
        num_trials: that trained.
        new_trial_gaps_s: on one gang, from one trial's last step to another's first.
        epoch_gaps_s: on one gang, between two epochs of the same trial.
    """

    span_s: float
    busy_s: float
    num_gangs: int
    num_trials: int
    new_trial_gaps_s: list[float]
    epoch_gaps_s: list[float]

    @property
    def busy_fraction(self) -> float:
        """Share of the held time that was training or validation."""
        return self.busy_s / (self.span_s * self.num_gangs)

    @property
    def overhead_per_trial_s(self) -> float:
        """Held time per trial that was not."""
        return (self.span_s * self.num_gangs - self.busy_s) / self.num_trials


def measure(run: Path) -> Efficiency:
    """Compute a run's efficiency from its results."""
    rows = pq.read_table(run / "results.parquet").to_pylist()
    rows.sort(key=lambda row: row["started_unix_s"])
    new_trial_gaps, epoch_gaps = [], []
    last_on: dict[int, dict] = {}
    for row in rows:
        last = last_on.get(row["gang"])
        if last is not None:
            gap = row["started_unix_s"] - last["ended_unix_s"]
            (epoch_gaps if last["trial_id"] == row["trial_id"] else new_trial_gaps).append(gap)
        last_on[row["gang"]] = row
    return Efficiency(
        span_s=max(row["ended_unix_s"] for row in rows) - rows[0]["started_unix_s"],
        busy_s=sum(row["train_seconds"] + row["val_seconds"] for row in rows),
        num_gangs=json.loads((run / "sweep.json").read_text())["gangs"]["num_gangs"],
        num_trials=len({row["trial_id"] for row in rows}),
        new_trial_gaps_s=new_trial_gaps,
        epoch_gaps_s=epoch_gaps,
    )


def spread(values: list[float]) -> str:
    """Return median [min, max] and the number of values."""
    if not values:
        return "none"
    return (
        f"{statistics.median(values):.3f} s [{min(values):.3f}, {max(values):.3f}], n={len(values)}"
    )


def main() -> None:
    for run in map(Path, sys.argv[1:]):
        found = measure(run)
        print(f"{run}: {found.num_trials} trials on {found.num_gangs} gangs, {found.span_s:.1f} s")
        print(f"  training or validating  {found.busy_fraction:.1%} of the gangs' time")
        print(f"  overhead per trial      {found.overhead_per_trial_s:.3f} s")
        print(f"  new trial on a gang     {spread(found.new_trial_gaps_s)}")
        print(f"  next epoch of a trial   {spread(found.epoch_gaps_s)}")


if __name__ == "__main__":
    main()
