"""MO-PBT against PBT by one objective and random, on the path-dependent analytic problem.

Prints the hypervolume that each population has reached at the end, and its mean over time, as
medians over the seeds with quartiles, and in how many seeds MO-PBT is ahead.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from analysis.hypervolume import hypervolume
from sweeps.schedulers.explore import Explore
from sweeps.schedulers.mo_pbt import MoPbt, PopulationOptions
from sweeps.schedulers.tune_adapter import TuneAdapter
from sweeps.simulate.path_dependent import OBJECTIVES, REFERENCE, SPACE, losses_of, run_population

METHODS = ("random", "pbt f1", "pbt f2", "mo_pbt", "mo_pbt, synchronous")


def scheduler(method: str, seed: int, num_epochs: int) -> Callable[..., TrialScheduler]:
    """Return what makes a method's scheduler."""

    def make(on_exploit: Callable[..., None]) -> TrialScheduler:
        if method == "random":
            return FIFOScheduler()
        objectives = [o for o in OBJECTIVES if method.startswith("mo_pbt") or o.column in method]
        quorum = 1.0 if "synchronous" in method else None
        options = PopulationOptions(max(1, num_epochs // 20), num_epochs, quorum_fraction=quorum)
        explore = Explore(SPACE, seed, 0.2, used=lambda space, config: space)
        return TuneAdapter(MoPbt(objectives, explore, options, seed), on_exploit=on_exploit)

    return make


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=60)
    asked = parser.parse_args()
    ends = range(asked.epochs // 10, asked.epochs + 1, asked.epochs // 10)
    found: dict[str, list[list[float]]] = {method: [] for method in METHODS}
    for seed in range(asked.seeds):
        for method in METHODS:
            run = run_population(
                scheduler(method, seed, asked.epochs),
                size=asked.size,
                num_epochs=asked.epochs,
                seed=seed,
            )
            found[method].append([hypervolume(losses_of(run, end), REFERENCE) for end in ends])
    print(f"{asked.seeds} seeds, {asked.size} members x {asked.epochs} epochs")
    for method, volumes in found.items():
        table = np.array(volumes)
        ahead = (np.array(found["mo_pbt"])[:, -1] > table[:, -1]).sum()
        last, mean = (np.quantile(x, (0.25, 0.5, 0.75)) for x in (table[:, -1], table.mean(axis=1)))
        print(
            f"  {method:20} at the end {last[1]:.3f} [{last[0]:.3f}, {last[2]:.3f}], over time "
            f"{mean[1]:.3f} [{mean[0]:.3f}, {mean[2]:.3f}]; MO-PBT ahead in {ahead}"
        )


if __name__ == "__main__":
    main()
